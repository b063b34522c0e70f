//! jicofo, asked to move people away from a bridge. Everybody who is moved hears a moment of silence.

use futures_util::future::BoxFuture;
use serde::Deserialize;

use super::http::HttpMedia;

/// Where people are moved. Tests bring their own.
pub trait FocusMedia {
    /// Asks the jicofo at this address to move everybody away from a bridge, by the bridge's address in the brewery. Says
    /// how many are being moved.
    fn move_all<'a>(&'a self, ip: &'a str, bridge: &'a str) -> BoxFuture<'a, Result<u64, String>>;
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Moved {
    moved_endpoints: u64,
}

impl FocusMedia for HttpMedia {
    fn move_all<'a>(&'a self, ip: &'a str, bridge: &'a str) -> BoxFuture<'a, Result<u64, String>> {
        Box::pin(async move {
            let query = [("bridge", bridge), ("fraction", "1.0")];
            let moved: Moved = self.get(ip, self.ports.focus, "/move-endpoints/move-fraction", &query).await?;
            Ok(moved.moved_endpoints)
        })
    }
}
