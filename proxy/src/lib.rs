//! roompin-proxy: I/O around the decisions of `router-core`.

pub mod config;
pub mod discovery;
pub mod probe;
