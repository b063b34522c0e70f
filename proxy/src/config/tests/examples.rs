//! `deploy/examples` and `docs/configuration.md` stay true.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::super::{
    Cluster, Config, DnsRecord, DnsSource, HttpProbe, KubernetesSource, ProbeTiming, ServicePort, Shards, Snapshot,
    defaults, load::read_source, report::Report,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A folder with the secrets that the examples speak of.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["token", "admin.token", "room.key"] {
        let path = folder.path().join(name);
        std::fs::write(&path, "0123456789abcdef0123456789abcdef\n").unwrap();
        super::set_mode(&path, 0o600);
    }
    for (name, key) in [("mesh.key", super::MESH_KEY), ("mesh-old.key", super::OTHER_MESH_KEY)] {
        std::fs::write(folder.path().join(name), key).unwrap();
        super::set_mode(&folder.path().join(name), 0o600);
    }
    folder
}

fn full() -> String {
    std::fs::read_to_string(root().join("deploy/examples/full.yaml")).unwrap()
}

/// The full example with the `#` of its first column taken away, wherever it stands before a field.
fn full_and_switched_on() -> String {
    let uncomment = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with("  ") || rest.starts_with(|c: char| c.is_alphabetic()) => rest.to_owned(),
        _ => line.to_owned(),
    };
    full().lines().map(|line| uncomment(line) + "\n").collect()
}

#[test]
fn every_example_passes_without_a_warning() {
    let folder = folder();
    let mut seen = 0;
    for entry in std::fs::read_dir(root().join("deploy/examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let copy = folder.path().join(path.file_name().unwrap());
            std::fs::copy(&path, &copy).unwrap();
            let loaded = Config::load(&copy).unwrap_or_else(|errors| panic!("{errors}"));
            assert_eq!(loaded.warnings, [], "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 3, "only {seen} examples found");
}

#[test]
fn the_full_example_is_the_defaults() {
    let config = Config::parse(&full(), Path::new("full.yaml")).unwrap().config;
    let dns = DnsSource {
        record: DnsRecord::Srv { service: "_http._tcp.web.jitsi.svc.cluster.local".into() },
        servers: Vec::new(),
        hold_down: defaults::HOLD_DOWN,
        min_refresh: defaults::MIN_REFRESH,
        max_refresh: defaults::MAX_REFRESH,
        weight: defaults::WEIGHT,
        agent_port: None,
    };
    let shards = Shards { fixed: Vec::new(), dns: vec![dns], kubernetes: Vec::new() };
    assert_eq!(config, Config { shards, ..Config::default() });
}

#[test]
fn what_the_full_example_comments_out_is_right_too() {
    let folder = folder();
    let file = folder.path().join("full.yaml");
    let loaded = Config::parse(&full_and_switched_on(), &file).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(loaded.warnings, []);
    let config = loaded.config;
    let interval = defaults::SNAPSHOT_INTERVAL;
    assert_eq!(config.snapshot, Some(Snapshot { path: folder.path().join("pins.snapshot"), interval }));
    let cluster = Cluster {
        listen: defaults::CLUSTER_LISTEN,
        advertise: Some("10.0.0.21".parse().unwrap()),
        peers: ["roompin-mesh.jitsi.svc.cluster.local:7946", "10.0.0.22:7946"].map(|peer| peer.parse().unwrap()).into(),
        servers: Vec::new(),
        key_file: folder.path().join("mesh.key"),
        previous_key_file: Some(folder.path().join("mesh-old.key")),
        claim_timeout: defaults::CLAIM_TIMEOUT,
    };
    assert_eq!(config.cluster, Some(cluster));
    let host = Some("meet.example.org".into());
    assert_eq!(config.probes.http, Some(HttpProbe { host, ..HttpProbe::default() }));
    assert_eq!(config.probes.agent, Some(ProbeTiming::default()));
    assert_eq!((config.shards.fixed.len(), config.shards.dns.len()), (1, 2));
    let kubernetes = KubernetesSource {
        namespace: Some("jitsi".into()),
        selector: defaults::KUBERNETES_SELECTOR.into(),
        port: Some(ServicePort::Name("http".into())),
        shard_label: defaults::SHARD_LABEL.into(),
        state_label: defaults::STATE_LABEL.into(),
        kubeconfig: Some(folder.path().join("kube.config")),
        hold_down: defaults::HOLD_DOWN,
        weight: defaults::WEIGHT,
        agent_port: Some(6060),
    };
    assert_eq!(config.shards.kubernetes, [kubernetes]);
}

/// Every field that the reader knows: those it looked for in a file that has every section.
fn known() -> BTreeSet<String> {
    let folder = folder();
    let report = Report::default();
    read_source(&full_and_switched_on(), &folder.path().join("full.yaml"), &report).unwrap();
    report.known()
}

#[test]
fn the_documentation_names_every_field_and_no_other() {
    let text = std::fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let documented: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name.to_owned())
        .collect();
    let known = known();
    assert!(known.len() > 60, "{known:?}");
    let missing: Vec<_> = known.difference(&documented).collect();
    assert!(missing.is_empty(), "not in docs/configuration.md: {missing:?}");
    let stale: Vec<_> = documented.difference(&known).collect();
    assert!(stale.is_empty(), "in docs/configuration.md, but unknown to the reader: {stale:?}");
}

#[test]
fn the_full_example_mentions_every_field() {
    let text = full();
    for path in known() {
        let name = path.rsplit('.').next().unwrap();
        assert!(text.contains(&format!("{name}:")), "full.yaml does not mention {path}");
    }
}
