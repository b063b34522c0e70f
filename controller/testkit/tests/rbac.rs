//! The comparison of requests with Roles.

#![allow(clippy::unwrap_used, reason = "all of this is tests, their helpers too")]

use testkit::rbac::{Need, Role, RoleError, check, needs};
use testkit::server::Seen;

const ROLE: &str = "
kind: ConfigMap
---
kind: Role
metadata: {name: r}
rules:
- apiGroups: ['']
  resources: [pods, pods/status]
  verbs: [get, list]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [ours]
  verbs: [update]
";

fn seen(verb: &str, group: &str, resource: &str, name: &str) -> Seen {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    Seen {
        who: "c".into(),
        verb: verb.into(),
        group: group.into(),
        resource: resource.into(),
        subresource: subresource.into(),
        namespace: Some("n".into()),
        name: (!name.is_empty()).then(|| name.into()),
        ..Seen::default()
    }
}

fn report(seen: &[Seen]) -> String {
    let needed: Vec<Need> = seen.iter().flat_map(needs).collect();
    check(&needed, &Role::from_yaml(ROLE).unwrap()).to_string()
}

#[test]
fn exact_is_exact() {
    let all = [
        seen("get", "", "pods", "a"),
        seen("list", "", "pods", ""),
        seen("get", "", "pods/status", "a"),
        seen("list", "", "pods/status", ""),
        seen("update", "coordination.k8s.io", "leases", "ours"),
    ];
    assert_eq!(report(&all), "");
    let needed: Vec<Need> = all.iter().flat_map(needs).collect();
    assert!(check(&needed, &Role::from_yaml(ROLE).unwrap()).is_exact());
    assert_eq!(report(&all[1..]), "not used: get pods (core), of r\n");
}

#[test]
fn what_lacks_is_named() {
    let text = report(&[
        seen("delete", "", "pods", "a"),
        seen("update", "coordination.k8s.io", "leases", "theirs"),
        Seen { namespace: None, ..seen("list", "", "pods", "") },
    ]);
    assert!(text.contains("not granted: delete pods (core), asked by c\n"), "{text}");
    assert!(text.contains("not granted: update leases (coordination.k8s.io), asked by c\n"), "{text}");
    assert!(text.contains("not granted: list pods (core) across namespaces, asked by c\n"), "{text}");
    assert!(text.contains("not used: get pods/status (core), of r\n"), "{text}");
}

#[test]
fn an_apply_needs_create_as_well() {
    let apply = Seen { field_manager: Some("c".into()), ..seen("patch", "", "pods", "a") };
    let verbs: Vec<_> = needs(&apply).into_iter().map(|need| (need.verb, need.name)).collect();
    assert_eq!(verbs, [("patch".into(), Some("a".into())), ("create".to_owned(), None)]);
    assert_eq!(needs(&seen("patch", "", "pods", "a")).len(), 1);
    let status = Seen { field_manager: Some("c".into()), ..seen("patch", "", "pods/status", "a") };
    assert_eq!(needs(&status).len(), 1);
    assert!(needs(&seen("get", "", "", "")).is_empty(), "discovery needs no Role");
}

#[test]
fn stars_grant_and_cluster_roles_reach_everywhere() {
    let text =
        "{kind: ClusterRole, metadata: {name: w}, rules: [{apiGroups: ['*'], resources: ['*/status'], verbs: ['*']}]}";
    let roles = Role::from_yaml(text).unwrap();
    let fits = Seen { namespace: None, ..seen("patch", "apps", "deployments/status", "a") };
    assert!(check(&needs(&fits), &roles).is_exact());
    assert_eq!(check(&needs(&seen("patch", "apps", "deployments", "a")), &roles).missing.len(), 1);
}

#[test]
fn what_is_no_role_is_said() {
    assert!(matches!(Role::from_yaml("kind: Pod"), Err(RoleError::Missing)));
    assert!(matches!(Role::from_yaml("a: [b"), Err(RoleError::Yaml(_))));
    let broken = "{kind: Role, metadata: {name: b}, rules: [{verbs: 7}]}";
    assert!(matches!(Role::from_yaml(broken), Err(RoleError::Rule { name, .. }) if name == "b"));
}
