//! The reader against whole files: mistakes, defaults, examples, documentation, limits.

mod cluster;
mod examples;

use std::{fmt::Write, path::Path, time::Duration};

use super::{AccessLog, Config, ConfigErrors, DnsRecord, HttpProbe, Loaded, ProbeTiming, ServicePort, Shards};

/// 32 bytes as base64, and others as hex.
const MESH_KEY: &str = "x2H4gNOuGPQJdXbtlpLzCcnnRZ3zuXNJKAIL8iQY0yM=\n";
const OTHER_MESH_KEY: &str = "8fd57c8ba8f0a0f31c1b60d8d4cbf34f35c1a0c6b95b0cf5ad2a4b7d70e1e6a9";

fn parse(text: &str) -> Result<Loaded, ConfigErrors> {
    Config::parse(text, Path::new("roompin.yaml"))
}

/// A configuration with one shard, and then the lines of `text`.
fn with_shard(text: &str) -> Loaded {
    parse(&format!("shards: {{static: [{{name: a, address: '10.0.0.1:80'}}]}}\n{text}")).expect("a good file")
}

fn warnings(text: &str) -> Vec<String> {
    with_shard(text).warnings.iter().map(ToString::to_string).collect()
}

fn errors(text: &str) -> String {
    parse(text).expect_err("a bad file").to_string()
}

#[test]
fn every_mistake_of_a_file_is_named_at_once_and_in_its_place() {
    let got = Config::parse(include_str!("tests/bad.yaml"), Path::new("bad.yaml")).expect_err("a bad file").to_string();
    let expected = include_str!("tests/bad.expected");
    // Line by line, so that a failure shows the line and not two screens.
    for (got, expected) in got.lines().zip(expected.lines()) {
        assert_eq!(got, expected);
    }
    assert_eq!(got.lines().count(), expected.lines().count());
}

#[test]
fn an_almost_empty_file_gets_the_defaults() {
    let Loaded { config, warnings } = with_shard("");
    assert_eq!(config, Config { shards: config.shards.clone(), ..Config::default() });
    assert_eq!(config.shards.fixed[0].weight, 100);
    assert_eq!(warnings, []);
    // Sections whose fields are all commented out are empty, not wrong.
    assert_eq!(with_shard("front:\nlog:\nprobes:\n  tcp:\n").config, config);
}

#[test]
fn lines_and_columns_count_characters_and_follow_nesting() {
    let text = "shards:\n  static:\n    - name: a\n      address: 10.0.0.1:80\n      weight: 300\n    \
                - {name: b, address: '10.0.0.2:80', weight: é}\nlog: {format: text, access: é, level: 'x=loud'}\n";
    let expected = "roompin.yaml:5:15: shards.static[0].weight: must be 0 to 256, not 300\n\
         roompin.yaml:6:49: shards.static[1].weight: must be a whole number from 0 to 256, not \"é\"\n\
         roompin.yaml:7:29: log.access: must be one of off, requests, all, not \"é\"\n";
    assert!(errors(text).starts_with(expected), "{}", errors(text));
    assert!(errors(text).contains("\nroompin.yaml:7:39: log.level: "), "{}", errors(text));
}

#[test]
fn an_alias_is_blamed_where_it_is_used() {
    let text =
        "front: {keepalive: &t 2h}\nshards: {static: [{name: a, address: '10.0.0.1:80'}]}\nrooms:\n  max_pins: *t\n";
    let expected = "roompin.yaml:1:23: front.keepalive: must be 1s to 1h, not 2h\n\
                    roompin.yaml:4:13: rooms.max_pins: must be a whole number from 1 to 100000000, not \"2h\"";
    assert_eq!(errors(text), expected);
}

#[test]
fn a_syntax_error_ends_reading_with_one_message() {
    for (text, expected) in [
        ("listen: [::]:8080\n", "roompin.yaml:1:13: not readable as YAML: "),
        ("a: \"x", "roompin.yaml:1:4: not readable as YAML: unclosed quote"),
        ("a: 1\n---\nb: 1\n", "roompin.yaml:2:1: only one YAML document is read"),
        ("- a\n", "roompin.yaml:1:1: must be a section with fields, not a list"),
        ("hello", "roompin.yaml:1:1: must be a section with fields, not \"hello\""),
    ] {
        let got = errors(text);
        assert!(got.starts_with(expected) && got.lines().count() == 1, "{text:?}: {got}");
    }
    assert!(errors("listen: [::]:8080\n").ends_with("an address in brackets needs quotes: \"[::]:8080\""));
}

#[test]
fn a_file_without_shards_is_refused() {
    let expected = "shards: no source of shards: give shards.static, shards.dns or shards.kubernetes";
    for text in ["", "# nothing\n", "shards:\n", "shards: {static: [], dns: []}"] {
        assert!(errors(text).ends_with(expected), "{text:?}: {}", errors(text));
    }
    // What is wrong with a source is said instead.
    assert_eq!(errors("shards: {static: no}").lines().count(), 1);
}

#[test]
fn two_sockets_cannot_share_an_address() {
    let shard = "shards: {static: [{name: a, address: '10.0.0.1:80'}]}\n";
    let clash = |text: &str| errors(&format!("{shard}{text}"));
    assert_eq!(
        clash("listen: 0.0.0.0:9090"),
        "roompin.yaml:1:1: admin.address: 127.0.0.1:9090 cannot be bound together with 0.0.0.0:9090 of listen"
    );
    assert_eq!(
        clash("listen: ['[::1]:1', '[::1]:1']"),
        "roompin.yaml:2:21: listen[1]: [::1]:1 is already given in listen[0]"
    );
    assert_eq!(with_shard("listen: ['127.0.0.1:0', '127.0.0.1:0', '[::]:9090']").config.listen.len(), 3);
}

#[test]
fn values_may_be_written_in_every_documented_way() {
    let config = with_shard(
        "listen: '[::1]:0'\nrooms: {ttl: 90000ms, max_pins: 5_000}\nfront: {head_max_bytes: 2048, trusted_proxies: \
         10.1.2.3}\ntunnels: {buffer_max_bytes: 32KiB, idle: 1d}\nshutdown: {drain_delay: 0}\nlog: {access: off}\n\
         probes: {http: {expect: [200, 301-302], host: 'meet.example.org:8443', interval: 500ms}}\n",
    )
    .config;
    assert_eq!(config.listen, ["[::1]:0".parse().unwrap()]);
    assert_eq!((config.rooms.ttl, config.rooms.max_pins), (Duration::from_secs(90), 5000));
    assert_eq!((config.front.head_max_bytes, config.tunnels.buffer_max_bytes), (2048, 32 << 10));
    assert_eq!(config.front.trusted_proxies, ["10.1.2.3/32".parse().unwrap()]);
    assert_eq!((config.tunnels.idle, config.shutdown.drain_delay), (Duration::from_secs(86_400), Duration::ZERO));
    assert_eq!(config.log.access, AccessLog::Off);
    let half = Duration::from_millis(500);
    let timing = ProbeTiming { interval: half, timeout: half, ..ProbeTiming::default() };
    let host = Some("meet.example.org:8443".into());
    let expect = vec![(200, 200), (301, 302)];
    assert_eq!(config.probes.http, Some(HttpProbe { timing, host, expect, ..HttpProbe::default() }));
}

#[test]
fn a_number_may_be_a_name_as_it_is_spelled() {
    let loaded = parse("shards: {static: [{name: 007, address: '10.0.0.1:80'}]}").unwrap();
    assert_eq!(loaded.config.shards.fixed[0].name.as_str(), "007");
}

#[test]
fn probes_follow_what_is_configured() {
    let probes = |text: &str| {
        let probes = with_shard(text).config.probes;
        (probes.tcp.is_some(), probes.http.is_some(), probes.agent.is_some())
    };
    assert_eq!(probes(""), (true, false, false));
    assert_eq!(probes("probes: {http: {}}"), (false, true, false));
    assert_eq!(probes("probes: {http: {}, tcp: {}}"), (true, true, false));
    assert_eq!(probes("probes: {tcp: off}"), (false, false, false));
    assert_eq!(probes("probes: {agent: {}}"), (true, false, true));
    let agents = "shards: {static: [{name: a, address: '10.0.0.1:80', agent_port: 6060}]}";
    assert_eq!(parse(agents).unwrap().config.probes.agent, Some(ProbeTiming::default()));
    assert_eq!(parse(&format!("{agents}\nprobes: {{agent: off}}")).unwrap().config.probes.agent, None);
}

#[test]
fn dns_sources_are_read_with_their_defaults() {
    let text = "shards: {dns: [{srv: _http._tcp.web.local, servers: [10.0.0.53, '10.0.0.54:5353']}, {host: web.example.org, \
                shard: b, port: 8080, min_refresh: 1m}]}";
    let Shards { dns, .. } = parse(text).unwrap().config.shards;
    assert_eq!(dns[0].record, DnsRecord::Srv { service: "_http._tcp.web.local".into() });
    assert_eq!(dns[0].servers, ["10.0.0.53:53".parse().unwrap(), "10.0.0.54:5353".parse().unwrap()]);
    assert_eq!((dns[0].hold_down, dns[0].max_refresh), (Duration::from_secs(30), Duration::from_secs(30)));
    assert!(matches!(&dns[1].record, DnsRecord::Host { host, port: 8080, .. } if host == "web.example.org"));
    assert_eq!(dns[1].max_refresh, Duration::from_secs(60), "a long min_refresh alone is no contradiction");
}

#[test]
fn kubernetes_sources_are_read_with_their_defaults() {
    let Shards { kubernetes, .. } =
        parse("shards: {kubernetes: [{}, {selector: app=web, port: 80}]}").unwrap().config.shards;
    assert_eq!((&*kubernetes[0].selector, &kubernetes[0].port), ("apps.jit.si/shard-state", &None));
    assert_eq!((&*kubernetes[1].selector, &kubernetes[1].port), ("app=web", &Some(ServicePort::Number(80))));
}

#[test]
fn warnings_name_what_is_probably_not_meant() {
    let expected = [
        ("shutdown: {drain_delay: 10s}", "2:11: shutdown.drain_window: with drain_delay this is 30s; "),
        ("front: {trusted_proxies: [0.0.0.0/0]}", "2:27: front.trusted_proxies[0]: believes"),
        ("upstream: {response_timeout: 60s}", "2:30: upstream.response_timeout: cuts BOSH requests"),
        ("log: {level: inof}", "2:14: log.level: \"inof\" is no level"),
        ("probes: {tcp: off}", "2:9: probes: tcp and http are off"),
        ("probes: {agent: {}}", "2:9: probes: agent is on, but no shard has an agent_port"),
        ("snapshot: {path: /nowhere/pins}", "2:18: snapshot.path: the folder /nowhere does not exist"),
    ];
    for (text, start) in expected {
        let got = warnings(text);
        assert!(got.len() == 1 && got[0].starts_with(start), "{text}: {got:?}");
    }
    assert_eq!(warnings("shutdown: {drain_delay: 9s}\nlog: {level: 'warn,proxy=debug'}"), Vec::<String>::new());
}

#[test]
fn secrets_must_exist_and_hold_something() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("roompin.yaml");
    let shard = "shards: {static: [{name: a, address: '10.0.0.1:80'}]}\n";
    let check = |content: Option<&str>, mode: u32| {
        let secret = folder.path().join("token");
        let _ = std::fs::remove_file(&secret);
        if let Some(content) = content {
            std::fs::write(&secret, content).unwrap();
            set_mode(&secret, mode);
        }
        std::fs::write(&file, format!("{shard}admin: {{address: '0.0.0.0:9090', token_file: token}}")).unwrap();
        Config::load(&file)
    };
    for (content, expected) in
        [(None, "cannot be read"), (Some(" \n"), "is empty"), (Some("two words"), "visible ASCII")]
    {
        let got = check(content, 0o600).expect_err("a bad token").to_string();
        assert!(got.contains("admin.token_file: ") && got.contains(expected) && got.lines().count() == 1, "{got}");
    }
    let loaded = check(Some("0123456789abcdef\n"), 0o600).unwrap();
    assert_eq!(loaded.config.admin.token_file, Some(folder.path().join("token")));
    assert_eq!(loaded.warnings, []);
    assert_eq!(super::secret::read_token(&folder.path().join("token")).unwrap(), "0123456789abcdef");
    if cfg!(unix) {
        let loose = check(Some("0123456789abcdef\n"), 0o644).unwrap().warnings;
        assert!(loose.len() == 1 && loose[0].message.contains("every user"), "{loose:?}");
    }
}

fn set_mode(path: &Path, mode: u32) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let _ = (path, mode);
}

#[test]
fn a_reload_refuses_only_what_needs_a_restart() {
    let old = with_shard("").config;
    let new =
        with_shard("listen: 127.0.0.1:1\nthreads: 3\nadmin: {address: '127.0.0.1:2'}\nsnapshot: {path: p}\n").config;
    let expected = [
        "listen: changing 0.0.0.0:8080 to 127.0.0.1:1 needs a restart",
        "threads: changing 0 to 3 needs a restart",
        "admin.address: changing 127.0.0.1:9090 to 127.0.0.1:2 needs a restart",
        "snapshot: changing off to p every 30s needs a restart",
    ];
    assert_eq!(old.reload_refusals(&new), expected);
    let mut keyed = old.clone();
    keyed.rooms.key_file = Some("room.key".into());
    assert_eq!(old.reload_refusals(&keyed), ["rooms.key_file: changing the built-in key to room.key needs a restart"]);
    let mut pooled = old.clone();
    pooled.upstream.pool_size = 1;
    assert_eq!(old.reload_refusals(&pooled), ["upstream.pool_size: changing 256 to 1 needs a restart"]);
    let harmless = with_shard(
        "front: {head_timeout: 1s, max_connections: 5, trusted_proxies: []}\nrooms: {ttl: 1h, max_pins: 9}\ntunnels: \
         {idle: 1m}\nupstream: {pool_idle: 1s}\nprobes: {http: {}}\nshutdown: {drain_delay: 1s}\nlog: {level: debug, \
         format: json, access: all}\n",
    );
    assert_ne!(harmless.config, old);
    assert_eq!(old.reload_refusals(&harmless.config), Vec::<String>::new());
}

#[test]
fn alias_bombs_and_deep_or_wide_files_are_refused() {
    let mut bomb = String::from("a: &a [x,x,x,x,x,x,x,x,x,x]\n");
    for (name, of) in ('b'..='k').zip('a'..) {
        let ten = vec![format!("*{of}"); 10].join(",");
        writeln!(bomb, "{name}: &{name} [{ten}]").unwrap();
    }
    let laughs = errors(&bomb);
    assert!(laughs.contains("not readable as YAML: alias replay limit") && laughs.lines().count() == 1, "{laughs}");
    for text in ["[".repeat(100_000), "{a: ".repeat(10_000), format!("a: [{}]", "x,".repeat(400_000)), "&a [*a]".into()]
    {
        let got = errors(&text);
        assert!(got.contains("not readable as YAML") && got.len() < 300, "{got}");
    }
}

#[test]
fn a_file_over_1_mib_is_refused_before_it_is_parsed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("big.yaml");
    let fits = "shards: {static: [{name: a, address: '10.0.0.1:80'}]}\n#";
    let fits = format!("{fits}{}", "x".repeat(super::MAX_FILE_BYTES - fits.len()));
    std::fs::write(&file, &fits).unwrap();
    assert!(Config::load(&file).is_ok());
    std::fs::write(&file, fits.clone() + "x").unwrap();
    let expected = format!("{}: larger than 1MiB", file.display());
    assert_eq!(Config::load(&file).unwrap_err().to_string(), expected);
    assert_eq!(errors(&(fits + "x")), "roompin.yaml:1:1: larger than 1MiB");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let message = |path: &Path| Config::load(path).unwrap_err().to_string();
    assert!(message(&folder.path().join("none.yaml")).ends_with("none.yaml: No such file or directory (os error 2)"));
    assert!(message(folder.path()).ends_with(": is a folder, not a file"));
    let latin1 = folder.path().join("latin1.yaml");
    std::fs::write(&latin1, b"a: 1\nb: caf\xe9\n").unwrap();
    assert!(message(&latin1).ends_with("latin1.yaml: not UTF-8 text (line 2)"));
}

#[test]
fn a_hundred_mistakes_are_printed_and_the_rest_counted() {
    let mut text = String::new();
    for n in 0..150 {
        writeln!(text, "nonsense{n}: 1").unwrap();
    }
    let got = errors(&text);
    assert_eq!(got.lines().count(), 101);
    assert!(got.ends_with("roompin.yaml: and 51 more"), "{got}");
}
