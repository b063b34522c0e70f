//! roompin-proxy: I/O around the decisions of `router-core`.

pub mod cli;
pub mod config;
