//! What documents mean, held against the API server's documented behaviour and its messages.

#![expect(clippy::needless_pass_by_value, reason = "`json!` literals read better without a borrow")]

mod builtin;
mod custom;
