//! Recorders (jibri), asked for their health. The same document is what their webhooks send.

use serde::Deserialize;

use super::http::HttpMedia;
use crate::plan::report::{Busy, Report};

/// Port of a recorder's outer API.
pub const PORT: u16 = 2222;

/// What a recorder says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Health {
    status: Status,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    busy_status: Busy,
    #[serde(default)]
    health: Option<State>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct State {
    health_status: String,
}

impl Health {
    /// The same in our words. A recorder that does not speak of its health is taken for healthy, as jicofo takes it.
    #[must_use]
    pub fn report(&self) -> Report {
        let healthy = self.status.health.as_ref().is_none_or(|health| health.health_status == "HEALTHY");
        Report { busy: Some(self.status.busy_status), healthy: Some(healthy), ..Report::default() }
    }
}

/// Asks the recorder of the pod with this address. The time is left to the caller.
pub(super) async fn ask(http: &HttpMedia, ip: &str, port: u16) -> Result<Report, String> {
    let health: Health = http.get(ip, port, "/jibri/api/v1.0/health", &[]).await?;
    Ok(health.report())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Report> {
        serde_json::from_str::<Health>(text).ok().map(|health| health.report())
    }

    #[test]
    fn what_jibri_sends_is_read() {
        let of = |busy, healthy| Some(Report { busy: Some(busy), healthy: Some(healthy), ..Report::default() });
        let full = r#"{"status":{"busyStatus":"BUSY","health":{"healthStatus":"HEALTHY","details":{"JibriManager":
            {"healthStatus":"HEALTHY","detail":""}}}},"environmentContext":{"name":"meet-0"}}"#;
        assert_eq!(read(full), of(Busy::Busy, true));
        let sick = r#"{"status":{"busyStatus":"IDLE","health":{"healthStatus":"UNHEALTHY","details":{}}}}"#;
        assert_eq!(read(sick), of(Busy::Idle, false));
        assert_eq!(read(r#"{"jibriId":"x","status":{"busyStatus":"EXPIRED"}}"#), of(Busy::Expired, true));
        for junk in ["{}", r#"{"status":{}}"#, r#"{"status":{"busyStatus":"busy"}}"#, "[]", r#"{"status":"IDLE"}"#] {
            assert_eq!(read(junk), None, "{junk}");
        }
    }
}
