//! Entry point of `roompin-proxy`.
fn main() {}
