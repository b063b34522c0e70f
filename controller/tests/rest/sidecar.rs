//! Sidecars, driven as the official one drives them, and what others may try in their name.

use std::time::Duration;

use controller::{
    api::{DRAIN_SINCE, RECONFIGURE_ASKED, REPORT, SHUTDOWN_ASKED, SHUTDOWN_SINCE},
    plan::report::{Busy, Report},
    rest::{Settings, auth::Guard, instance::SIDECAR},
};
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::kit::{Kit, NODE_PEER};

/// The official sidecar's loop, as §1.2 has it: what it would send, and what it does with the answer.
struct Sidecar<'a> {
    kit: &'a Kit,
    peer: String,
    instance: Value,
    stats: Value,
    shutdown_status: bool,
    shutdown_error: bool,
    reconfigure_complete: Option<String>,
    /// Scripts that it ran.
    ran: Vec<String>,
}

impl<'a> Sidecar<'a> {
    fn new(kit: &'a Kit, name: &str, kind: &str, ip: &str) -> Self {
        let instance = json!({"instanceId": name, "instanceType": kind, "group": format!("meet-0-{}", kind.to_lowercase()),
            "cloud": "kubernetes", "region": "eu", "name": name, "version": "1.0"});
        Self {
            kit,
            peer: format!("{ip}:51000"),
            instance,
            stats: json!({}),
            shutdown_status: false,
            shutdown_error: false,
            reconfigure_complete: None,
            ran: Vec::new(),
        }
    }

    /// One turn of its loop, a minute after the one before.
    async fn turn(&mut self) {
        tokio::time::sleep(Duration::from_secs(60)).await;
        let mut report = json!({"instance": self.instance, "stats": self.stats, "timestamp": 1_800_000_000_000_u64,
            "shutdownStatus": self.shutdown_status, "shutdownError": self.shutdown_error,
            "reconfigureError": false, "statsError": false});
        if let Some(date) = &self.reconfigure_complete {
            report["reconfigureComplete"] = json!(date);
        }
        let answer = self.kit.call_from(&self.peer, "POST", "/sidecar/status", &report).await.ok();
        self.obey(&answer);
        // So that the watch shows what was written before the next turn.
        let name = self.instance["instanceId"].as_str().unwrap();
        if let Some(pod) = self.kit.pods().get_opt(name).await.unwrap() {
            self.kit.seen(&pod).await;
        }
    }

    fn obey(&mut self, command: &Value) {
        if command["shutdown"] == true && !self.shutdown_status {
            self.shutdown_status = true;
            self.ran.push("graceful shutdown".to_owned());
            self.ran.push("terminate".to_owned());
        }
        if let Some(date) = command["reconfigure"].as_str().filter(|date| !date.is_empty())
            && self.reconfigure_complete.as_deref() != Some(date)
        {
            self.ran.push("reconfigure".to_owned());
            self.reconfigure_complete = Some(date.to_owned());
        }
    }
}

async fn report(kit: &Kit, name: &str) -> Option<Report> {
    kit.annotation(name, REPORT).await.and_then(|text| serde_json::from_str(&text).ok())
}

#[tokio::test(start_paused = true)]
async fn an_instance_goes_through_its_whole_life() {
    let kit = Kit::with(Guard::Open, Settings::default(), true).await;
    kit.shard().await;
    kit.pod("meet-0-jvb-0", "jvb", "10.0.0.10").await;
    let mut sidecar = Sidecar::new(&kit, "meet-0-jvb-0", "JVB", "10.0.0.10");

    // It starts; its bridge does not answer yet.
    sidecar.turn().await;
    assert_eq!(report(&kit, "meet-0-jvb-0").await, None, "no numbers are no report");
    let shown = kit.get("/groups/meet-0-jvb/report").await.ok()["groupReport"]["instances"][0].clone();
    assert_eq!(shown["scaleStatus"], "SIDECAR_RUNNING");

    // It works.
    sidecar.stats =
        json!({"stress_level": 0.4, "participants": 8, "octo_endpoints": 3, "conferences": 2, "drain": false});
    sidecar.turn().await;
    let first = report(&kit, "meet-0-jvb-0").await.unwrap();
    assert_eq!((first.stress, first.endpoints), (Some(0.4), Some(5)));
    let shown = kit.get("/groups/meet-0-jvb/report").await.ok()["groupReport"]["instances"][0].clone();
    assert_eq!((&shown["scaleStatus"], &shown["version"]), (&json!("IN USE"), &json!("1.0")));

    // It says the same every minute, and others see that it lives.
    for _ in 0..5 {
        sidecar.turn().await;
    }
    let later = report(&kit, "meet-0-jvb-0").await.unwrap();
    assert!(later.at.unwrap().duration_since(first.at.unwrap()).as_secs() >= 295, "{later:?}");
    assert_eq!(sidecar.ran, Vec::<String>::new());

    // Somebody asks all to reconfigure: it does so once, says so, and is not asked again.
    kit.post("/groups/meet-0-jvb/actions/reconfigure-instances", &json!({})).await.ok();
    let asked = kit.annotation("meet-0-jvb-0", RECONFIGURE_ASKED).await.unwrap();
    let scheduled = kit.get("/groups/meet-0-jvb/report").await.ok()["groupReport"].clone();
    assert_eq!(
        (&scheduled["reconfigureScheduledCount"], &scheduled["instances"][0]["reconfigureScheduled"]),
        (&json!(1), &json!(asked))
    );
    sidecar.turn().await;
    assert_eq!(sidecar.ran, ["reconfigure"]);
    sidecar.turn().await;
    assert_eq!(kit.annotation("meet-0-jvb-0", RECONFIGURE_ASKED).await, None);
    sidecar.turn().await;
    assert_eq!(sidecar.ran, ["reconfigure"]);
    let audit = kit.get("/groups/meet-0-jvb/instance-audit").await.ok()["audit"][0].clone();
    assert_ne!((&audit["requestToReconfigure"], &audit["reconfigureComplete"]), (&json!("unknown"), &json!("unknown")));
    let shown = kit.get("/groups/meet-0-jvb/report").await.ok()["groupReport"]["instances"][0].clone();
    assert_eq!(shown["lastReconfigured"], json!(asked));

    // It drains: that leads back, so nothing is told. Then it is to end.
    kit.annotate("meet-0-jvb-0", json!({DRAIN_SINCE: kit.rest.now().to_string()})).await;
    sidecar.turn().await;
    assert_eq!(sidecar.ran, ["reconfigure"]);
    kit.annotate("meet-0-jvb-0", json!({SHUTDOWN_SINCE: kit.rest.now().to_string()})).await;
    sidecar.turn().await;
    assert_eq!(sidecar.ran, ["reconfigure", "graceful shutdown", "terminate"]);
    sidecar.turn().await;
    let shown = kit.get("/groups/meet-0-jvb/report").await.ok()["groupReport"].clone();
    assert_eq!((&shown["shuttingDownCount"], &shown["instances"][0]["scaleStatus"]), (&json!(1), &json!("SHUTDOWN")));
    sidecar.shutdown_error = true;
    sidecar.turn().await;
    assert_eq!(kit.get("/groups/meet-0-jvb/report").await.ok()["groupReport"]["shutdownErrorCount"], 1);
    assert_eq!(sidecar.ran.len(), 3, "once");

    // Its pod is gone: what it says is of nobody, and it is told nothing.
    kit.pods().delete("meet-0-jvb-0", &DeleteParams::default().grace_period(0)).await.unwrap();
    kit.harness
        .eventually("the watch shows it", Duration::from_secs(30), || async { kit.rest.pods.state().is_empty() })
        .await;
    sidecar.turn().await;
    kit.metric(r#"roompin_controller_sidecar_calls_total{result="unknown",route="status"} 1"#);
    assert!(kit.metrics.text().contains("autoscaler_stats_handled "));
}

#[tokio::test(start_paused = true)]
async fn polls_stats_and_shutdown_are_answered_too() {
    let kit = Kit::open().await;
    kit.shard().await;
    kit.pod("meet-0-jibri-0", "jibri", "10.0.0.20").await;
    let details = json!({"instanceId": "meet-0-jibri-0", "instanceType": "jibri"});
    let nothing = json!({"shutdown": false, "reconfigure": ""});
    assert_eq!(kit.post("/sidecar/poll", &details).await.ok(), nothing);
    let hook = json!({"instance": details, "stats": {"jibriId": "a", "status": {
        "busyStatus": "BUSY", "health": {"healthStatus": "HEALTHY"}}}});
    assert_eq!(kit.post("/sidecar/stats", &hook).await.ok(), json!({"save": "OK"}));
    let heard = report(&kit, "meet-0-jibri-0").await.unwrap();
    assert_eq!((heard.busy, heard.healthy), (Some(Busy::Busy), Some(true)));
    assert_eq!(kit.post("/sidecar/shutdown", &details).await.ok(), json!({"save": "OK"}));
    let asked = kit.annotation("meet-0-jibri-0", SHUTDOWN_ASKED).await.unwrap();
    assert_eq!(kit.post("/sidecar/poll", &details).await.ok(), json!({"shutdown": true, "reconfigure": ""}));
    tokio::time::sleep(Duration::from_secs(1)).await;
    kit.post("/sidecar/shutdown", &details).await.ok();
    assert_eq!(kit.annotation("meet-0-jibri-0", SHUTDOWN_ASKED).await.unwrap(), asked, "it was asked before");

    // Nobody's: as there, nothing is asked of it.
    let stranger = json!({"instanceId": "i-0123", "instanceType": "JVB"});
    assert_eq!(kit.post("/sidecar/poll", &stranger).await.ok(), nothing);
    assert_eq!(kit.post("/sidecar/status", &json!({"instance": stranger})).await.ok(), nothing);
    assert_eq!(kit.post("/sidecar/stats", &json!({"instance": stranger})).await.ok(), json!({"save": "OK"}));
    assert_eq!(kit.post("/sidecar/shutdown", &stranger).await.ok(), json!({"save": "OK"}));
    kit.metric(r#"roompin_controller_sidecar_calls_total{result="unknown",route="shutdown"} 1"#);

    for path in ["poll", "status", "stats", "shutdown"] {
        let errors = kit.post(&format!("/sidecar/{path}"), &json!({"instance": 5})).await.errors();
        assert!(errors[0].contains("instanceId must be a non-empty string"), "{errors:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_speaks_for_another() {
    let kit = Kit::with(Guard::Open, Settings::default(), false).await;
    kit.shard().await;
    kit.pod("meet-0-jvb-0", "jvb", "10.0.0.10").await;
    kit.pod("meet-0-jvb-1", "jvb", "10.0.0.11").await;
    let lie = json!({"instance": {"instanceId": "meet-0-jvb-0"}, "stats": {"stress_level": 0.0, "participants": 0}});
    for peer in ["10.0.0.11:40000", NODE_PEER] {
        for (path, body) in
            [("status", &lie), ("stats", &lie), ("shutdown", &lie["instance"]), ("poll", &lie["instance"])]
        {
            let answer = kit.call_from(peer, "POST", &format!("/sidecar/{path}"), body).await;
            assert_eq!(answer.status, 403, "{peer} {path}: {answer:?}");
        }
    }
    assert_eq!(kit.annotation("meet-0-jvb-0", REPORT).await, None);
    assert_eq!(kit.annotation("meet-0-jvb-0", SHUTDOWN_ASKED).await, None);
    kit.metric(r#"roompin_controller_sidecar_calls_total{result="refused",route="status"} 2"#);

    // Under another name, from its own address, it speaks for itself.
    let own = json!({"instance": {"instanceId": "3f1c-uuid"}, "stats": {"stress_level": 0.7}});
    kit.call_from("10.0.0.11:40000", "POST", "/sidecar/status", &own).await.ok();
    assert_eq!(report(&kit, "meet-0-jvb-1").await.unwrap().stress, Some(0.7));
    assert!(kit.annotation("meet-0-jvb-1", SIDECAR).await.unwrap().contains("3f1c-uuid"));
    // The same address as an IPv6 socket shows it.
    kit.call_from("[::ffff:10.0.0.11]:40000", "POST", "/sidecar/status", &own).await.ok();
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_is_said_only_where_the_autoscaler_says_it() {
    let kit = Kit::open().await;
    let Some(faults) = kit.harness.faults() else {
        return testkit::harness::skipped("faults", "they are the double's");
    };
    kit.shard().await;
    kit.pod("meet-0-jvb-0", "jvb", "10.0.0.10").await;
    kit.annotate("meet-0-jvb-0", json!({SHUTDOWN_ASKED: "2026-11-21T18:00:00.000Z"})).await;
    faults.add(testkit::faults::Fault::server_error(500).by("rest").verbs(&["patch"]));
    let heard = json!({"instance": {"instanceId": "meet-0-jvb-0"}, "stats": {"stress_level": 0.5}});
    assert_eq!(kit.post("/sidecar/status", &heard).await.ok()["shutdown"], true);
    let answer = kit.post("/sidecar/stats", &heard).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (500, json!({"save": "ERROR"})));
    kit.metric(r#"roompin_controller_sidecar_calls_total{result="failed",route="stats"} 1"#);
}
