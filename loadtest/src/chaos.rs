//! `roompin-loadtest chaos`.

pub mod observer;
pub mod result;
pub mod script;
