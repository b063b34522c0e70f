//! The demo's page: the table, the sum, and what to try.

use std::{fmt::Write as _, time::Duration};

use super::proxies::Proxy;
use crate::{
    observer::Observer,
    report::{Screen, rooms_table},
    stub::StubShard,
};

/// What stays the same from page to page.
pub(super) struct View {
    seed: u64,
    shards: Vec<String>,
    addresses: String,
}

impl View {
    pub(super) fn new(seed: u64, shards: &[StubShard], proxies: &[Proxy]) -> Self {
        // Writing into a String cannot fail.
        let mut text = String::new();
        for proxy in proxies {
            let (port, admin) = (proxy.address.port(), proxy.admin);
            let _ = writeln!(text, "  {}  http://localhost:{port}  admin http://{admin}/v1/rooms", proxy.name);
        }
        let places = shards.iter().map(|shard| format!("{} http://{}", shard.name, shard.addr));
        let _ = writeln!(text, "  {}", places.collect::<Vec<_>>().join("  "));
        if let Some(proxy) = proxies.first() {
            let port = proxy.address.port();
            let _ = writeln!(text, "  configured by {}", proxy.config.display());
            let _ = writeln!(text, "\nTry it: one room however it is written, so one X-Jitsi-Shard:");
            let _ = writeln!(text, "  curl -si 'localhost:{port}/http-bind?room=Caf%C3%A9'");
            let _ = writeln!(text, "  curl -si 'localhost:{port}/http-bind?room=caf%25c3%25a9'");
        }
        Self { seed, shards: shards.iter().map(|shard| shard.name.clone()).collect(), addresses: text }
    }

    /// The page while it runs.
    pub(super) fn page(&self, observer: &Observer, elapsed: Duration, screen: &Screen) -> String {
        let mut text = self.result(observer, elapsed, "  (Ctrl-C ends it)", screen.is_live(), screen.width());
        let _ = write!(text, "\n{}", self.addresses);
        text
    }

    /// The page that stays when it has ended: without addresses, since nobody answers there any more.
    pub(super) fn last_page(&self, observer: &Observer, elapsed: Duration) -> String {
        self.result(observer, elapsed, "", false, None)
    }

    fn result(&self, observer: &Observer, elapsed: Duration, hint: &str, styled: bool, width: Option<u16>) -> String {
        let rooms = observer.rooms();
        let verdict = observer.verdict();
        let now: usize = rooms.iter().flat_map(|room| room.sitting.values()).sum();
        let seconds = elapsed.as_secs();
        let mut text = rooms_table(&rooms, &self.shards, styled, width);
        let _ = writeln!(
            text,
            "\n{:02}:{:02}  seed {}  participants {} ({now} now)  splits {}  errors {}{hint}",
            seconds / 60,
            seconds % 60,
            self.seed,
            verdict.participants,
            verdict.splits,
            verdict.errors,
        );
        for error in observer.recent_errors() {
            let _ = writeln!(text, "  ! {error}");
        }
        text
    }
}
