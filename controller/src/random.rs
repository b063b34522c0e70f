//! Random numbers for passwords and names.

use rand::{SeedableRng, rngs::StdRng, rngs::SysRng};

/// A generator seeded by the system.
#[allow(clippy::expect_used, reason = "a system without random numbers cannot make passwords")]
pub(crate) fn generator() -> StdRng {
    StdRng::try_from_rng(&mut SysRng).expect("the system has random numbers")
}
