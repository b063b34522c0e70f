//! Leases: a compare-and-swap, and times of exactly six decimals.

use serde_json::{Value, json};

use crate::kit::*;

const LEASES: &str = "coordination.k8s.io/v1/leases";

fn lease(holder: &str, renewed: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": renewed},
    })
}

#[tokio::test]
async fn of_two_rivals_one_wins() {
    let h = start().await;
    let api = h.api();
    let made = api.post(LEASES, &lease("", "2026-01-01T00:00:00.000000Z")).await.ok();
    let claim = |who: &str| {
        let mut claim = made.clone();
        claim["spec"]["holderIdentity"] = json!(who);
        claim
    };
    let path = format!("{LEASES}/l");
    let (one, two) = (claim("one"), claim("two"));
    let (a, b) = tokio::join!(api.put(&path, &one), api.put(&path, &two));
    let mut codes = [a.code, b.code];
    codes.sort_unstable();
    assert_eq!(codes, [200, 409]);
    let winner = if a.code == 200 { "one" } else { "two" };
    assert_eq!(api.get(&path).await.ok()["spec"]["holderIdentity"], winner);
}

#[tokio::test]
async fn times_keep_six_decimals() {
    let h = start().await;
    let api = h.api();
    let made = api.post(LEASES, &lease("a", "2026-01-01T00:00:00.123456Z")).await.ok();
    assert_eq!(made["spec"]["renewTime"], "2026-01-01T00:00:00.123456Z");
    let path = format!("{LEASES}/l");
    let whole = json!({"spec": {"renewTime": "2026-01-01T00:00:01.000000Z"}});
    assert_eq!(api.patch(&path, MERGE, &whole).await.ok()["spec"]["renewTime"], "2026-01-01T00:00:01.000000Z");
    for wrong in ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.123Z", "2026-01-01T00:00:00.123456789Z", "now"] {
        let mut other = lease("a", wrong);
        other["metadata"]["name"] = json!("m");
        let reply = api.post(LEASES, &other).await;
        assert_eq!(reply.code, 400, "{wrong}: {}", reply.body);
    }
}

#[tokio::test]
async fn a_lease_lasts_some_time() {
    let h = start().await;
    let mut none = lease("a", "2026-01-01T00:00:00.000000Z");
    none["spec"]["leaseDurationSeconds"] = json!(0);
    let refused = h.api().post(LEASES, &none).await.refused(422, "Invalid");
    assert!(causes(&refused).iter().any(|(field, _)| field == "spec.leaseDurationSeconds"), "{refused}");
}
