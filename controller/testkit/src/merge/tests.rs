//! Vectors from the published documentation of server-side apply and strategic merge, and laws.

#![expect(clippy::needless_pass_by_value, reason = "`json!` literals read better without a borrow")]

mod laws;
mod patches;
mod server_side;
