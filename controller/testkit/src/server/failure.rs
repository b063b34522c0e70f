//! What the server answers when it refuses: the `Status` body that kube-apiserver sends, word for word where clients look.

use serde_json::{Value, json};

pub(crate) use crate::schema::Cause;
use crate::schema::summary;

impl Cause {
    pub(crate) fn new(field: &str, reason: &str, message: impl Into<String>) -> Self {
        Self { field: field.to_owned(), reason: reason.to_owned(), message: message.into() }
    }

    /// `Invalid value: <value>: <why>`.
    pub(crate) fn invalid(field: &str, value: &Value, why: &str) -> Self {
        Self::new(field, "FieldValueInvalid", format!("Invalid value: {value}: {why}"))
    }

    pub(crate) fn required(field: &str, why: &str) -> Self {
        let message = if why.is_empty() { "Required value".to_owned() } else { format!("Required value: {why}") };
        Self::new(field, "FieldValueRequired", message)
    }

    pub(crate) fn forbidden(field: &str, why: &str) -> Self {
        Self::new(field, "FieldValueForbidden", format!("Forbidden: {why}"))
    }
}

/// A refusal: HTTP code, reason, message and details of a `Status`.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{code} {reason}: {message}")]
pub struct Failure {
    /// The HTTP status code.
    pub code: u16,
    /// The machine-readable reason, e.g. `NotFound`. Empty when the server knows none.
    pub reason: String,
    /// The text for people.
    pub message: String,
    /// `Status.details`.
    pub details: Option<Value>,
    /// Seconds for the `Retry-After` header and `details.retryAfterSeconds`.
    pub retry_after: Option<u32>,
}

/// The thing that a refusal is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) group: &'a str,
    pub(crate) plural: &'a str,
    pub(crate) kind: &'a str,
}

impl Subject<'_> {
    fn qualified(&self, word: &str) -> String {
        if self.group.is_empty() { word.to_owned() } else { format!("{word}.{}", self.group) }
    }

    fn details(&self, name: &str, kind: &str) -> Value {
        let mut details = json!({ "name": name, "kind": kind });
        if !self.group.is_empty() {
            details["group"] = json!(self.group);
        }
        details
    }
}

impl Failure {
    /// A refusal without details.
    pub fn new(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Self { code, reason: reason.to_owned(), message: message.into(), details: None, retry_after: None }
    }

    /// Tells the client when to come again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// 400, for a request that cannot be understood.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 409, the conflict of a write with an old resourceVersion.
    pub fn conflict(group: &str, plural: &str, name: &str) -> Self {
        Self::conflicting(
            Subject { group, plural, kind: "" },
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 429, as priority and fairness answers.
    pub fn too_many_requests(retry_after: u32) -> Self {
        let message = "Too many requests, please try again later.";
        Self::new(429, "TooManyRequests", message).retry_after(retry_after)
    }

    /// 500 with a text of the caller's.
    pub fn internal(why: &str) -> Self {
        let mut failure = Self::new(500, "InternalError", format!("Internal error occurred: {why}"));
        failure.details = Some(json!({ "causes": [{ "message": why }] }));
        failure
    }

    /// 503, as while the server starts or loses its storage.
    pub fn unavailable() -> Self {
        Self::new(503, "ServiceUnavailable", "the server is currently unable to handle the request")
    }

    /// 410 for a resourceVersion that the server no longer holds.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    pub(crate) fn too_old(wanted: u64, oldest: u64) -> Self {
        Self::expired(format!("too old resource version: {wanted} ({oldest})"))
    }

    pub(crate) fn too_large(wanted: u64, current: u64) -> Self {
        let message = format!("Too large resource version: {wanted}, current: {current}");
        let mut failure = Self::new(504, "Timeout", format!("Timeout: {message}")).retry_after(1);
        let cause = json!({ "reason": "ResourceVersionTooLarge", "message": "Too large resource version" });
        failure.details = Some(json!({ "causes": [cause] }));
        failure
    }

    pub(crate) fn conflicting(subject: Subject<'_>, name: &str, why: &str) -> Self {
        let qualified = subject.qualified(subject.plural);
        let message = format!("Operation cannot be fulfilled on {qualified} \"{name}\": {why}");
        let mut failure = Self::new(409, "Conflict", message);
        failure.details = Some(subject.details(name, subject.plural));
        failure
    }

    pub(crate) fn not_found(subject: Subject<'_>, name: &str) -> Self {
        let mut failure =
            Self::new(404, "NotFound", format!("{} \"{name}\" not found", subject.qualified(subject.plural)));
        failure.details = Some(subject.details(name, subject.plural));
        failure
    }

    pub(crate) fn already_exists(subject: Subject<'_>, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", subject.qualified(subject.plural));
        let mut failure = Self::new(409, "AlreadyExists", message);
        failure.details = Some(subject.details(name, subject.plural));
        failure
    }

    pub(crate) fn forbidden(subject: Subject<'_>, name: &str, why: &str) -> Self {
        let what = subject.qualified(subject.plural);
        let message = if name.is_empty() {
            format!("{what} is forbidden: {why}")
        } else {
            format!("{what} \"{name}\" is forbidden: {why}")
        };
        let mut failure = Self::new(403, "Forbidden", message);
        failure.details = Some(subject.details(name, subject.plural));
        failure
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    }

    pub(crate) fn invalid(subject: Subject<'_>, name: &str, causes: &[Cause]) -> Self {
        let list = summary(causes);
        let message = format!("{} \"{name}\" is invalid: {list}", subject.qualified(subject.kind));
        let mut failure = Self::new(422, "Invalid", message);
        let mut details = subject.details(name, subject.kind);
        details["causes"] = causes
            .iter()
            .map(|c| json!({ "reason": c.reason, "message": c.message, "field": c.field }))
            .collect::<Vec<_>>()
            .into();
        failure.details = Some(details);
        failure
    }

    /// Adds causes to the details, e.g. those of an eviction that a budget forbids.
    pub(crate) fn with_causes(mut self, causes: Value) -> Self {
        self.details.get_or_insert_with(|| json!({}))["causes"] = causes;
        self
    }

    /// The `Status` body.
    pub fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if !self.reason.is_empty() {
            status["reason"] = json!(self.reason);
        }
        let mut details = self.details.clone();
        if let Some(seconds) = self.retry_after {
            details.get_or_insert_with(|| json!({}))["retryAfterSeconds"] = json!(seconds);
        }
        if let Some(details) = details {
            status["details"] = details;
        }
        status
    }
}
