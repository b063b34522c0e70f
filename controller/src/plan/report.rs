//! What an instance says of itself: polled from its own HTTP API, or sent by its sidecar or webhook.
//!
//! The newest report of a pod stands in its annotation [`crate::api::REPORT`], so that it does not matter which replica heard
//! it, and a new leader knows what the old one knew.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What an instance said, and when.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Report {
    /// When it was heard, by our clock.
    pub at: Option<Timestamp>,
    /// Load of a bridge or gateway: 0 to 1, and more when it is too much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stress: Option<f64>,
    /// People on it: the bridge's own, without those that other bridges relay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<u64>,
    /// Conferences on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conferences: Option<u64>,
    /// The reversible mark that jicofo sends nobody new here if it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<bool>,
    /// It ends when the last one has left; there is no way back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graceful_shutdown: Option<bool>,
    /// It is ending now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shutting_down: Option<bool>,
    /// Recorders: what it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub busy: Option<Busy>,
    /// It says that it can work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthy: Option<bool>,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// What a recorder does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Busy {
    /// It is free.
    Idle,
    /// It records.
    Busy,
    /// It has recorded, and takes nothing any more.
    Expired,
}

/// Longest text of a report in an annotation, bytes.
pub const REPORT_LIMIT: usize = 2048;
