//! Real processes for end-to-end tests: the proxy's own binary, HAProxy, Prosody.
//!
//! Use it from a test target with `#[path = "../support/lib.rs"] mod support;` (or `"support/lib.rs"` from `tests/x.rs`).
//! A server that is missing is a failure with the command that installs it, never a skip.
#![allow(dead_code, reason = "each test target uses its own part")]
#![allow(unused_imports, reason = "each test target uses its own part")]

mod files;
mod haproxy;
mod ports;
mod process;
mod prosody;
mod roompin;

pub(crate) use self::{
    files::raise_file_limit,
    haproxy::{Balance, Haproxy},
    ports::Port,
    process::{Process, http_status, require},
    prosody::{CONFERENCE, DOMAIN, Prosody},
    roompin::RoompinProxy,
};
