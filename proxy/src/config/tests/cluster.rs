//! `cluster:`

use std::{path::PathBuf, time::Duration};

use tempfile::TempDir;

use super::super::{Advertise, Cluster, Config, HostError, Loaded, Peer, defaults, secret};

const SHARD: &str = "shards: {static: [{name: a, address: '10.0.0.1:80'}]}\n";

/// A folder with keys good and bad.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in [
        ("mesh.key", super::MESH_KEY),
        ("old.key", super::OTHER_MESH_KEY),
        ("short.key", "0123456789abcdef0123456789abcdef\n"),
        ("zero.key", &"00".repeat(32)),
        ("empty.key", ""),
        ("words.key", "correct horse battery staple"),
    ] {
        std::fs::write(folder.path().join(name), content).unwrap();
        super::set_mode(&folder.path().join(name), 0o600);
    }
    folder
}

fn load(folder: &TempDir, text: &str) -> Result<Loaded, String> {
    let file = folder.path().join("roompin.yaml");
    Config::parse(&format!("{SHARD}{text}"), &file)
        .map_err(|errors| errors.to_string().replace(&format!("{}/", folder.path().display()), ""))
}

#[test]
fn a_key_and_a_peer_are_enough() {
    let folder = folder();
    let loaded = load(&folder, "cluster: {key_file: mesh.key, peers: 'mesh.local:7946'}").unwrap();
    assert_eq!(loaded.warnings, []);
    let expected = Cluster {
        listen: defaults::CLUSTER_LISTEN,
        advertise: None,
        peers: vec![Peer::Name { host: "mesh.local".into(), port: 7946 }],
        servers: Vec::new(),
        key_file: folder.path().join("mesh.key"),
        previous_key_file: None,
        claim_timeout: Duration::from_millis(150),
    };
    assert_eq!(loaded.config.cluster, Some(expected));
    assert!(loaded.config.summary().to_string().contains("dials mesh.local:7946"));
    for text in ["", "cluster: off"] {
        let config = load(&folder, text).unwrap().config;
        assert_eq!(config.cluster, None, "{text}");
        assert!(config.summary().to_string().contains("cluster  off"));
    }
    let lonely = load(&folder, "cluster: {key_file: mesh.key}").unwrap();
    assert!(lonely.warnings.len() == 1 && lonely.warnings[0].message.contains("names nobody"));
}

#[test]
fn mistakes_are_named() {
    let folder = folder();
    let cases = [
        ("{peers: 'a:1'}", "cluster.key_file: is missing"),
        ("{key_file: none.key}", "cluster.key_file: none.key: cannot be read"),
        ("{key_file: empty.key}", "cluster.key_file: empty.key: is empty"),
        ("{key_file: short.key}", "cluster.key_file: short.key: holds a key of 16 bytes; 32 are needed"),
        ("{key_file: zero.key}", "cluster.key_file: zero.key: holds a key that is not random"),
        ("{key_file: words.key}", "cluster.key_file: words.key: must hold a random key"),
        ("{key_file: mesh.key, previous_key_file: mesh.key}", "previous_key_file: is the same file as key_file"),
        ("{key_file: mesh.key, previous_key_file: short.key}", "cluster.previous_key_file: short.key: holds"),
        ("{key_file: mesh.key, peers: mesh.local}", "cluster.peers: needs a port"),
        ("{key_file: mesh.key, peers: 10.0.0.1}", "cluster.peers: needs a port"),
        ("{key_file: mesh.key, peers: ['a:1', '0.0.0.0:1']}", "cluster.peers[1]: must be the address of one machine"),
        ("{key_file: mesh.key, peers: ['a:1', 'b c:1']}", "cluster.peers[1]: must be an address or a DNS name"),
        ("{key_file: mesh.key, peers: ['a:1', 'a:1']}", "cluster.peers[1]: a:1 is given twice"),
        ("{key_file: mesh.key, advertise: '::'}", "cluster.advertise: must be the address of one machine"),
        ("{key_file: mesh.key, advertise: pod}", "cluster.advertise: must be an IP address"),
        ("{key_file: mesh.key, listen: '0.0.0.0:8080'}", "cluster.listen: 0.0.0.0:8080 is already given in listen"),
        (
            "{key_file: mesh.key, listen: '0.0.0.0:9090'}",
            "cannot be bound together with 127.0.0.1:9090 of admin.address",
        ),
        ("{key_file: mesh.key, claim_timeout: 1ms}", "cluster.claim_timeout: must be 10ms to 10s, not 1ms"),
        ("on", "cluster: must be a section with fields, or off"),
    ];
    for (text, expected) in cases {
        let got = load(&folder, &format!("cluster: {text}")).expect_err(text);
        assert!(got.contains(expected) && got.lines().count() == 1, "{text}: {got}");
    }
}

#[test]
fn peers_and_addresses_have_several_spellings() {
    let peer = |text: &str| text.parse::<Peer>();
    assert_eq!(peer("[2001:db8::1]:1"), Ok(Peer::Address("[2001:db8::1]:1".parse().unwrap())));
    assert_eq!(peer("a.b.:65535"), Ok(Peer::Name { host: "a.b.".into(), port: 65535 }));
    for (text, error) in [
        ("a", HostError::NoPort),
        ("a:0", HostError::NoPort),
        (":1", HostError::NotAPeer),
        ("a:b:1", HostError::NotAPeer),
    ] {
        assert_eq!(peer(text), Err(error), "{text}");
    }
    let advertise = |text: &str| text.parse::<Advertise>();
    assert_eq!(advertise("::1").unwrap(), Advertise { ip: "::1".parse().unwrap(), port: None });
    assert_eq!(advertise("10.0.0.1:5").unwrap().to_string(), "10.0.0.1:5");
    assert_eq!(advertise("10.0.0.1:0"), Err(HostError::NoPort));
}

#[test]
fn a_reload_may_change_peers_and_keys_but_not_the_socket() {
    let folder = folder();
    let config = |text: &str| load(&folder, text).unwrap().config;
    let old = config("cluster: {key_file: mesh.key, peers: 'a:1'}");
    let other = config("cluster: {key_file: old.key, previous_key_file: mesh.key, peers: 'b:1', claim_timeout: 1s}");
    assert_eq!(old.reload_refusals(&other), Vec::<String>::new());
    let moved = config("cluster: {key_file: mesh.key, peers: 'a:1', listen: '0.0.0.0:1', advertise: 10.0.0.1}");
    assert_eq!(
        old.reload_refusals(&moved),
        ["cluster: changing 0.0.0.0:7946 to 0.0.0.0:1 known as 10.0.0.1 needs a restart"]
    );
    assert_eq!(config("").reload_refusals(&old), ["cluster: changing off to 0.0.0.0:7946 needs a restart"]);
}

#[test]
fn a_raw_key_is_read_whole() {
    let folder = folder();
    let path: PathBuf = folder.path().join("raw.key");
    let mut raw: Vec<u8> = (0..32).map(|n: u8| n.wrapping_mul(37).wrapping_add(130)).collect();
    raw[31] = b'\n';
    std::fs::write(&path, &raw).unwrap();
    assert!(secret::read_mesh_key(&path).is_ok(), "its last byte is no line's end");
}
