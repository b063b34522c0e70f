//! Vectors from the published documentation of server-side apply and strategic merge, and laws.

mod laws;
mod patches;
mod server_side;
