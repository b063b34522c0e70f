//! What documents mean, held against the API server's documented behaviour and its messages.

mod builtin;
mod custom;
