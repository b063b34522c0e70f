//! Lists: selectors, pages, revisions.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::{
    core::Core,
    failure::{Cause, Failure, Subject},
    query::Query,
    resource::Resource,
    selector::{Fields, Labels},
    store::Key,
};

/// What a list or a watch is about.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    /// `None` for all namespaces and for cluster-wide kinds.
    pub(crate) namespace: Option<String>,
    pub(crate) labels: Labels,
    pub(crate) fields: Fields,
}

impl Scope {
    pub(crate) fn new(resource: &Resource, namespace: Option<&str>, query: &Query) -> Result<Self, Failure> {
        Ok(Self {
            namespace: namespace.map(str::to_owned),
            labels: Labels::parse(&query.label_selector)?,
            fields: Fields::parse(&query.field_selector, &|path| resource.selects_by(path))?,
        })
    }

    pub(crate) fn holds(&self, key: &Key) -> bool {
        self.namespace.as_ref().is_none_or(|ns| *ns == key.0)
    }

    /// Whether a stored object is selected; field selectors speak of the shown version.
    pub(crate) fn selects(&self, resource: &Resource, stored: &Value) -> bool {
        if !self.labels.matches(stored) {
            return false;
        }
        self.fields.is_empty() || self.fields.matches(&resource.show(stored))
    }
}

/// A `continue` token: the revision of the first page, and the last key given.
#[derive(Debug, PartialEq)]
struct Page {
    revision: u64,
    after: Key,
}

impl Page {
    fn token(&self) -> String {
        // Names hold no slash, so three plain parts read back; clients treat it as opaque.
        format!("{}/{}/{}", self.revision, self.after.0, self.after.1)
    }

    fn read(token: &str) -> Result<Self, Failure> {
        let mut parts = token.splitn(3, '/').map(str::to_owned);
        let page = (|| {
            let revision = parts.next()?.parse().ok()?;
            Some(Self { revision, after: (parts.next()?, parts.next()?) })
        })();
        page.ok_or_else(|| Failure::bad_request("continue key is not valid: it does not come from this server"))
    }
}

/// A page of objects and the list's own metadata.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) items: Vec<Value>,
    pub(crate) meta: Value,
}

pub(crate) fn revision(text: &str) -> Result<u64, Failure> {
    text.parse().map_err(|_| {
        let why = format!("strconv.ParseUint: parsing {text:?}: invalid syntax");
        let cause = Cause::invalid("resourceVersion", &text.into(), &why);
        Failure::invalid(Subject { group: "", plural: "", kind: "" }, "", &[cause])
    })
}

impl Core {
    pub(crate) fn list(&self, resource: &Resource, scope: &Scope, query: &Query) -> Result<Listed, Failure> {
        let page = query.continued.as_deref().map(Page::read).transpose()?;
        let current = self.store.revision();
        let at = match (&page, &query.resource_version) {
            (Some(page), _) => page.revision,
            (None, Some(asked)) => {
                let asked = revision(asked)?;
                if asked > current {
                    return Err(Failure::too_large(asked, current));
                }
                if query.resource_version_match.as_deref() == Some("Exact") { asked } else { current }
            }
            (None, None) => current,
        };
        let objects = self.store.snapshot(&resource.collection, at).ok_or_else(|| match page {
            Some(_) => Failure::expired(
                "The provided continue parameter is too old to display a consistent list result. You can start a new \
                 list without the continue parameter.",
            ),
            None => Failure::too_old(at, self.store.oldest(&resource.collection)),
        })?;
        let after = page.map(|p| p.after);
        Ok(cut(resource, scope, &objects, at, after.as_ref(), query.limit))
    }
}

fn cut(
    resource: &Resource,
    scope: &Scope,
    objects: &BTreeMap<Key, Arc<Value>>,
    at: u64,
    after: Option<&Key>,
    limit: usize,
) -> Listed {
    let rest = objects.iter().filter(|(key, _)| after.is_none_or(|a| *key > a) && scope.holds(key));
    let mut selected = rest.filter(|(_, object)| scope.selects(resource, object));
    let mut items = Vec::new();
    let mut last = None;
    while limit == 0 || items.len() < limit {
        let Some((key, object)) = selected.next() else { break };
        items.push(resource.show(object));
        last = Some(key.clone());
    }
    let mut meta = json!({ "resourceVersion": at.to_string() });
    let remaining = selected.count();
    if let Some(after) = last.filter(|_| remaining > 0) {
        meta["continue"] = Page { revision: at, after }.token().into();
        // The real server counts only where no selector makes that costly.
        if scope.labels.is_empty() && scope.fields.is_empty() {
            meta["remainingItemCount"] = remaining.into();
        }
    }
    Listed { items, meta }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_read_back() {
        let page = Page { revision: 7, after: ("ns".into(), "a.b".into()) };
        assert_eq!(Page::read(&page.token()).unwrap(), page);
        assert_eq!(Page::read("rubbish").unwrap_err().code, 400);
    }
}
