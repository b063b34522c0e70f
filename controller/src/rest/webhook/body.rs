//! The report itself.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use serde::Deserialize;

use super::Refusal;
use crate::{media::recorder::Health, plan::report::Report};

/// jibri sends some 300 bytes, and details of its health beside.
pub(super) const LIMIT: usize = 16 * 1024;
/// jibri itself waits 2 s for all of it.
const TIME: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
struct Hook {
    #[serde(rename = "jibriId")]
    _id: String,
    #[serde(flatten)]
    health: Health,
}

/// What it says. The time is left to the caller.
pub(super) async fn read(body: Body) -> Result<Report, Refusal> {
    let bytes = match tokio::time::timeout(TIME, to_bytes(body, LIMIT)).await {
        Err(_) => return Err(Refusal::TooSlow),
        // Too long, or broken off: whichever it is, nobody waits for the answer.
        Ok(Err(_)) => return Err(Refusal::TooLong),
        Ok(Ok(bytes)) => bytes,
    };
    let hook: Hook = serde_json::from_slice(&bytes).map_err(|_| Refusal::Malformed)?;
    Ok(hook.health.report())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::report::Busy;

    #[tokio::test(start_paused = true)]
    async fn what_jibri_sends_is_read_and_nothing_else() {
        let busy = |text: &str| {
            let body = Body::from(text.to_owned());
            async move { read(body).await.map(|report| report.busy) }
        };
        let good = r#"{"jibriId":"x","status":{"busyStatus":"BUSY","health":{"healthStatus":"HEALTHY","details":{}}}}"#;
        assert_eq!(busy(good).await, Ok(Some(Busy::Busy)));
        for junk in
            ["", "[]", r#"{"status":{"busyStatus":"BUSY"}}"#, r#"{"jibriId":"x","status":{"busyStatus":"DONE"}}"#]
        {
            assert_eq!(busy(junk).await, Err(Refusal::Malformed), "{junk}");
        }
        assert_eq!(busy(&" ".repeat(LIMIT + 1)).await, Err(Refusal::TooLong));
        let never = Body::from_stream(futures_util::stream::pending::<Result<String, std::io::Error>>());
        assert_eq!(read(never).await, Err(Refusal::TooSlow));
    }
}
