//! Watches: a stream of events from a revision on.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::Stream;
use serde_json::{Value, json};
use tokio::{sync::watch, time::Instant};
use tower::BoxError;

use super::{
    Shared,
    failure::{Cause, Failure, Subject},
    list::{self, Scope},
    query::Query,
    resource::Resource,
    respond::View,
    store::Change,
};

/// How often a quiet watch with bookmarks hears of the revision.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// How long a watch lives when its client names no time.
const LIFE: Duration = Duration::from_secs(45 * 60);

/// One open watch.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    resource: Arc<Resource>,
    scope: Scope,
    view: View,
    bookmarks: bool,
    /// Everything up to here is told.
    cursor: u64,
    queue: VecDeque<Bytes>,
    told_columns: bool,
    ended: bool,
    ends: Instant,
    bookmark_at: Instant,
    breaks: Option<Instant>,
    lag: Option<Duration>,
    changed: watch::Receiver<u64>,
    dropped: watch::Receiver<u64>,
}

/// Faults that an interceptor asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct WatchFaults {
    pub(crate) break_after: Option<Duration>,
    pub(crate) lag: Option<Duration>,
}

impl Watch {
    pub(crate) fn open(
        shared: &Arc<Shared>,
        resource: &Arc<Resource>,
        scope: Scope,
        view: View,
        query: &Query,
        faults: WatchFaults,
    ) -> Result<Self, Failure> {
        let now = Instant::now();
        let life = query.timeout_seconds.filter(|s| *s > 0).map_or(LIFE, Duration::from_secs);
        let mut watch = Self {
            shared: shared.clone(),
            resource: resource.clone(),
            scope,
            view,
            bookmarks: query.bookmarks,
            cursor: 0,
            queue: VecDeque::new(),
            told_columns: false,
            ended: false,
            ends: now + life,
            bookmark_at: now + BOOKMARK_EVERY,
            breaks: faults.break_after.map(|after| now + after),
            lag: faults.lag,
            changed: shared.changed.subscribe(),
            dropped: shared.dropped.subscribe(),
        };
        watch.start(query)?;
        Ok(watch)
    }

    /// Finds where to begin: at a revision, or with everything that exists.
    fn start(&mut self, query: &Query) -> Result<(), Failure> {
        let shared = self.shared.clone();
        let core = shared.core();
        let asked = query.resource_version.as_deref().map(list::revision).transpose()?.unwrap_or_default();
        if query.initial_events && query.resource_version_match.as_deref() != Some("NotOlderThan") {
            let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            let cause = Cause::forbidden("resourceVersionMatch", why);
            let subject = Subject { group: "meta.k8s.io", plural: "", kind: "ListOptions" };
            return Err(Failure::invalid(subject, "", &[cause]));
        }
        if asked > 0 && !query.initial_events {
            let oldest = core.store.oldest(&self.resource.collection);
            if asked < oldest {
                let failure = Failure::too_old(asked, oldest);
                if shared.expires_by_http() {
                    return Err(failure);
                }
                // The watch cache answers 200 and then this event.
                self.end_with(&failure);
                return Ok(());
            }
            self.cursor = asked;
            return Ok(());
        }
        let now = core.clock.now();
        self.cursor = core.store.revision();
        let collection = core.store.collection(&self.resource.collection);
        let all: Vec<Arc<Value>> = collection
            .objects
            .iter()
            .filter(|(key, object)| self.scope.holds(key) && self.scope.selects(&self.resource, object))
            .map(|(_, object)| object.clone())
            .collect();
        drop(core);
        for object in all {
            self.tell("ADDED", self.resource.show(&object), now);
        }
        if query.initial_events && query.bookmarks {
            self.bookmark(true);
        }
        Ok(())
    }

    fn push(&mut self, kind: &str, object: &Value) {
        let line = json!({ "type": kind, "object": object }).to_string() + "\n";
        self.queue.push_back(line.into());
    }

    fn tell(&mut self, kind: &str, shown: Value, now: jiff::Timestamp) {
        let columns = !std::mem::replace(&mut self.told_columns, true);
        let object = self.view.object(&self.resource, shown, now, columns);
        self.push(kind, &object);
    }

    fn end_with(&mut self, failure: &Failure) {
        self.push("ERROR", &failure.status());
        self.ended = true;
    }

    fn bookmark(&mut self, initial: bool) {
        let mut meta = json!({ "resourceVersion": self.cursor.to_string(), "creationTimestamp": null });
        if initial {
            meta["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
        }
        let (kind, version) = match self.view {
            View::Full => (self.resource.kind.clone(), self.resource.api_version()),
            View::Partial => ("PartialObjectMetadata".to_owned(), "meta.k8s.io/v1".to_owned()),
            View::Table => ("Table".to_owned(), "meta.k8s.io/v1".to_owned()),
        };
        self.push("BOOKMARK", &json!({ "kind": kind, "apiVersion": version, "metadata": meta }));
    }

    /// Queues what happened since. Answers when the next event, already there, may be shown.
    fn collect(&mut self) -> Option<Instant> {
        let shared = self.shared.clone();
        let lag = self.lag.unwrap_or_default().max(shared.lag());
        let core = shared.core();
        let now = core.clock.now();
        let collection = core.store.collection(&self.resource.collection);
        if self.cursor < collection.forgotten {
            let failure = Failure::too_old(self.cursor, core.store.oldest(&self.resource.collection));
            self.end_with(&failure);
            return None;
        }
        let from = collection.log.partition_point(|change| change.revision <= self.cursor);
        let mut told = Vec::new();
        for change in collection.log.range(from..) {
            let due = change.at + lag;
            if due > Instant::now() {
                drop(core);
                told.into_iter().for_each(|(kind, object)| self.tell(kind, object, now));
                return Some(due);
            }
            self.cursor = change.revision;
            told.extend(self.event(change));
        }
        self.cursor = self.cursor.max(core.store.revision());
        drop(core);
        told.into_iter().for_each(|(kind, object)| self.tell(kind, object, now));
        None
    }

    /// The event that a change is to this watch: entering and leaving the selection are ADDED and DELETED.
    fn event(&self, change: &Change) -> Option<(&'static str, Value)> {
        if !self.scope.holds(&change.key) {
            return None;
        }
        let selects = |object: &Value| self.scope.selects(&self.resource, object);
        let was = change.before.as_ref().is_some_and(|before| selects(before));
        let is = !change.gone && selects(&change.after);
        match (was, is) {
            (false, true) => Some(("ADDED", self.resource.show(&change.after))),
            (true, true) => Some(("MODIFIED", self.resource.show(&change.after))),
            (true, false) if change.gone => Some(("DELETED", self.resource.show(&change.after))),
            (true, false) => {
                // It left the selection: the client gets the state that it knew, with this revision.
                let mut last = self.resource.show(change.before.as_ref()?);
                last["metadata"]["resourceVersion"] = change.revision.to_string().into();
                Some(("DELETED", last))
            }
            (false, false) => None,
        }
    }

    async fn next(&mut self) -> Option<Result<Bytes, BoxError>> {
        loop {
            if self.dropped.has_changed().unwrap_or(true) || self.breaks.is_some_and(|at| at <= Instant::now()) {
                return self.broken();
            }
            if let Some(line) = self.queue.pop_front() {
                return Some(Ok(line));
            }
            if self.ended {
                return None;
            }
            self.changed.borrow_and_update();
            let due = self.collect();
            if !self.queue.is_empty() || self.ended {
                continue;
            }
            let mut wake = self.ends;
            wake = due.map_or(wake, |at| at.min(wake));
            wake = self.breaks.map_or(wake, |at| at.min(wake));
            if self.bookmarks {
                wake = wake.min(self.bookmark_at);
            }
            tokio::select! {
                gone = self.changed.changed() => if gone.is_err() { return None },
                _ = self.dropped.changed() => return self.broken(),
                () = tokio::time::sleep_until(wake) => self.woken(),
            }
        }
    }

    fn woken(&mut self) {
        let now = Instant::now();
        if now >= self.ends {
            self.ended = true;
        } else if self.bookmarks && now >= self.bookmark_at {
            self.bookmark_at = now + BOOKMARK_EVERY;
            self.bookmark(false);
        }
    }

    fn broken(&mut self) -> Option<Result<Bytes, BoxError>> {
        if std::mem::replace(&mut self.ended, true) && self.queue.is_empty() {
            return None;
        }
        self.queue.clear();
        self.dropped.borrow_and_update();
        self.breaks = None;
        Some(Err(super::reset()))
    }

    /// The body of the answer.
    pub(crate) fn into_stream(self) -> impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static {
        futures_util::stream::unfold(self, |mut watch| async move { watch.next().await.map(|item| (item, watch)) })
    }
}
