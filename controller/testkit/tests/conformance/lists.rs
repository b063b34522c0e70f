//! Lists: pages, selectors, and answers that hold only metadata.

use serde_json::json;

use crate::kit::*;

#[tokio::test]
async fn a_list_is_sorted_by_name_and_has_a_version() {
    let h = start().await;
    let api = h.api();
    for name in ["b", "c", "a"] {
        api.post("v1/configmaps", &labelled(name, json!({"mine": "yes"}))).await.ok();
    }
    let list = api.get("v1/configmaps?labelSelector=mine").await.ok();
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("ConfigMapList"), &json!("v1")));
    assert_eq!(names(&list), ["a", "b", "c"]);
    assert!(version(&list) > 0);
    let none = api.get("v1/secrets?labelSelector=nothing-here").await.ok();
    assert_eq!(none["items"], json!([]), "no items are an empty list");
    assert!(version(&none) > 0, "an empty list has a version too");
    let cached = api.get("v1/configmaps?resourceVersion=0").await.ok();
    assert!(version(&cached) > 0);
    assert!(cached["items"].is_array());
}

#[tokio::test]
async fn pages_show_one_moment() {
    let h = start_with_things().await;
    let api = h.api();
    for name in ["a", "b", "c", "d", "e", "f", "g"] {
        api.post(THINGS, &thing(name, json!({"size": 1}))).await.ok();
    }
    let first = api.get(&format!("{THINGS}?limit=3")).await.ok();
    assert_eq!(names(&first), ["a", "b", "c"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 4);
    // Neither of these belongs to the moment of the first page.
    api.post(THINGS, &thing("dd", json!({"size": 1}))).await.ok();
    api.delete(&format!("{THINGS}/e")).await.ok();
    let token = |page: &serde_json::Value| page["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
    let second = api.get(&format!("{THINGS}?limit=3&continue={}", token(&first))).await.ok();
    assert_eq!(names(&second), ["d", "e", "f"]);
    assert_eq!(version(&second), version(&first));
    let third = api.get(&format!("{THINGS}?limit=3&continue={}", token(&second))).await.ok();
    assert_eq!(names(&third), ["g"]);
    assert_eq!(token(&third), "", "the last page has no token");
    assert_eq!(names(&api.get(THINGS).await.ok()), ["a", "b", "c", "d", "dd", "f", "g"]);
}

#[tokio::test]
async fn a_token_that_nobody_gave_is_refused() {
    let h = start().await;
    h.api().get("v1/configmaps?limit=1&continue=nonsense").await.refused(400, "BadRequest");
}

#[tokio::test]
async fn a_page_of_a_forgotten_moment_is_gone() {
    let h = start().await;
    let Some(double) = h.double() else {
        return skipped("an expired continue token", "a real server forgets only after minutes");
    };
    let api = h.api();
    for name in ["a", "b", "c"] {
        api.post("v1/configmaps", &configmap(name, json!({}))).await.ok();
    }
    let first = api.get("v1/configmaps?limit=1").await.ok();
    api.post("v1/configmaps", &configmap("d", json!({}))).await.ok();
    double.compact();
    let token = first["metadata"]["continue"].as_str().expect("a token");
    api.get(&format!("v1/configmaps?limit=1&continue={token}")).await.refused(410, "Expired");
}

#[tokio::test]
async fn label_selectors() {
    let h = start().await;
    let api = h.api();
    for (name, labels) in [
        ("a", json!({"mine": "1", "tier": "web", "env": "prod"})),
        ("b", json!({"mine": "1", "tier": "db", "env": "prod"})),
        ("c", json!({"mine": "1", "tier": "web", "env": "test"})),
        ("d", json!({"mine": "1"})),
    ] {
        api.post("v1/configmaps", &labelled(name, labels)).await.ok();
    }
    for (selector, expected) in [
        ("mine", vec!["a", "b", "c", "d"]),
        ("tier=web", vec!["a", "c"]),
        ("tier==web", vec!["a", "c"]),
        ("mine,tier!=web", vec!["b", "d"]),
        ("tier in (web,db)", vec!["a", "b", "c"]),
        ("tier in (db)", vec!["b"]),
        ("mine,tier notin (web)", vec!["b", "d"]),
        ("tier", vec!["a", "b", "c"]),
        ("mine,!tier", vec!["d"]),
        ("tier=web,env=prod", vec!["a"]),
        ("tier in (web), env notin (prod)", vec!["c"]),
        ("tier=nothing", vec![]),
    ] {
        let query = selector.replace('=', "%3D").replace(' ', "%20").replace('!', "%21").replace(',', "%2C");
        let list = api.get(&format!("v1/configmaps?labelSelector={query}")).await.ok();
        assert_eq!(names(&list), expected, "{selector}");
    }
    for wrong in ["tier in web", "=x", "a b", "tier=web%3D%3D"] {
        let query = wrong.replace(' ', "%20");
        api.get(&format!("v1/configmaps?labelSelector={query}")).await.refused(400, "BadRequest");
    }
}

#[tokio::test]
async fn field_selectors() {
    let h = start_with_things().await;
    let api = h.api();
    api.post("v1/pods", &pod("free")).await.ok();
    api.post("v1/pods", &bound_pod("bound")).await.ok();
    api.patch("v1/pods/bound/status", MERGE, &json!({"status": {"phase": "Running"}})).await.ok();
    let ns = h.namespace();
    for (selector, expected) in [
        ("metadata.name=free".to_owned(), vec!["free"]),
        ("metadata.name!=free".to_owned(), vec!["bound"]),
        (format!("metadata.namespace={ns}"), vec!["bound", "free"]),
        ("spec.nodeName=no-such-node".to_owned(), vec!["bound"]),
        ("spec.nodeName=".to_owned(), vec!["free"]),
        ("status.phase=Pending".to_owned(), vec!["free"]),
        ("status.phase!=Pending".to_owned(), vec!["bound"]),
        ("status.phase=Running,spec.nodeName=no-such-node".to_owned(), vec!["bound"]),
    ] {
        let query = selector.replace('=', "%3D").replace('!', "%21").replace(',', "%2C");
        let list = api.get(&format!("v1/pods?fieldSelector={query}")).await.ok();
        assert_eq!(names(&list), expected, "{selector}");
    }
    api.get("v1/pods?fieldSelector=spec.colour%3Dred").await.refused(400, "BadRequest");
    api.get("v1/configmaps?fieldSelector=data.k%3D1").await.refused(400, "BadRequest");
    api.post(THINGS, &thing("t", json!({"size": 1}))).await.ok();
    assert_eq!(names(&api.get(&format!("{THINGS}?fieldSelector=metadata.name%3Dt")).await.ok()), ["t"]);
    api.get(&format!("{THINGS}?fieldSelector=spec.size%3D1")).await.refused(400, "BadRequest");
}

#[tokio::test]
async fn a_list_over_all_namespaces() {
    let mut h = start().await;
    let other = h.another_namespace().await;
    let api = h.api();
    let mine = json!({"mine": h.namespace()});
    api.post("v1/configmaps", &labelled("here", mine.clone())).await.ok();
    api.post(&format!("/api/v1/namespaces/{other}/configmaps"), &labelled("there", mine)).await.ok();
    let list = api.get(&format!("/api/v1/configmaps?labelSelector=mine%3D{}", h.namespace())).await.ok();
    let mut all = names(&list);
    all.sort_unstable();
    assert_eq!(all, ["here", "there"]);
    assert_eq!(names(&api.get("v1/configmaps?labelSelector=mine").await.ok()), ["here"]);
}

#[tokio::test]
async fn metadata_alone_by_the_accept_header() {
    let h = start_with_things().await;
    let api = h.api();
    let mut object = thing("t", json!({"size": 3}));
    object["metadata"]["labels"] = json!({"a": "b"});
    let made = api.post(THINGS, &object).await.ok();
    let path = format!("{THINGS}/t");
    let partial = api.get_as(&path, PARTIAL).await.ok();
    assert_eq!(partial["kind"], "PartialObjectMetadata");
    assert_eq!(partial["apiVersion"], "meta.k8s.io/v1");
    assert_eq!(partial["metadata"]["uid"], made["metadata"]["uid"]);
    assert_eq!(partial["metadata"]["labels"], json!({"a": "b"}));
    assert!(partial.get("spec").is_none());
    let list = api.get_as(THINGS, PARTIAL_LIST).await.ok();
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(names(&list), ["t"]);
    assert!(list["items"][0].get("spec").is_none());
    assert!(version(&list) > 0);
    let mut watch = api.try_watch(THINGS, "", PARTIAL).await.expect("a watch of metadata");
    let (kind, object) = watch.event().await;
    assert_eq!((kind.as_str(), &object["kind"]), ("ADDED", &json!("PartialObjectMetadata")));
    assert!(object.get("spec").is_none());
    api.delete(&path).await.ok();
    let (kind, object) = watch.event().await;
    assert_eq!((kind.as_str(), &object["kind"]), ("DELETED", &json!("PartialObjectMetadata")));
    assert_eq!(object["metadata"]["uid"], made["metadata"]["uid"]);
}

#[tokio::test]
async fn a_table_by_the_accept_header() {
    let h = start_with_things().await;
    let api = h.api();
    api.post(THINGS, &thing("t", json!({"size": 42}))).await.ok();
    let table = api.get_as(THINGS, TABLE).await.ok();
    assert_eq!((&table["kind"], &table["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1")));
    let columns = table["columnDefinitions"].as_array().expect("columns");
    let column = |name: &str| columns.iter().position(|c| c["name"] == name).expect("the column");
    let cells = &table["rows"][0]["cells"];
    assert_eq!((&cells[column("Name")], &cells[column("Size")]), (&json!("t"), &json!(42)));
    assert_eq!(table["rows"][0]["object"]["metadata"]["name"], "t");
}
