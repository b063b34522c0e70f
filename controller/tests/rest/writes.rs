//! Writing: what is written comes back, what others own is left alone, and nonsense is refused.

use controller::rest::MANAGER;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::kit::{Kit, fixture};

/// What stands in the resource about the bridges.
async fn written(kit: &Kit) -> Value {
    let shard = serde_json::to_value(kit.shards().get("meet-0").await.unwrap()).unwrap();
    let groups = shard["spec"]["groups"].as_array().cloned().unwrap_or_default();
    groups.into_iter().find(|group| group["kind"] == "jvb").unwrap_or(Value::Null)
}

#[tokio::test(start_paused = true)]
async fn every_field_of_a_group_comes_back() {
    let kit = Kit::open().await;
    kit.shard().await;
    let body = fixture(include_str!("../data/rest/written.json"));
    assert_eq!(kit.put("/groups/meet-0-jvb", &body).await.ok(), json!({"save": "OK"}));
    let group = kit.group("meet-0-jvb").await;
    for (field, value) in body.as_object().unwrap() {
        assert_eq!(&group[field], value, "{field}");
    }
    let spec = written(&kit).await;
    assert_eq!(
        (&spec["minDesired"], &spec["maxDesired"], &spec["desired"]["count"]),
        (&json!(3), &json!(20), &json!(4))
    );
    assert_eq!(spec["scaling"]["scalePeriod"], "30s");
    assert_eq!(spec["scaling"]["enableAutoScale"], false);
    assert_eq!(spec["scaling"]["scheduledScaling"]["periods"][0]["scalingOptions"]["minDesired"], 10);
    assert_eq!(spec["kept"]["seleniumGridUrl"], "https://grid.example.org");
    // There a schedule of its own keeps full-scaling away; here that switch would stop the schedule.
    assert_eq!(spec["scaling"]["enableScheduler"], Value::Null);

    // Written back as it was read, it changes nothing, not even the version.
    let version = kit.shards().get("meet-0").await.unwrap().metadata.resource_version;
    kit.put("/groups/meet-0-jvb", &group).await.ok();
    assert_eq!(kit.shards().get("meet-0").await.unwrap().metadata.resource_version, version);

    // The groups beside it are as they were.
    assert_eq!(kit.group("meet-0-jibri").await["scalingOptions"]["maxDesired"], 5);
    let found = kit.get("/groups?tag.tier=gold").await.ok();
    assert_eq!(found["instanceGroups"].as_array().unwrap().len(), 1);
    assert_eq!(kit.get("/groups?tag.tier=gold&tag.shape=x").await.ok(), json!({"instanceGroups": []}));
}

#[tokio::test(start_paused = true)]
async fn while_a_period_counts_writing_back_does_not_make_it_last() {
    let kit = Kit::open().await;
    kit.shard().await;
    kit.put("/groups/meet-0-jvb", &fixture(include_str!("../data/rest/written.json"))).await.ok();
    let said = written(&kit).await["desired"]["saidAt"].clone();
    kit.status(
        json!([{"kind": "jvb", "desired": 12, "count": 12, "period": "weekday-peak", "base": 4, "heard": said}]),
    )
    .await;
    let group = kit.group("meet-0-jvb").await;
    assert_eq!(group["scheduledScalingActivePeriod"], "weekday-peak");
    assert_eq!(group["scalingOptions"]["minDesired"], 10);
    assert_eq!(group["scalingOptions"]["desiredCount"], 12);
    assert_eq!(group["scheduledScalingBaseOptions"]["minDesired"], 3);
    assert_eq!(group["scheduledScalingBaseOptions"]["desiredCount"], 4);
    kit.put("/groups/meet-0-jvb", &group).await.ok();
    assert_eq!(written(&kit).await["minDesired"], 3);

    let schedule = kit.get("/groups/meet-0-jvb/scheduled-scaling").await.ok();
    assert_eq!(schedule["activePeriod"]["name"], "weekday-peak");
    assert_eq!(schedule["activePeriod"]["scalingOptions"]["cloudGuardGraceCount"], 3);
    assert_eq!(schedule["resolvedTimezone"], "America/New_York");
}

#[tokio::test(start_paused = true)]
async fn each_part_can_be_written_alone() {
    let kit = Kit::open().await;
    kit.shard().await;
    let saved = json!({"save": "OK"});
    let at = "/groups/meet-0-jvb";
    assert_eq!(kit.put(&format!("{at}/desired"), &json!({"maxDesired": 12, "desiredCount": 7})).await.ok(), saved);
    let options = json!({"scaleUpQuantity": 3, "scaleDownThreshold": 0.2, "scalePeriod": "90", "gracePeriodTTLSec": 60, "cloudGuardGraceCount": 2});
    assert_eq!(kit.put(&format!("{at}/scaling-options"), &options).await.ok(), saved);
    let activities = json!({"enableAutoScale": false, "enableLaunch": false, "enableUntrackedThrottle": false});
    assert_eq!(kit.put(&format!("{at}/scaling-activities"), &activities).await.ok(), saved);
    assert_eq!(
        kit.put(&format!("{at}/instance-configuration"), &json!({"instanceConfigurationId": "x"})).await.ok(),
        saved
    );
    let group = kit.group("meet-0-jvb").await;
    let numbers = &group["scalingOptions"];
    for (field, value) in [
        ("minDesired", json!(2)),
        ("maxDesired", json!(12)),
        ("desiredCount", json!(7)),
        ("scaleUpQuantity", json!(3)),
        ("scaleUpThreshold", json!(0.6)),
        ("scaleDownThreshold", json!(0.2)),
        ("scalePeriod", json!(90)),
        ("cloudGuardGraceCount", json!(2)),
    ] {
        assert_eq!(numbers[field], value, "{field}");
    }
    assert_eq!(group["gracePeriodTTLSec"], 60);
    assert_eq!((&group["enableAutoScale"], &group["enableLaunch"]), (&json!(false), &json!(false)));
    assert_eq!((&group["enableUntrackedThrottle"], &group["enableReconfiguration"]), (&json!(false), &json!(true)));
    assert_eq!(group["instanceConfigurationId"], "x");

    // The same number again is a new word: somebody means it now.
    let before = written(&kit).await["desired"]["saidAt"].clone();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    kit.put(&format!("{at}/desired"), &json!({"desiredCount": 7})).await.ok();
    assert_ne!(written(&kit).await["desired"]["saidAt"], before);

    let schedule = json!({"enabled": true, "periods": [
        {"name": "night", "dayOfWeek": [0], "startHour": 22, "endHour": 6, "priority": 1, "scalingOptions": {"maxDesired": 3}}]});
    assert_eq!(
        kit.get(&format!("{at}/scheduled-scaling")).await.ok(),
        json!({"scheduledScaling": null, "activePeriod": null})
    );
    assert_eq!(kit.put(&format!("{at}/scheduled-scaling"), &schedule).await.ok(), saved);
    let shown = kit.get(&format!("{at}/scheduled-scaling")).await.ok();
    assert_eq!((&shown["scheduledScaling"]["enabled"], &shown["resolvedTimezone"]), (&json!(true), &json!("UTC")));
    assert_eq!(kit.group("meet-0-jvb").await["enableScheduler"], false);
    assert_eq!(kit.call("DELETE", &format!("{at}/scheduled-scaling"), &json!({})).await.ok(), saved);
    assert_eq!(kit.get(&format!("{at}/scheduled-scaling")).await.ok()["scheduledScaling"], Value::Null);
    assert_eq!(kit.group("meet-0-jvb").await["enableScheduler"], true);

    // Back to what the resource says; how many are asked for stays.
    assert_eq!(kit.post("/groups/actions/reset", &json!({})).await.ok(), json!({"reset": "OK"}));
    let group = kit.group("meet-0-jvb").await;
    assert_eq!(group["scalingOptions"]["maxDesired"], 10);
    assert_eq!((&group["scalingOptions"]["desiredCount"], &group["enableLaunch"]), (&json!(7), &json!(true)));
}

#[tokio::test(start_paused = true)]
async fn a_protected_launch_raises_the_number_and_marks_the_time() {
    let kit = Kit::open().await;
    kit.shard().await;
    let at = "/groups/meet-0-jvb/actions/launch-protected";
    let body = json!({"count": 3, "protectedTTLSec": 900, "tags": {"event": "townhall"}});
    assert_eq!(kit.post(at, &body).await.ok(), json!({"launch": "OK"}));
    let spec = written(&kit).await;
    assert_eq!((&spec["desired"]["count"], &spec["scaling"]["protectedTime"]), (&json!(5), &json!("900s")));
    let until: jiff::Timestamp = spec["protectLaunchesUntil"].as_str().unwrap().parse().unwrap();
    let ahead = until.duration_since(kit.rest.now()).as_secs();
    assert!((895..=900).contains(&ahead), "{ahead}");
    assert_eq!(kit.group("meet-0-jvb").await["tags"], json!({"event": "townhall"}));
    let errors = kit.post(at, &json!({"count": 6})).await.errors();
    assert_eq!(errors, ["Max desired value must be increased first if you want to launch 6 new instances."]);
    kit.post(at, &json!({"count": 6, "maxDesired": 11})).await.ok();
    assert_eq!(kit.group("meet-0-jvb").await["scalingOptions"]["maxDesired"], 11);
}

#[tokio::test(start_paused = true)]
async fn nonsense_is_refused_with_all_that_is_wrong() {
    let kit = Kit::open().await;
    kit.shard().await;
    let version = kit.shards().get("meet-0").await.unwrap().metadata.resource_version;
    let group = kit.group("meet-0-jvb").await;
    let with = |pointer: &str, value: Value| {
        let mut group = group.clone();
        *group.pointer_mut(pointer).unwrap() = value;
        group
    };
    let between = "Desired count must be between min and max; min cannot be grater than max";
    for (path, body, error) in [
        ("", with("/name", json!("other")), "The request param group name must match group name in the body"),
        ("", with("/type", json!("jibri")), "Invalid type of instance: jibri; this group is JVB"),
        ("", with("/scalingOptions/minDesired", json!(5)), between),
        ("", with("/scalingOptions/minDesired", json!(-1)), "Value must be positive"),
        ("", with("/scalingOptions/maxDesired", json!(100_000)), "Value must be from 0 to 1000"),
        ("", with("/gracePeriodTTLSec", json!(0)), "Value must be from 1 to 2592000"),
        ("", with("/tags", json!({"a": [1]})), "must be an object of at most 64 texts"),
        ("", with("/enableLaunch", json!("yes")), "enableLaunch must be a boolean"),
        ("/desired", json!({"minDesired": 11}), between),
        ("/desired", json!({"desiredCount": 11}), between),
        ("/desired", json!({"desiredCount": 1.5}), "Value must be positive"),
        ("/desired", json!([1]), "The body must be a JSON object"),
        ("/scaling-options", json!({"scaleUpThreshold": "many"}), "Value must be positive"),
        ("/scheduled-scaling", json!({"enabled": true}), "periods must be an array"),
        (
            "/scheduled-scaling",
            json!({"enabled": true, "timezone": "Mars/Olympus", "periods": []}),
            "timezone must be an IANA time zone such as Europe/Paris",
        ),
        (
            "/scheduled-scaling",
            json!({"enabled": true, "periods": [{"name": "a", "dayOfWeek": [7], "startHour": 1, "endHour": 2, "priority": 1}]}),
            "dayOfWeek values must be 0-6",
        ),
        ("/instance-configuration", json!({}), "Invalid value"),
    ] {
        let errors = kit.put(&format!("/groups/meet-0-jvb{path}"), &body).await.errors();
        assert!(errors.iter().any(|one| one == error), "{path} {body}: {errors:?}");
    }
    // What the resource itself would make invalid: there would be nobody to look after the shard any more.
    let errors = kit.put("/groups/meet-0-jvb/scaling-options", &json!({"scaleDownThreshold": 0.7})).await.errors();
    assert!(errors[0].contains("grow and shrink in turns"), "{errors:?}");
    let errors = kit.put("/groups/meet-0-jvb", &with("/cloud", json!("x".repeat(1025)))).await.errors();
    assert_eq!(errors, ["must have at most 1024 bytes"]);
    let mut long = group.clone();
    long["more"] = json!("x".repeat(17_000));
    assert!(kit.put("/groups/meet-0-jvb", &long).await.errors()[0].contains("16384 bytes"));
    let errors = kit.put("/groups/meet-9-jvb", &with("/name", json!("meet-9-jvb"))).await.errors();
    assert!(errors[0].contains("there is no JitsiShard 'meet-9'"), "{errors:?}");
    let errors = kit.call("DELETE", "/groups/meet-0-jvb", &json!({})).await.errors();
    assert!(errors[0].contains("as long as that has jvb"), "{errors:?}");
    kit.pod("meet-0-jvb-0", "jvb", "10.0.0.1").await;
    let errors = kit.call("DELETE", "/groups/meet-0-jvb", &json!({})).await.errors();
    assert!(errors[0].starts_with("This group has active instances"), "{errors:?}");
    assert_eq!(kit.shards().get("meet-0").await.unwrap().metadata.resource_version, version, "nothing was written");
}

#[tokio::test(start_paused = true)]
async fn what_gitops_owns_is_not_fought_over() {
    let kit = Kit::open().await;
    kit.shard().await;
    let theirs = json!({
        "apiVersion": "apps.jit.si/v1alpha1", "kind": "JitsiShard", "metadata": {"name": "meet-0"},
        "spec": {"groups": [{"kind": "jvb", "maxDesired": 8, "scaling": {"scaleUpQuantity": 2}}]},
    });
    let params = PatchParams::apply("argocd-controller");
    kit.shards().patch("meet-0", &params, &Patch::Apply(&theirs)).await.unwrap();
    let refused = kit.put("/groups/meet-0-jvb/desired", &json!({"maxDesired": 9})).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    assert!(refused.json()["error"].as_str().unwrap().contains("argocd-controller"), "{refused:?}");
    // What nobody owns can be written, and so can what they own, as they mean it.
    kit.put("/groups/meet-0-jvb/desired", &json!({"minDesired": 3, "maxDesired": 8, "desiredCount": 6})).await.ok();
    let options = &kit.group("meet-0-jvb").await["scalingOptions"];
    assert_eq!(
        (&options["minDesired"], &options["maxDesired"], &options["scaleUpQuantity"]),
        (&json!(3), &json!(8), &json!(2))
    );

    // A second write does not give up the first, nor does a write about another group.
    kit.put("/groups/meet-0-jvb/scaling-options", &json!({"scaleDownQuantity": 4})).await.ok();
    kit.put("/groups/meet-0-jibri/desired", &json!({"maxDesired": 6})).await.ok();
    let spec = written(&kit).await;
    assert_eq!((&spec["minDesired"], &spec["scaling"]["scaleDownQuantity"]), (&json!(3), &json!(4)));
    kit.post("/groups/actions/reset", &json!({})).await.ok();
    let spec = written(&kit).await;
    assert_eq!(
        (&spec["minDesired"], &spec["maxDesired"], &spec["desired"]["count"]),
        (&Value::Null, &json!(8), &json!(6))
    );
    let shard = kit.shards().get("meet-0").await.unwrap();
    let managers: Vec<_> =
        shard.metadata.managed_fields.unwrap().into_iter().filter_map(|entry| entry.manager).collect();
    assert!(managers.iter().any(|one| one == MANAGER), "{managers:?}");
}

#[tokio::test(start_paused = true)]
async fn full_scaling_reaches_all_groups_of_a_type_in_a_region() {
    let kit = Kit::open().await;
    kit.shard().await;
    kit.shard_named("meet-1").await;
    kit.shard_named("meet-2").await;
    let place = kit.harness.namespace().to_owned();
    kit.put("/groups/meet-1-jvb/scaling-activities", &json!({"enableScheduler": false})).await.ok();
    kit.put("/groups/meet-2-jvb/scheduled-scaling", &json!({"enabled": true, "periods": []})).await.ok();
    let body = json!({"environment": place, "region": "eu", "instanceType": "JVB", "direction": "up",
        "options": {"desiredCount": 6, "maxDesired": 4, "scaleUpQuantity": 2}});
    let answer = kit.put("/groups/options/full-scaling", &body).await.ok();
    assert_eq!((&answer["groupsToBeUpdated"], &answer["groupsUpdated"]), (&json!(1), &json!(1)), "{answer}");
    assert_eq!(answer["skippedGroups"].as_array().map(Vec::len), Some(1), "{answer}");
    let options = kit.group("meet-0-jvb").await["scalingOptions"].clone();
    assert_eq!(
        (&options["desiredCount"], &options["maxDesired"], &options["scaleUpQuantity"]),
        (&json!(6), &json!(6), &json!(2))
    );
    assert_eq!(kit.group("meet-1-jvb").await["scalingOptions"]["desiredCount"], 2);
    let errors =
        kit.put("/groups/options/full-scaling", &json!({"instanceType": "stress", "direction": "left"})).await.errors();
    assert_eq!(errors.len(), 2, "{errors:?}");

    // One that somebody else owns is not written, and the answer says so.
    let theirs = json!({"apiVersion": "apps.jit.si/v1alpha1", "kind": "JitsiShard", "metadata": {"name": "meet-0"},
        "spec": {"groups": [{"kind": "jigasi", "maxDesired": 3}]}});
    kit.shards().patch("meet-0", &PatchParams::apply("flux"), &Patch::Apply(&theirs)).await.unwrap();
    let body = json!({"environment": place, "region": "eu", "instanceType": "jigasi", "direction": "down", "options": {"maxDesired": 2}});
    let answer = kit.put("/groups/options/full-scaling", &body).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (206, json!({"groupsToBeUpdated": 3, "groupsUpdated": 2})));
}
