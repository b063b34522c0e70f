//! roompin-loadtest: shards and participants to try a proxy with, and an observer who does not trust it.
//!
//! It talks to proxies over the network only, and only to addresses given to it or started by itself.

pub mod chaos;
pub mod child;
pub mod cli;
pub mod client;
pub mod demo;
pub mod haproxy;
pub mod join;
pub mod load;
pub mod machine;
pub mod netns;
pub mod observer;
mod ports;
pub mod report;
pub mod result;
mod roompin;
pub mod scenario;
pub mod stub;
pub mod versus;
