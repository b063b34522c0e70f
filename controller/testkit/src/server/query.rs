//! The parameters of a request, from its query string and (for deletes) its body.

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::failure::Failure;

/// What to do with fields that the schema does not know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    Strict,
    #[default]
    Warn,
    Ignore,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    pub(crate) watch: bool,
    pub(crate) timeout_seconds: Option<u64>,
    pub(crate) label_selector: String,
    pub(crate) field_selector: String,
    /// Absent and empty mean the same.
    pub(crate) resource_version: Option<String>,
    pub(crate) resource_version_match: Option<String>,
    pub(crate) limit: usize,
    pub(crate) continued: Option<String>,
    pub(crate) bookmarks: bool,
    pub(crate) initial_events: bool,
    pub(crate) dry_run: bool,
    pub(crate) field_manager: Option<String>,
    pub(crate) force: bool,
    pub(crate) validation: FieldValidation,
    pub(crate) delete: DeleteOptions,
}

/// `metav1.DeleteOptions`.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) grace: Option<i64>,
    pub(crate) propagation: Option<String>,
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
}

fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

fn number<T: std::str::FromStr>(key: &str, value: &str) -> Result<T, Failure> {
    value.parse().map_err(|_| Failure::bad_request(format!("invalid value {value:?} for parameter {key}")))
}

impl Query {
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let mut query = Self::default();
        for pair in text.split('&').filter(|p| !p.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            query.take(&decode(key), decode(value))?;
        }
        Ok(query)
    }

    fn take(&mut self, key: &str, value: String) -> Result<(), Failure> {
        let yes = matches!(value.as_str(), "true" | "1");
        match key {
            "watch" => self.watch = yes,
            "timeoutSeconds" => self.timeout_seconds = Some(number(key, &value)?),
            "labelSelector" => self.label_selector = value,
            "fieldSelector" => self.field_selector = value,
            "resourceVersion" => self.resource_version = (!value.is_empty()).then_some(value),
            "resourceVersionMatch" => self.resource_version_match = (!value.is_empty()).then_some(value),
            "limit" => self.limit = number(key, &value)?,
            "continue" => self.continued = (!value.is_empty()).then_some(value),
            "allowWatchBookmarks" => self.bookmarks = yes,
            "sendInitialEvents" => self.initial_events = yes,
            "dryRun" => match value.as_str() {
                "All" => self.dry_run = true,
                "" => {}
                _ => return Err(Failure::bad_request(format!("Invalid value: {value:?}: dryRun"))),
            },
            "fieldManager" => self.field_manager = (!value.is_empty()).then_some(value),
            "force" => self.force = yes,
            "fieldValidation" => {
                self.validation = match value.as_str() {
                    "Strict" => FieldValidation::Strict,
                    "Ignore" => FieldValidation::Ignore,
                    "Warn" | "" => FieldValidation::Warn,
                    _ => return Err(Failure::bad_request(format!("fieldValidation parameter unsupported: {value}"))),
                }
            }
            "gracePeriodSeconds" => self.delete.grace = Some(number(key, &value)?),
            "propagationPolicy" => self.delete.propagation = (!value.is_empty()).then_some(value),
            "orphanDependents" if yes => self.delete.propagation = Some("Orphan".to_owned()),
            _ => {}
        }
        Ok(())
    }

    /// Reads the options in a delete's body; the body wins over the query string.
    pub(crate) fn take_delete_body(&mut self, body: &Value) -> Result<(), Failure> {
        let text = |v: &Value| v.as_str().map(str::to_owned);
        if let Some(grace) = body["gracePeriodSeconds"].as_i64() {
            self.delete.grace = Some(grace);
        }
        if body["orphanDependents"] == true {
            self.delete.propagation = Some("Orphan".to_owned());
        }
        self.delete.propagation = text(&body["propagationPolicy"]).or(self.delete.propagation.take());
        self.delete.uid = text(&body["preconditions"]["uid"]);
        self.delete.resource_version = text(&body["preconditions"]["resourceVersion"]);
        if body["dryRun"].as_array().is_some_and(|all| !all.is_empty()) {
            self.dry_run = true;
        }
        match self.delete.propagation.as_deref() {
            None | Some("Background" | "Foreground" | "Orphan") => Ok(()),
            Some(other) => Err(Failure::new(
                422,
                "Invalid",
                format!(
                    "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: {other:?}: \
                     supported values: \"Background\", \"Foreground\", \"Orphan\""
                ),
            )),
        }
    }
}
