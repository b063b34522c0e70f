//! Evictions, and the budgets that refuse them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::*;

const BUDGETS: &str = "policy/v1/poddisruptionbudgets";

fn eviction(pod: &str) -> Value {
    json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}, "deleteOptions": {"gracePeriodSeconds": 0}})
}

/// A bound pod that says it is ready.
async fn ready_pod(h: &Harness, name: &str) {
    let api = h.api();
    let mut object = bound_pod(name);
    object["metadata"]["labels"] = json!({"guarded": "yes"});
    api.post("v1/pods", &object).await.ok();
    let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    api.patch(&format!("v1/pods/{name}/status"), STRATEGIC, &status).await.ok();
}

/// A budget whose status says how many may go: computed where somebody does that, else by hand.
async fn budget(h: &Harness, least: u32, allowed: u32) {
    let api = h.api();
    let made = api
        .post(
            BUDGETS,
            &json!({
                "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"},
                "spec": {"minAvailable": least, "selector": {"matchLabels": {"guarded": "yes"}}},
            }),
        )
        .await
        .ok();
    if h.capabilities().disruption {
        h.eventually("the budget is counted", Duration::from_secs(30), || async {
            let status = api.get(&format!("{BUDGETS}/b")).await.ok()["status"].clone();
            let counted = status["observedGeneration"] == generation(&made) && status["currentHealthy"] == 1;
            (counted && status["disruptionsAllowed"] == allowed).then_some(()).ok_or(status)
        })
        .await;
    } else {
        let status = json!({"status": {
            "observedGeneration": generation(&made), "disruptionsAllowed": allowed,
            "currentHealthy": 1, "desiredHealthy": least, "expectedPods": 1,
        }});
        api.patch(&format!("{BUDGETS}/b/status"), MERGE, &status).await.ok();
    }
}

#[tokio::test]
async fn an_eviction_without_a_budget_is_a_delete() {
    let h = start().await;
    if !h.serves("policy/v1").await {
        return;
    }
    let api = h.api();
    ready_pod(&h, "p").await;
    let reply = api.post("v1/pods/p/eviction", &eviction("p")).await;
    assert_eq!(reply.ok()["status"], "Success");
    api.get("v1/pods/p").await.refused(404, "NotFound");
    api.post("v1/pods/p/eviction", &eviction("p")).await.refused(404, "NotFound");
}

#[tokio::test]
async fn an_eviction_gives_grace() {
    let h = start().await;
    if !h.serves("policy/v1").await {
        return;
    }
    let api = h.api();
    ready_pod(&h, "p").await;
    let gentle = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}});
    api.post("v1/pods/p/eviction", &gentle).await.ok();
    let going = api.get("v1/pods/p").await.ok();
    assert!(going["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(going["metadata"]["deletionGracePeriodSeconds"], 30);
    api.delete_with("v1/pods/p", &json!({"gracePeriodSeconds": 0})).await.ok();
}

#[tokio::test]
async fn a_budget_without_room_refuses() {
    let h = start_with(Actors { disruption: true, ..Actors::default() }).await;
    if !h.serves("policy/v1").await {
        return;
    }
    let api = h.api();
    ready_pod(&h, "p").await;
    budget(&h, 1, 0).await;
    let refused = api.post("v1/pods/p/eviction", &eviction("p")).await.refused(429, "TooManyRequests");
    assert!(message(&refused).contains("disruption budget"), "{refused}");
    assert!(
        refused["details"]["causes"].as_array().is_some_and(|c| c.iter().any(|c| c["reason"] == "DisruptionBudget"))
    );
    assert!(api.get("v1/pods/p").await.ok()["metadata"].get("deletionTimestamp").is_none());
    // A plain delete asks no budget.
    api.delete_with("v1/pods/p", &json!({"gracePeriodSeconds": 0})).await.ok();
    api.get("v1/pods/p").await.refused(404, "NotFound");
}

#[tokio::test]
async fn a_budget_with_room_lets_go() {
    let h = start_with(Actors { disruption: true, ..Actors::default() }).await;
    if !h.serves("policy/v1").await {
        return;
    }
    let api = h.api();
    ready_pod(&h, "p").await;
    budget(&h, 0, 1).await;
    api.post("v1/pods/p/eviction", &eviction("p")).await.ok();
    api.get("v1/pods/p").await.refused(404, "NotFound");
}

#[tokio::test]
async fn a_budget_nobody_has_counted_refuses() {
    let h = start().await;
    if h.capabilities().disruption {
        return skipped("an uncounted budget", "somebody counts here");
    }
    let api = h.api();
    ready_pod(&h, "p").await;
    let object = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"},
        "spec": {"minAvailable": 0, "selector": {"matchLabels": {"guarded": "yes"}}},
    });
    api.post(BUDGETS, &object).await.ok();
    api.post("v1/pods/p/eviction", &eviction("p")).await.refused(429, "TooManyRequests");
}

#[tokio::test]
async fn a_pod_that_never_ran_is_no_disruption() {
    let h = start_with(Actors { disruption: true, ..Actors::default() }).await;
    if !h.serves("policy/v1").await {
        return;
    }
    let api = h.api();
    ready_pod(&h, "p").await;
    budget(&h, 1, 0).await;
    let mut waiting = pod("waiting");
    waiting["metadata"]["labels"] = json!({"guarded": "yes"});
    api.post("v1/pods", &waiting).await.ok();
    api.post("v1/pods/waiting/eviction", &eviction("waiting")).await.ok();
    api.get("v1/pods/waiting").await.refused(404, "NotFound");
}
