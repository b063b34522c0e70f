//! What came of it, held against the budgets.

use serde::{Deserialize, Serialize};

use super::P99_MS;

/// Bytes over an empty replica.
const MEMORY: u64 = 120_000_000;
/// From the joiner's start to its readiness, in milliseconds.
const READY_MS: u64 = 5_000;

/// A joining, measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JoinRun {
    /// Pins in each replica when rooms began to open.
    pub pins: f64,
    /// Rooms opened each second.
    pub per_second: f64,
    /// Memory of an empty replica.
    pub empty_bytes: u64,
    /// The most memory that each replica ever took beyond that; the joiner's is the last.
    pub over_bytes: Vec<u64>,
    /// From the joiner's start to its readiness.
    pub ready_ms: u64,
    /// Claims that ended in the other replicas meanwhile.
    pub claims: f64,
    /// 99 of 100 of them took no longer; `None` without claims.
    pub claim_p99_ms: Option<f64>,
    /// Rooms opened in all.
    pub rooms: u64,
    /// Requests that failed.
    pub errors: u64,
    /// Entries in the tables of all replicas in the end.
    pub tables: Vec<f64>,
    /// Conflicts of pins, over all replicas.
    pub conflicts: f64,
    /// Rooms of a sample that replicas have on two shards.
    pub split: usize,
}

/// One budget, and whether it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// What was measured, in words.
    pub says: String,
    /// Whether that is within the budget.
    pub kept: bool,
}

impl JoinRun {
    /// Whether all replicas agree, and nothing failed: what must hold at any speed.
    #[must_use]
    pub fn is_right(&self) -> bool {
        let same = self.tables.windows(2).all(|two| two[0] == two[1]);
        same && self.errors == 0 && self.conflicts == 0.0 && self.split == 0 && self.rooms > 0
    }

    /// Bytes of the replica that took most.
    #[must_use]
    pub fn most_over(&self) -> u64 {
        self.over_bytes.iter().copied().max().unwrap_or(u64::MAX)
    }

    /// The three budgets.
    #[must_use]
    pub fn budgets(&self) -> [Budget; 3] {
        #[expect(clippy::cast_precision_loss, reason = "megabytes")]
        let mb = |bytes: u64| bytes as f64 / 1e6;
        let joiner = self.over_bytes.last().copied().unwrap_or(u64::MAX);
        let p99 = self.claim_p99_ms.unwrap_or(f64::INFINITY);
        [
            Budget {
                says: format!(
                    "memory over an empty replica ({:.1} MB), at its peak: {:.1} MB at most, the joiner {:.1} MB; \
                     budget {} MB",
                    mb(self.empty_bytes),
                    mb(self.most_over()),
                    mb(joiner),
                    mb(MEMORY)
                ),
                kept: self.most_over() <= MEMORY,
            },
            Budget {
                says: format!("joiner ready after {} ms; budget {READY_MS} ms", self.ready_ms),
                kept: self.ready_ms <= READY_MS,
            },
            Budget {
                says: format!("claims meanwhile, 99th percentile of {}: {p99:.1} ms; budget {P99_MS} ms", self.claims),
                kept: p99 < P99_MS,
            },
        ]
    }
}
