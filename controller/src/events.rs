//! Notes as Kubernetes events. One that cannot be published is logged; nothing depends on it.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};

use crate::{lease::Leadership, plan::Note};

/// Publishes notes.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
    leadership: Leadership,
}

impl Events {
    /// Under the name of this controller; `instance` is its pod.
    #[must_use]
    pub fn new(client: Client, instance: Option<String>, leadership: Leadership) -> Self {
        let reporter = Reporter { controller: "roompin-controller".to_owned(), instance };
        Self { recorder: Recorder::new(client, reporter), leadership }
    }

    /// Publishes notes about one object.
    pub async fn publish(&self, about: &ObjectReference, notes: &[Note]) {
        for note in notes {
            tracing::info!(
                object = format!("{}/{}", about.kind.as_deref().unwrap_or(""), about.name.as_deref().unwrap_or("")),
                reason = note.reason,
                "{}",
                note.text
            );
            let event = Event {
                type_: if note.warning { EventType::Warning } else { EventType::Normal },
                reason: note.reason.to_owned(),
                // What the API accepts at most.
                note: Some(note.text.chars().take(1000).collect()),
                // Events that differ in nothing but their note become one series under the first of the notes: "Shard 0 is
                // made (x3)". So what was done is told here too.
                action: note.text.chars().take(128).collect(),
                secondary: None,
            };
            let published = self.leadership.write(Duration::from_secs(5), self.recorder.publish(&event, about)).await;
            match published {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, reason = note.reason, "an event cannot be published"),
                Err(error) => tracing::warn!(%error, reason = note.reason, "an event cannot be published"),
            }
        }
    }
}
