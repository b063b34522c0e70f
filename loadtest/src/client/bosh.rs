//! A BOSH session: XMPP over one POST after the other.

use super::{Browser, ClientError};
use crate::stub::attribute;

/// An open session.
#[derive(Debug)]
pub struct BoshSession {
    browser: Browser,
    sid: String,
    rid: u64,
}

impl BoshSession {
    /// Opens a session; the shard it is on comes with it. `rid` is the first request id.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn open(browser: Browser, rid: u64) -> Result<(Self, String), ClientError> {
        let (shard, answer) =
            browser.bosh(format!("<body xmlns='http://jabber.org/protocol/httpbind' rid='{rid}' wait='60'/>")).await?;
        let sid = live(&answer)?.to_owned();
        Ok((Self { browser, sid, rid }, shard))
    }

    /// One more request of the session.
    ///
    /// # Errors
    /// See [`ClientError`]; a shard that does not know the session ends it.
    pub async fn poll(&mut self) -> Result<String, ClientError> {
        let body = self.body("");
        let (shard, answer) = self.browser.bosh(body).await?;
        live(&answer)?;
        Ok(shard)
    }

    /// Ends the session; the shard where it was.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn close(mut self) -> Result<String, ClientError> {
        let body = self.body("type='terminate'");
        let (shard, answer) = self.browser.bosh(body).await?;
        match attribute(&answer, "condition") {
            None => Ok(shard),
            Some(condition) => Err(ClientError::Session(condition.to_owned())),
        }
    }

    fn body(&mut self, attributes: &str) -> String {
        self.rid += 1;
        let (rid, sid) = (self.rid, &self.sid);
        format!("<body xmlns='http://jabber.org/protocol/httpbind' rid='{rid}' sid='{sid}' {attributes}/>")
    }
}

/// The session's id in an answer that does not end it.
fn live(answer: &str) -> Result<&str, ClientError> {
    let ended = |why: &str| ClientError::Session(why.to_owned());
    if attribute(answer, "type") == Some("terminate") {
        return Err(ended(attribute(answer, "condition").unwrap_or("no condition given")));
    }
    attribute(answer, "sid").ok_or_else(|| ended("no session id given"))
}
