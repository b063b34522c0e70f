use super::*;

fn group(name: &str) -> FullGroup {
    FullGroup {
        name: name.to_owned(),
        kind: GroupKind::Jvb,
        environment: "meet".to_owned(),
        region: "europe".to_owned(),
        scheduler: true,
        scheduled: false,
        min: 2,
        max: 6,
        desired: 4,
    }
}

fn request(direction: Direction, options: OptionsSpec) -> FullRequest {
    FullRequest {
        environment: "meet".to_owned(),
        region: "europe".to_owned(),
        kind: GroupKind::Jvb,
        direction,
        options,
    }
}

fn desired(count: i32) -> OptionsSpec {
    OptionsSpec { desired_count: Some(count), ..OptionsSpec::default() }
}

/// (min, max, desired) of the only group.
fn only(request: &FullRequest) -> (i32, i32, i32) {
    let plan = full_scaling(request, &[group("a")]);
    assert_eq!(plan.changes.len(), 1);
    (plan.changes[0].min, plan.changes[0].max, plan.changes[0].desired)
}

#[test]
fn up_only_raises_and_down_only_lowers() {
    assert_eq!(only(&request(Direction::Up, desired(5))), (2, 6, 5));
    assert_eq!(only(&request(Direction::Up, desired(3))), (2, 6, 4));
    assert_eq!(only(&request(Direction::Down, desired(3))), (2, 6, 3));
    assert_eq!(only(&request(Direction::Down, desired(5))), (2, 6, 4));
}

#[test]
fn bounds_are_stretched_to_fit_the_number() {
    assert_eq!(only(&request(Direction::Up, desired(9))), (2, 9, 9));
    assert_eq!(only(&request(Direction::Down, desired(1))), (1, 6, 1));
    let bounds = OptionsSpec { min_desired: Some(5), max_desired: Some(3), ..OptionsSpec::default() };
    assert_eq!(only(&request(Direction::Up, bounds)), (4, 4, 4));
}

#[test]
fn type_region_and_environment_must_all_match() {
    let mut others = vec![group("type"), group("region"), group("environment")];
    others[0].kind = GroupKind::Jigasi;
    others[1].region = "Europe".to_owned();
    others[2].environment = "stage".to_owned();
    assert_eq!(full_scaling(&request(Direction::Up, desired(9)), &others), FullPlan::default());
}

#[test]
fn groups_without_scheduler_are_passed_by_and_scheduled_ones_are_named() {
    let mut groups = vec![group("a"), group("off"), group("own"), group("b")];
    groups[1].scheduler = false;
    groups[2].scheduled = true;
    let plan = full_scaling(&request(Direction::Up, desired(5)), &groups);
    assert_eq!(plan.changes.iter().map(|change| change.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let answer = FullAnswer::new(plan, 1);
    assert_eq!(answer.status(), 206);
    assert_eq!(
        serde_json::to_value(&answer).unwrap(),
        serde_json::json!({
            "groupsToBeUpdated": 2,
            "groupsUpdated": 1,
            "skippedGroups": [{ "name": "own", "reason": "Group uses scheduled scaling" }],
        })
    );
}

#[test]
fn all_written_is_200_and_nothing_to_write_too() {
    let answer = FullAnswer::new(full_scaling(&request(Direction::Up, desired(5)), &[group("a")]), 1);
    assert_eq!(answer.status(), 200);
    assert_eq!(serde_json::to_string(&answer).unwrap(), r#"{"groupsToBeUpdated":1,"groupsUpdated":1}"#);
    assert_eq!(FullAnswer::new(FullPlan::default(), 0).status(), 200);
}

#[test]
fn the_override_keeps_what_the_request_does_not_speak_of() {
    let options = OptionsSpec {
        desired_count: Some(5),
        scale_up_threshold: Some(0.7),
        scale_period: Some(90),
        ..OptionsSpec::default()
    };
    let plan = full_scaling(&request(Direction::Up, options), &[group("a")]);
    let mut spec = GroupSpec {
        scaling: Some(ScalingSpec {
            scale_up_threshold: Some(0.6),
            scale_down_threshold: Some(0.2),
            enable_auto_scale: Some(false),
            ..ScalingSpec::default()
        }),
        tags: [("tier".to_owned(), "one".to_owned())].into(),
        ..GroupSpec::default()
    };
    plan.changes[0].write("2026-11-21T08:00:00Z", &mut spec);
    assert_eq!((spec.min_desired, spec.max_desired), (Some(2), Some(6)));
    assert_eq!(spec.desired, Some(DesiredWord { count: 5, said_at: "2026-11-21T08:00:00Z".to_owned() }));
    let scaling = spec.scaling.unwrap();
    assert_eq!((scaling.scale_up_threshold, scaling.scale_down_threshold), (Some(0.7), Some(0.2)));
    assert_eq!(scaling.scale_period, Some(TimeText("90s".to_owned())));
    assert_eq!(scaling.enable_auto_scale, Some(false));
    assert_eq!(spec.tags.len(), 1);
}

#[test]
fn a_request_for_the_number_alone_makes_no_other_override() {
    let plan = full_scaling(&request(Direction::Down, desired(3)), &[group("a")]);
    let mut spec = GroupSpec::default();
    plan.changes[0].write("now", &mut spec);
    assert_eq!(spec.scaling, None);
}
