//! What a client asks before it asks for resources: versions, groups, kinds, and the OpenAPI document's skeleton.

mod openapi;

use std::{collections::BTreeMap, sync::Arc};

use http::{HeaderMap, Response};
use serde_json::{Value, json};

use super::{
    core::Core,
    resource::Resource,
    respond::{self, Body, accepted},
};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

type ByVersion = BTreeMap<String, Vec<Arc<Resource>>>;

/// Answers a path that names no resource.
pub(crate) fn answer(core: &Core, path: &str, headers: &HeaderMap) -> Response<Body> {
    let groups = groups(core);
    let steps: Vec<&str> = path.trim_matches('/').split('/').collect();
    let aggregated = accepted(headers)
        .iter()
        .any(|parts| parts.iter().any(|p| p == "as=APIGroupDiscoveryList") && parts.iter().any(|p| p == "v=v2"));
    match steps.as_slice() {
        ["version"] => respond::json(200, &version()),
        ["healthz" | "livez" | "readyz", ..] => respond::text(200, "ok"),
        ["api" | "apis"] if aggregated => {
            let core_group = steps == ["api"];
            let items: Vec<Value> =
                groups.iter().filter(|(g, _)| g.is_empty() == core_group).map(|(g, v)| discovered(g, v)).collect();
            let list = json!({
                "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items,
            });
            respond::json_as(200, AGGREGATED, &list)
        }
        ["api"] => respond::json(200, &json!({ "kind": "APIVersions", "versions": ["v1"] })),
        ["apis"] => {
            let named: Vec<Value> = groups.iter().filter(|(g, _)| !g.is_empty()).map(|(g, v)| group(g, v)).collect();
            respond::json(200, &json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": named }))
        }
        ["apis", name] => match groups.get(*name) {
            Some(versions) => {
                let mut one = group(name, versions);
                one["kind"] = "APIGroup".into();
                one["apiVersion"] = "v1".into();
                respond::json(200, &one)
            }
            None => missing(),
        },
        ["api", version] => resources(&groups, "", version),
        ["apis", name, version] => resources(&groups, name, version),
        ["openapi", "v3", rest @ ..] => {
            openapi::answer(&groups, rest).map_or_else(missing, |doc| respond::json(200, &doc))
        }
        _ => missing(),
    }
}

fn missing() -> Response<Body> {
    respond::text(404, "404 page not found\n")
}

fn version() -> Value {
    let minor = crate::harness::DOUBLES_MINOR;
    json!({
        "major": "1", "minor": minor.to_string(), "gitVersion": format!("v1.{minor}.0"), "gitCommit": "roompin-testkit", "gitTreeState": "clean",
        "buildDate": "2025-04-23T00:00:00Z", "goVersion": "none", "compiler": "rustc", "platform": "linux/amd64",
    })
}

/// Everything served now, by group and version.
fn groups(core: &Core) -> BTreeMap<String, ByVersion> {
    let mut groups: BTreeMap<String, ByVersion> = BTreeMap::new();
    for resource in core.registry.all() {
        let versions = groups.entry(resource.group.clone()).or_default();
        versions.entry(resource.version.clone()).or_default().push(resource.clone());
    }
    groups
}

/// A group's versions, the preferred one first: stable before beta before alpha, newer before older.
fn preferred(versions: &ByVersion) -> Vec<&String> {
    let rank = |version: &str| {
        let digits =
            |s: &str| s.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u32>().unwrap_or(0);
        let stage = if version.contains("alpha") {
            0
        } else if version.contains("beta") {
            1
        } else {
            2
        };
        let minor = version.rsplit_once(|c: char| c.is_ascii_alphabetic()).map_or(0, |(_, tail)| digits(tail));
        (stage, digits(version.trim_start_matches('v')), minor)
    };
    let mut names: Vec<&String> = versions.keys().collect();
    names.sort_by_key(|v| std::cmp::Reverse(rank(v)));
    names
}

fn group(name: &str, versions: &ByVersion) -> Value {
    let all: Vec<Value> = preferred(versions)
        .into_iter()
        .map(|v| json!({ "groupVersion": format!("{name}/{v}"), "version": v }))
        .collect();
    json!({ "name": name, "versions": all, "preferredVersion": all.first() })
}

/// Each subresource with its kind's group, version and name, and its verbs.
fn subresources(r: &Resource) -> Vec<(&'static str, [String; 3], Vec<&'static str>)> {
    let gvk = |g: &str, v: &str, k: &str| [g.to_owned(), v.to_owned(), k.to_owned()];
    let mut all = Vec::new();
    if r.status {
        all.push(("status", gvk(&r.group, &r.version, &r.kind), vec!["get", "patch", "update"]));
    }
    if r.scale.is_some() {
        all.push(("scale", gvk("autoscaling", "v1", "Scale"), vec!["get", "patch", "update"]));
    }
    for action in r.actions {
        let kind = if *action == "eviction" { gvk("policy", "v1", "Eviction") } else { gvk("", "v1", "Binding") };
        all.push((action, kind, vec!["create"]));
    }
    all
}

fn resources(groups: &BTreeMap<String, ByVersion>, name: &str, version: &str) -> Response<Body> {
    let Some(found) = groups.get(name).and_then(|g| g.get(version)) else { return missing() };
    let mut list = Vec::new();
    for r in found {
        list.push(json!({
            "name": r.plural, "singularName": r.singular, "namespaced": r.namespaced, "kind": r.kind, "verbs": VERBS,
            "shortNames": r.short_names, "categories": r.categories,
        }));
        for (sub, [group, version, kind], verbs) in subresources(r) {
            list.push(json!({
                "name": format!("{}/{sub}", r.plural), "singularName": "", "namespaced": r.namespaced, "kind": kind,
                "group": group, "version": version, "verbs": verbs,
            }));
        }
    }
    let group_version = if name.is_empty() { version.to_owned() } else { format!("{name}/{version}") };
    let list = json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": list,
    });
    respond::json(200, &list)
}

fn discovered(name: &str, versions: &ByVersion) -> Value {
    let kind = |[group, version, kind]: [String; 3]| json!({ "group": group, "version": version, "kind": kind });
    let one = |r: &Arc<Resource>| {
        let subs: Vec<Value> = subresources(r)
            .into_iter()
            .map(|(sub, gvk, verbs)| json!({ "subresource": sub, "responseKind": kind(gvk), "verbs": verbs }))
            .collect();
        json!({
            "resource": r.plural, "responseKind": kind([r.group.clone(), r.version.clone(), r.kind.clone()]),
            "scope": if r.namespaced { "Namespaced" } else { "Cluster" }, "singularResource": r.singular,
            "verbs": VERBS, "shortNames": r.short_names, "categories": r.categories, "subresources": subs,
        })
    };
    let all: Vec<Value> = preferred(versions)
        .into_iter()
        .map(|v| {
            let resources: Vec<Value> = versions[v].iter().map(one).collect();
            json!({ "version": v, "freshness": "Current", "resources": resources })
        })
        .collect();
    json!({ "metadata": { "name": name, "creationTimestamp": null }, "versions": all })
}
