//! What the REST API does to Kubernetes, against the Role that it ships with. (That the Role has no more than is used is held by
//! `life/access.rs`, for the controller as a whole.)

use controller::api::RECONFIGURE_ASKED;
use serde_json::json;
use testkit::rbac::{self, Role};

use crate::kit::Kit;

#[tokio::test(start_paused = true)]
async fn the_role_allows_what_the_rest_api_does() {
    let kit = Kit::open().await;
    if !kit.harness.is_double() {
        return testkit::harness::skipped("the record of requests", "it is the double's");
    }
    kit.shard().await;
    kit.pod("meet-0-jvb-0", "jvb", "10.0.0.10").await;
    kit.put("/groups/meet-0-jvb/desired", &json!({"desiredCount": 3})).await.ok();
    for _ in 0..2 {
        kit.post("/groups/meet-0-jvb/actions/reconfigure-instances", &json!({})).await.ok();
        let asked = kit.annotation("meet-0-jvb-0", RECONFIGURE_ASKED).await.unwrap();
        let report = json!({"instance": {"instanceId": "meet-0-jvb-0"}, "stats": {"stress_level": 0.5}, "reconfigureComplete": asked});
        kit.post("/sidecar/status", &report).await.ok();
    }
    for path in ["/groups", "/groups/meet-0-jvb/report", "/groups/meet-0-jvb/group-audit", "/health?deep=1"] {
        assert_eq!(kit.get(path).await.status, 200);
    }
    kit.post("/groups/actions/reset", &json!({})).await.ok();
    let roles = Role::from_yaml(include_str!("../../../deploy/kustomize/base/role.yaml")).unwrap();
    let report = rbac::check(&rbac::seen_by("rest"), &roles);
    assert!(report.missing.is_empty(), "{report}");
}
