//! Entry point of `roompin-loadtest`.
fn main() {}
