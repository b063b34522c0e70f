use super::*;

const DEFAULTS: Defaults = Defaults { weight: 100, agent_port: Some(6060) };

fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Srv {
    Srv { priority, target: target.into(), port, weight }
}

fn at(entries: &[(&str, &[&str])]) -> BTreeMap<String, Vec<IpAddr>> {
    entries.iter().map(|(target, ips)| ((*target).into(), ips.iter().map(|ip| ip.parse().unwrap()).collect())).collect()
}

fn shards(records: Vec<Srv>, addresses: &BTreeMap<String, Vec<IpAddr>>) -> (Vec<ShardSpec>, Vec<DiscoveryError>) {
    let mut problems = Vec::new();
    let records = bounded(records, &mut problems);
    let shards = srv_shards(&records, addresses, &mut Shared::default(), DEFAULTS, &mut problems);
    (shards, problems)
}

fn names(shards: &[ShardSpec]) -> Vec<&str> {
    shards.iter().map(|shard| shard.name.as_str()).collect()
}

#[test]
fn a_target_is_a_shard_named_after_its_first_label() {
    let addresses = at(&[("web-0.web.test", &["10.0.0.2", "10.0.0.1"]), ("web-1.web.test", &["fd00::1", "10.0.0.3"])]);
    let (shards, problems) =
        shards(vec![srv(0, 33, 80, "web-1.web.test"), srv(0, 33, 80, "web-0.web.test")], &addresses);
    assert_eq!(names(&shards), ["web-0", "web-1"]);
    assert_eq!(shards[0].addresses, ["10.0.0.1:80".parse().unwrap(), "10.0.0.2:80".parse().unwrap()]);
    assert_eq!(shards[1].addresses, ["10.0.0.3:80".parse().unwrap(), "[fd00::1]:80".parse().unwrap()]);
    assert!(shards.iter().all(|shard| shard.weight == 33 && shard.agent_port == Some(6060)));
    assert_eq!(problems, []);
}

#[test]
fn rotated_answers_give_equal_shards() {
    let records: Vec<_> = (0..5).map(|i| srv(0, 1, 80, &format!("s{i}.test"))).collect();
    let addresses: BTreeMap<_, _> = (0..5)
        .map(|i| (format!("s{i}.test"), vec![IpAddr::from([10, 0, 0, i]), IpAddr::from([10, 0, 1, i])]))
        .collect();
    let mut rotated = records.clone();
    rotated.rotate_left(2);
    let turned = addresses.iter().map(|(k, v)| (k.clone(), v.iter().rev().copied().collect())).collect();
    assert_eq!(shards(records, &addresses), shards(rotated, &turned));
}

#[test]
fn an_address_like_label_is_a_name() {
    let addresses = at(&[("10-0-0-1.web.ns.svc.cluster.local", &["10.0.0.1"])]);
    let (shards, _) = shards(vec![srv(0, 100, 80, "10-0-0-1.web.ns.svc.cluster.local")], &addresses);
    assert_eq!(names(&shards), ["10-0-0-1"]);
}

#[test]
fn targets_that_share_a_label_keep_their_whole_name_even_alone() {
    let addresses = at(&[("web.a.test", &["10.0.0.1"]), ("web.b.test", &["10.0.0.2"]), ("x.test", &["10.0.0.3"])]);
    let mut shared = Shared::default();
    let mut problems = Vec::new();
    let both = [srv(0, 1, 80, "web.a.test"), srv(0, 1, 80, "web.b.test"), srv(0, 1, 80, "x.test")];
    let first = srv_shards(&both, &addresses, &mut shared, DEFAULTS, &mut problems);
    assert_eq!(names(&first), ["web.a.test", "web.b.test", "x"]);
    let thin = srv_shards(&both[1..2], &addresses, &mut shared, DEFAULTS, &mut problems);
    assert_eq!(names(&thin), ["web.b.test"]);
}

#[test]
fn weight_zero_is_the_default_and_large_ones_are_capped() {
    let addresses = at(&[("a.test", &["10.0.0.1"]), ("b.test", &["10.0.0.2"]), ("c.test", &["10.0.0.3"])]);
    let records = vec![srv(0, 0, 80, "a.test"), srv(0, 65_535, 80, "b.test"), srv(0, 7, 80, "c.test")];
    let weights: Vec<_> = shards(records, &addresses).0.iter().map(|shard| shard.weight).collect();
    assert_eq!(weights, [100, 256, 7]);
}

#[test]
fn larger_priority_numbers_drain() {
    let addresses = at(&[("a.test", &["10.0.0.1"]), ("b.test", &["10.0.0.2"])]);
    let records = vec![srv(20, 1, 80, "a.test"), srv(10, 1, 80, "b.test"), srv(20, 9, 81, "b.test")];
    let (shards, _) = shards(records, &addresses);
    assert_eq!(shards[0].state, ShardState::Draining);
    assert_eq!(shards[1].state, ShardState::Ready);
    assert_eq!(shards[1].addresses, ["10.0.0.2:80".parse().unwrap()], "only the best group's ports");
    assert_eq!(shards[1].weight, 1);
}

#[test]
fn one_target_on_two_ports_is_one_shard() {
    let addresses = at(&[("a.test", &["10.0.0.1"])]);
    let (shards, _) = shards(vec![srv(0, 1, 81, "a.test"), srv(0, 5, 80, "a.test")], &addresses);
    assert_eq!(shards.len(), 1);
    assert_eq!(shards[0].addresses, ["10.0.0.1:80".parse().unwrap(), "10.0.0.1:81".parse().unwrap()]);
    assert_eq!(shards[0].weight, 5);
}

#[test]
fn the_root_target_means_none() {
    assert_eq!(shards(vec![srv(0, 0, 0, "")], &BTreeMap::new()), (vec![], vec![]));
}

#[test]
fn unusable_targets_are_left_out_and_named() {
    let addresses = at(&[("b d.test", &["10.0.0.1"]), ("ok.test", &["10.0.0.2"])]);
    let records = vec![srv(0, 1, 80, "b d.test"), srv(0, 1, 80, "lost.test"), srv(0, 1, 80, "ok.test")];
    let (shards, problems) = shards(records, &addresses);
    assert_eq!(names(&shards), ["ok"]);
    assert_eq!(problems.iter().map(DiscoveryError::kind).collect::<Vec<_>>(), ["name", "address"]);
}

#[test]
fn five_thousand_records_are_cut_to_the_same_ones_every_time() {
    let records: Vec<_> = (0..5_000).map(|i| srv(0, 1, 80, &format!("s{i:04}.test"))).collect();
    let mut shuffled = records.clone();
    shuffled.reverse();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let kept = bounded(records, &mut first);
    assert_eq!(kept.len(), MAX_RECORDS);
    assert_eq!(kept, bounded(shuffled, &mut second));
    assert_eq!(first, [DiscoveryError::TooMany { found: 5_000, taken: MAX_RECORDS }]);
}

#[test]
fn a_host_is_one_shard_with_bounded_addresses() {
    let name = ShardName::new("one").unwrap();
    let ips: Vec<_> = (0..5_000_u32).map(|i| IpAddr::from(i.to_be_bytes())).collect();
    let shard = host_shard(&name, 80, &ips, DEFAULTS).unwrap();
    assert_eq!(shard.addresses.len(), MAX_ADDRESSES);
    assert_eq!(shard.name, name);
    assert_eq!(host_shard(&name, 80, &[], DEFAULTS), None);
}
