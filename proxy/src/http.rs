//! Ordinary requests: pingora's `HttpProxy` with our decisions in its hooks.
//!
//! The front door has decided already; a [`Passage`] carries the decision into the hooks as pingora's connection context.

mod gate;
mod passage;

pub(crate) use self::{gate::Gate, passage::Passage};
