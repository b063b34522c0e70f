//! `roompin-controller`.

fn main() {}
