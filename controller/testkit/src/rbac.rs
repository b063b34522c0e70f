//! Is the shipped Role exactly what the code uses? The double's record of requests against the rules of Roles.
//!
//! Every verb on every resource that was seen must be granted, and every grant must have been used. One test does not
//! use all of them, so the record is kept for the whole process ([`seen_by`]), and with `TESTKIT_RECORD=FILE` it is
//! appended to a file that a last step reads back ([`read_record`]).

use std::collections::BTreeSet;
use std::fmt;
use std::io::Write;
use std::path::Path;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::server::Seen;

/// The environment variable that names the file to keep the record in.
pub const RECORD: &str = "TESTKIT_RECORD";

/// One permission that a request needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Need {
    /// The identity that asked.
    pub who: String,
    /// The verb.
    pub verb: String,
    /// The API group, empty for the core one.
    pub group: String,
    /// The resource, with its subresource as in `pods/status`.
    pub resource: String,
    /// The object's name, where the verb has one.
    pub name: Option<String>,
    /// Asked for all namespaces, or for what has none.
    pub across: bool,
}

/// What requests need. A server-side apply needs `create` beside `patch`, for that is what it does the first time.
pub fn needs(seen: &Seen) -> Vec<Need> {
    if seen.resource.is_empty() {
        return Vec::new();
    }
    let resource = match seen.subresource.as_str() {
        "" => seen.resource.clone(),
        sub => format!("{}/{sub}", seen.resource),
    };
    let of = |verb: &str| {
        // The name of what is yet to be made is not known when access is decided.
        let named = !(verb == "create" && seen.subresource.is_empty()) && verb != "deletecollection";
        Need {
            who: seen.who.clone(),
            verb: verb.to_owned(),
            group: seen.group.clone(),
            resource: resource.clone(),
            name: seen.name.clone().filter(|_| named),
            across: seen.namespace.is_none(),
        }
    };
    let mut needs = vec![of(&seen.verb)];
    if is_apply(seen) {
        needs.push(of("create"));
    }
    needs
}

/// Only an apply has to name its field manager; a merge patch of ours does not.
fn is_apply(seen: &Seen) -> bool {
    seen.verb == "patch" && seen.field_manager.is_some() && seen.subresource.is_empty()
}

/// One rule of a Role, as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rule {
    api_groups: Vec<String>,
    resources: Vec<String>,
    verbs: Vec<String>,
    resource_names: Vec<String>,
}

/// The rules of one Role or ClusterRole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    name: String,
    cluster: bool,
    rules: Vec<Rule>,
}

/// Why a Role cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// The text is not YAML.
    #[error("not YAML: {0}")]
    Yaml(#[from] serde_saphyr::Error),
    /// A rule is not what a rule looks like.
    #[error("{name}: {source}")]
    Rule {
        /// The Role's name.
        name: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// Nothing in the text is a Role.
    #[error("there is no Role or ClusterRole in it")]
    Missing,
}

impl Role {
    /// The Roles and ClusterRoles among the documents of a YAML text; others are passed over.
    ///
    /// # Errors
    /// When the text is no YAML, has a broken rule, or no Role.
    pub fn from_yaml(text: &str) -> Result<Vec<Self>, RoleError> {
        let documents: Vec<Value> = serde_saphyr::from_multiple(text)?;
        let mut roles = Vec::new();
        for document in documents {
            let cluster = match document["kind"].as_str() {
                Some("Role") => false,
                Some("ClusterRole") => true,
                _ => continue,
            };
            let name = document["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let rules = match &document["rules"] {
                Value::Null => Ok(Vec::new()),
                rules => Vec::<Rule>::deserialize(rules),
            };
            let rules = rules.map_err(|source| RoleError::Rule { name: name.clone(), source })?;
            roles.push(Self { name, cluster, rules });
        }
        if roles.is_empty() { Err(RoleError::Missing) } else { Ok(roles) }
    }

    /// What the Role grants, piece by piece.
    fn grants(&self) -> impl Iterator<Item = Grant> + '_ {
        self.rules.iter().flat_map(move |rule| {
            let names: Vec<Option<String>> = match rule.resource_names.as_slice() {
                [] => vec![None],
                names => names.iter().cloned().map(Some).collect(),
            };
            let mut all = Vec::new();
            for group in &rule.api_groups {
                for resource in &rule.resources {
                    for verb in &rule.verbs {
                        for name in &names {
                            all.push(Grant {
                                role: self.name.clone(),
                                cluster: self.cluster,
                                verb: verb.clone(),
                                group: group.clone(),
                                resource: resource.clone(),
                                name: name.clone(),
                            });
                        }
                    }
                }
            }
            all
        })
    }
}

/// One piece of what a Role grants.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// The Role's name.
    pub role: String,
    /// Whether it holds for the whole cluster.
    pub cluster: bool,
    /// The verb, or `*`.
    pub verb: String,
    /// The API group, or `*`.
    pub group: String,
    /// The resource with its subresource, or `*`.
    pub resource: String,
    /// The one object it is limited to.
    pub name: Option<String>,
}

impl Grant {
    fn covers(&self, need: &Need) -> bool {
        let is = |granted: &str, asked: &str| granted == "*" || granted == asked;
        let resource = is(&self.resource, &need.resource)
            || (self.resource.strip_prefix("*/"))
                .is_some_and(|sub| need.resource.split_once('/').is_some_and(|(_, asked)| asked == sub));
        is(&self.verb, &need.verb)
            && is(&self.group, &need.group)
            && resource
            && (self.cluster || !need.across)
            && self.name.as_ref().is_none_or(|name| need.name.as_ref() == Some(name))
    }
}

/// What a comparison found. Empty is right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Asked for and not granted.
    pub missing: BTreeSet<Need>,
    /// Granted and never asked for.
    pub unused: BTreeSet<Grant>,
}

impl Report {
    /// Whether the Role is exactly right.
    pub fn is_exact(&self) -> bool {
        self.missing.is_empty() && self.unused.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = |group: &str| if group.is_empty() { "core".to_owned() } else { group.to_owned() };
        for need in &self.missing {
            let place = if need.across { " across namespaces" } else { "" };
            writeln!(f, "not granted: {} {} ({}){place}, asked by {}", need.verb, need.resource, group(&need.group), need.who)?;
        }
        for grant in &self.unused {
            let name = grant.name.as_ref().map_or(String::new(), |name| format!(" named {name}"));
            writeln!(f, "not used: {} {} ({}){name}, of {}", grant.verb, grant.resource, group(&grant.group), grant.role)?;
        }
        Ok(())
    }
}

/// Compares what was needed with what the Roles grant together.
pub fn check<'a>(needed: impl IntoIterator<Item = &'a Need>, roles: &[Role]) -> Report {
    let grants: Vec<Grant> = roles.iter().flat_map(Role::grants).collect();
    let mut used = vec![false; grants.len()];
    let mut report = Report::default();
    for need in needed {
        let mut granted = false;
        for (grant, used) in grants.iter().zip(&mut used) {
            if grant.covers(need) {
                (granted, *used) = (true, true);
            }
        }
        if !granted {
            // Names do not matter where nothing is granted at all; one line for each kind of request is enough.
            let name = if grants.iter().any(|g| g.name.is_some()) { need.name.clone() } else { None };
            report.missing.insert(Need { name, ..need.clone() });
        }
    }
    report.unused = grants.into_iter().zip(used).filter(|(_, used)| !used).map(|(grant, _)| grant).collect();
    report
}

static SEEN: LazyLock<Mutex<BTreeSet<Need>>> = LazyLock::new(Mutex::default);

fn record() -> MutexGuard<'static, BTreeSet<Need>> {
    SEEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds a served request to the process's record.
pub(crate) fn remember(seen: &Seen) {
    for need in needs(seen) {
        let mut record = record();
        if record.contains(&need) {
            continue;
        }
        append(&need);
        record.insert(need);
    }
}

fn append(need: &Need) {
    let Some(path) = std::env::var_os(RECORD) else { return };
    let line = serde_json::to_string(need).unwrap_or_default();
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    // One write for one line, so that the processes of a test run do not mix theirs.
    if let Err(e) = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes())) {
        eprintln!("*** {RECORD}={}: {e} ***", path.display());
    }
}

/// What an identity has needed so far in this process.
pub fn seen_by(who: &str) -> BTreeSet<Need> {
    record().iter().filter(|need| need.who == who).cloned().collect()
}

/// What an identity needed in all runs that wrote to a record.
///
/// # Errors
/// When the file cannot be read or a line of it is none of ours.
pub fn read_record(path: &Path, who: &str) -> std::io::Result<BTreeSet<Need>> {
    let text = std::fs::read_to_string(path)?;
    let needs = text.lines().map(serde_json::from_str::<Need>).collect::<Result<BTreeSet<_>, _>>()?;
    Ok(needs.into_iter().filter(|need| need.who == who).collect())
}

#[cfg(test)]
mod tests;
