//! End-to-end tests with real shards: two Prosody servers, real XMPP clients over WebSocket and BOSH, and in between
//! HAProxy (to prove the harness) or `roompin-proxy` (to prove the proxy).
//!
//! To see them fail on purpose, run them with `ROOMPIN_E2E_BLIND=1`: every second client then leaves `room=` out.

mod address;
mod against_haproxy;
mod against_roompin;
mod bosh;
mod conference;
mod participant;
mod scenario;
mod session;
#[path = "../support/lib.rs"]
mod support;
mod verdict;
mod websocket;
mod xml;
