//! What every actor needs: requests whose failures are values, wake-ups, the time, and short ways into JSON.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::pods::PODS;
use crate::harness::raw::{MERGE, PARTIAL, PARTIAL_LIST, Raw, Reply};

/// Where the wall clock is read: the double's, so that paused time moves it.
pub(super) type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Why an actor's round stopped half-way. It is tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// No answer.
    #[error("{0}")]
    Client(#[from] kube::Error),
    /// An answer that the actor cannot go on with.
    #[error("{asked}: {code} {message}")]
    Refused { asked: String, code: u16, message: String },
}

/// An actor's view of the cluster.
#[derive(Clone)]
pub(super) struct World {
    api: Raw,
    clock: Clock,
    within: Option<String>,
    wake: Arc<Notify>,
    watched: Arc<Mutex<BTreeMap<String, JoinHandle<()>>>>,
}

impl World {
    pub(super) fn new(client: kube::Client, clock: Clock) -> Self {
        let (wake, watched) = (Arc::new(Notify::new()), Arc::default());
        Self { api: Raw::new(client, "default"), clock, within: None, wake, watched }
    }

    /// The same, with eyes for the pods of one namespace alone: the rest of the cluster is somebody else's.
    pub(super) fn within(mut self, namespace: &str) -> Self {
        self.within = Some(namespace.to_owned());
        self
    }

    fn scoped(&self, path: &str) -> String {
        match (&self.within, path) {
            (Some(namespace), PODS) => format!("/api/v1/namespaces/{namespace}/pods"),
            _ => path.to_owned(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The time as an object's field.
    pub(super) fn stamp(&self) -> Value {
        json!(self.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
    }

    /// What wakes this actor, for a script that changed.
    pub(super) fn waker(&self) -> Arc<Notify> {
        self.wake.clone()
    }

    /// Wakes this actor at every change in a collection. Asking twice is one watch.
    pub(super) fn watch(&self, path: &str) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.entry(path.to_owned()).or_insert_with(|| {
            let (api, wake, path) = (self.api.clone(), self.wake.clone(), self.scoped(path));
            tokio::spawn(async move {
                loop {
                    if let Ok(Ok(mut watch)) = api.open_watch(&path, "", PARTIAL).await {
                        while watch.line().await.is_some() {
                            wake.notify_one();
                        }
                    }
                    // Whatever was missed while there was no watch shows in the next round.
                    wake.notify_one();
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            })
        });
    }

    /// Waits for a change, or for `due`. Changes that come together are one.
    pub(super) async fn wait(&self, due: Option<Duration>) {
        // Without anything due a slow round makes up for a watch that has stopped telling.
        let due = due.unwrap_or(Duration::from_secs(300));
        let _woken = tokio::time::timeout(due, self.wake.notified()).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    pub(super) fn stop(&self) {
        for (_, task) in std::mem::take(&mut *self.watched.lock().unwrap_or_else(PoisonError::into_inner)) {
            task.abort();
        }
    }

    async fn send(&self, method: Method, path: &str, kind: &str, body: Option<&Value>) -> Result<Reply, Trouble> {
        let headers = [("content-type", kind)];
        let headers: &[(&str, &str)] = if kind.is_empty() { &[] } else { &headers };
        Ok(self.api.attempt(method, path, headers, body).await?)
    }

    /// The items of a collection.
    pub(super) async fn list(&self, path: &str) -> Result<Vec<Value>, Trouble> {
        let mut reply = accepted(self.send(Method::GET, &self.scoped(path), "", None).await?)?;
        Ok(match reply["items"].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        })
    }

    /// The metadata of a collection's items; nothing where the collection is not served (any more).
    pub(super) async fn list_metadata(&self, path: &str) -> Result<Vec<Value>, Trouble> {
        let reply = self.api.attempt(Method::GET, path, &[("accept", PARTIAL_LIST)], None).await?;
        if reply.code == 404 {
            return Ok(Vec::new());
        }
        Ok(match accepted(reply)?["items"].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        })
    }

    /// One object, or a discovery document; `None` when it is not there.
    pub(super) async fn get(&self, path: &str) -> Result<Option<Value>, Trouble> {
        let reply = self.send(Method::GET, path, "", None).await?;
        if reply.code == 404 { Ok(None) } else { accepted(reply).map(Some) }
    }

    /// Creates; `None` when the name is taken or its namespace is gone.
    pub(super) async fn create(&self, path: &str, body: &Value) -> Result<Option<Value>, Trouble> {
        let reply = self.send(Method::POST, path, "", Some(body)).await?;
        if matches!(reply.code, 404 | 409) { Ok(None) } else { accepted(reply).map(Some) }
    }

    /// Replaces, with the version that `body` carries; `None` when another was quicker.
    pub(super) async fn replace(&self, path: &str, body: &Value) -> Result<Option<Value>, Trouble> {
        let reply = self.send(Method::PUT, path, "", Some(body)).await?;
        if matches!(reply.code, 404 | 409) { Ok(None) } else { accepted(reply).map(Some) }
    }

    /// A merge patch; `None` when the object is gone or another was quicker.
    pub(super) async fn merge(&self, path: &str, body: &Value) -> Result<Option<Value>, Trouble> {
        let reply = self.send(Method::PATCH, path, MERGE, Some(body)).await?;
        if matches!(reply.code, 404 | 409) { Ok(None) } else { accepted(reply).map(Some) }
    }

    /// Deletes this very object, if it is still there.
    pub(super) async fn delete(&self, path: &str, object: &Value, mut options: Value) -> Result<(), Trouble> {
        options["preconditions"] = json!({"uid": object["metadata"]["uid"]});
        let reply = self.send(Method::DELETE, path, "", Some(&options)).await?;
        if matches!(reply.code, 404 | 409) { Ok(()) } else { accepted(reply).map(drop) }
    }

    /// Replaces an object's status if that is a change.
    pub(super) async fn set_status(&self, path: &str, object: &Value, status: Value) -> Result<(), Trouble> {
        if object["status"] == status {
            return Ok(());
        }
        let mut body = object.clone();
        body["status"] = status;
        self.replace(&format!("{path}/status"), &body).await.map(drop)
    }
}

fn accepted(reply: Reply) -> Result<Value, Trouble> {
    if (200..300).contains(&reply.code) {
        return Ok(reply.body);
    }
    let message = reply.body["message"].as_str().unwrap_or_default().to_owned();
    Err(Trouble::Refused { asked: reply.asked, code: reply.code, message })
}

/// A string somewhere in an object; empty when there is none.
pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A number somewhere in an object.
pub(super) fn number(object: &Value, pointer: &str) -> Option<i64> {
    object.pointer(pointer).and_then(Value::as_i64)
}

/// A list somewhere in an object; empty when there is none.
pub(super) fn items<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub(super) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

pub(super) fn namespace(object: &Value) -> &str {
    text(object, "/metadata/namespace")
}

pub(super) fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid")
}

pub(super) fn deleting(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// A time somewhere in an object.
pub(super) fn time(object: &Value, pointer: &str) -> Option<Timestamp> {
    text(object, pointer).parse().ok()
}

/// The path of an object in a namespaced collection of `prefix` (`/api/v1`, `/apis/apps/v1`).
pub(super) fn path_of(prefix: &str, plural: &str, object: &Value) -> String {
    format!("{prefix}/namespaces/{}/{plural}/{}", namespace(object), name(object))
}

/// Whether a `LabelSelector` (or `None` for a plain map) takes these labels.
pub(super) fn selects(selector: &Value, labels: &Value) -> bool {
    let exact = selector["matchLabels"].as_object();
    let rules = selector["matchExpressions"].as_array();
    exact.into_iter().flatten().all(|(key, value)| labels.get(key) == Some(value))
        && rules.into_iter().flatten().all(|rule| {
            let value = rule["key"].as_str().and_then(|key| labels.get(key));
            let among = || value.is_some_and(|v| rule["values"].as_array().is_some_and(|all| all.contains(v)));
            match rule["operator"].as_str() {
                Some("In") => among(),
                Some("NotIn") => !among(),
                Some("Exists") => value.is_some(),
                Some("DoesNotExist") => value.is_none(),
                _ => false,
            }
        })
}

/// The reference to the controller that owns an object.
pub(super) fn controller_of(object: &Value) -> Option<&Value> {
    items(object, "/metadata/ownerReferences").iter().find(|r| r["controller"] == true)
}

/// A reference that makes `owner` the controller.
pub(super) fn controller_reference(api_version: &str, kind: &str, owner: &Value) -> Value {
    json!({
        "apiVersion": api_version, "kind": kind, "name": name(owner), "uid": uid(owner),
        "controller": true, "blockOwnerDeletion": true,
    })
}

/// The condition of a type, if it is there.
pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    items(object, "/status/conditions").iter().find(|c| c["type"] == kind)
}

/// Whether a pod is ready.
pub(super) fn ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|c| c["status"] == "True")
}

/// Whether a pod has run its course.
pub(super) fn finished(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// A condition whose transition time moves only with its status.
pub(super) fn set_condition(
    conditions: &mut Vec<Value>,
    now: &Value,
    kind: &str,
    status: bool,
    reason: &str,
    message: &str,
) {
    let status = if status { "True" } else { "False" };
    let mut new = json!({"type": kind, "status": status, "lastTransitionTime": now});
    if !reason.is_empty() {
        new["reason"] = json!(reason);
    }
    if !message.is_empty() {
        new["message"] = json!(message);
    }
    match conditions.iter_mut().find(|c| c["type"] == kind) {
        Some(old) => {
            if old["status"] == new["status"] {
                new["lastTransitionTime"] = old["lastTransitionTime"].clone();
            }
            *old = new;
        }
        None => conditions.push(new),
    }
}

/// A short name for a document, the same for the same content.
pub(super) fn hash(document: &Value) -> String {
    // FNV-1a over the text; serde_json writes the same document the same way.
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in document.to_string().bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut text = String::new();
    for _ in 0..10 {
        let index = usize::try_from(hash % LETTERS.len() as u64).unwrap_or_default();
        text.push(char::from(LETTERS[index]));
        hash /= LETTERS.len() as u64;
    }
    text
}

/// `5` or `"25%"` of `whole`, rounded up or down.
pub(super) fn portion(value: &Value, whole: i64, up: bool) -> Option<i64> {
    if let Some(number) = value.as_i64() {
        return Some(number);
    }
    let percent: i64 = value.as_str()?.strip_suffix('%')?.parse().ok()?;
    Some(if up { (whole * percent + 99) / 100 } else { whole * percent / 100 })
}
