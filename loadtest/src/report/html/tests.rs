use super::*;
use crate::{
    chaos::result::{ChaosEvent, ChaosPoint, Violation},
    machine::Machine,
    result::{ConferenceRun, IdleRun, Latency, Mode, RequestRun, Transport, TunnelRun},
    versus::result::{CoreUse, HalfLoad, Measured, Round, Settings, SplitRun, SubjectRun},
};

fn latency(us: u64) -> Latency {
    let curve = vec![(0.0, us / 2), (50.0, us), (90.0, us * 2), (99.0, us * 4), (99.9, us * 9), (100.0, us * 20)];
    Latency {
        count: 1000,
        mean_us: 1.0,
        p50_us: us,
        p90_us: us * 2,
        p99_us: us * 4,
        p999_us: us * 9,
        max_us: us * 20,
        curve,
    }
}

fn round(speed: f64) -> Round {
    let mode = Mode::ClosedLoop { in_flight: 64 };
    let tunnels = TunnelRun {
        target: "127.0.0.1:1".to_owned(),
        tunnels: 64,
        message_bytes: 512,
        mode,
        seconds: 3.0,
        round_trips: 60_000,
        per_second: speed,
        latency: latency(400),
        connects_per_second: 5_000.0,
        errors: 0,
        generator_cpu: 0.4,
    };
    let requests = RequestRun {
        target: "127.0.0.1:1".to_owned(),
        connections: 64,
        rooms: 1000,
        mode,
        seconds: 3.0,
        requests: 30_000,
        per_second: speed / 2.0,
        latency: latency(700),
        errors: 0,
        wrong_shard: 0,
        generator_cpu: 0.3,
    };
    let core = Some(CoreUse { busy: 0.99, busy_us_per_operation: 1e6 / speed, stolen: 0.001 });
    Round {
        tunnels_peak: Measured { run: tunnels.clone(), core },
        requests_peak: Measured { run: requests.clone(), core },
        tunnels_half: Measured { run: tunnels, core },
        requests_half: Measured { run: requests, core },
    }
}

#[allow(clippy::cast_possible_truncation, reason = "at most 1000")]
fn split(gap_ms: u64, replicas: usize, split_share: f64) -> SplitRun {
    let run = ConferenceRun {
        targets: vec![],
        rooms: 1000,
        participants_per_room: 2,
        window_ms: 0,
        transport: Transport::Plain,
        splits: (split_share * 1000.0).round() as u64,
        split_share,
        joins: latency(900),
        disconnects: 0,
        moved_rooms: 0,
        errors: 0,
        seed: 1,
    };
    SplitRun { gap_ms, replicas, asked: 1000, late: None, run }
}

fn subject(id: &str, name: &str, speed: f64, shares: [f64; 2]) -> SubjectRun {
    let idle = |tunnels: usize| IdleRun {
        target: "127.0.0.1:1".to_owned(),
        tunnels,
        rss_before_kib: 9_000,
        rss_after_kib: 9_000 + tunnels as u64 * 2,
        bytes_per_tunnel: 2048.0,
        accept_seconds: 1.0,
    };
    let gaps = [0, 1, 5, 20].into_iter();
    SubjectRun {
        id: id.to_owned(),
        name: name.to_owned(),
        version: format!("{name} 1.2.3 <beta>"),
        rounds: vec![round(speed), round(speed * 1.1), round(speed * 0.9)],
        memory: vec![idle(1000), idle(2000), idle(4000)],
        splits: gaps
            .clone()
            .map(|gap| split(gap, 1, shares[0]))
            .chain(gaps.clone().map(|gap| split(gap, 2, shares[1])))
            .chain(gaps.map(|gap| split(gap, 5, shares[1])))
            .collect(),
    }
}

/// A comparison in which ours does 21,000 round trips/s and HAProxy 20,000 and 15,000.
fn comparison() -> VersusRun {
    VersusRun {
        at: "Sat, 21 Nov 2026 08:00:00 GMT".to_owned(),
        command: "roompin-loadtest versus haproxy --json x".to_owned(),
        machine: Machine {
            cpu: "A <fast> CPU".to_owned(),
            cores: 2,
            kernel: "6.1.0".to_owned(),
            memory_mib: 24_105,
            system: "Debian".to_owned(),
        },
        settings: Settings {
            rounds: 3,
            seconds: 3.0,
            tunnels: 64,
            message_bytes: 512,
            connections: 64,
            rooms: 1000,
            shards: 2,
            split_delay_ms: 5,
            split_rooms: 100_000,
            split_rooms_others: 4_000,
            proxy_core: Some(1),
            seed: 1,
        },
        half: HalfLoad { tunnels: 7_500.0, requests: 3_750.0 },
        subjects: vec![
            subject("roompin", "Roompin", 21_000.0, [0.0, 0.0]),
            subject("haproxy-kubernetes", "HAProxy, Kubernetes", 20_000.0, [0.97, 0.24]),
            subject("haproxy-hash", "HAProxy, hash", 15_000.0, [0.05, 0.04]),
        ],
    }
}

fn chaos(target: &str, splits: u64) -> ChaosRun {
    let point = |t: u64| ChaosPoint {
        t_ms: t * 500,
        participants: 60,
        splits_alive: if (10..20).contains(&t) { splits } else { 0 },
        disconnects: u64::from(t == 8) * 12,
        ..ChaosPoint::default()
    };
    let event = |t_ms, what: &str| ChaosEvent { t_ms, done_ms: t_ms + 100, what: what.to_owned() };
    let violation =
        Violation { invariant: 1, t_ms: 5_000, room: "café".to_owned(), text: "seen on two shards".to_owned() };
    ChaosRun {
        target: target.to_owned(),
        isolation: "signals".to_owned(),
        replicas: 2,
        shards: 3,
        rooms: 20,
        participants_per_room: 3,
        seconds: 30.0,
        events: vec![event(4_000, "kill replica-2"), event(4_200, "slow shard-1"), event(9_000, "restart replica-2")],
        series: (1..=60).map(point).collect(),
        violations: if splits > 0 { vec![violation] } else { vec![] },
        violations_total: splits,
        ..ChaosRun::default()
    }
}

fn results() -> Results {
    Results { versus: vec![comparison()], chaos: vec![chaos("roompin", 0), chaos("haproxy", 7)] }
}

/// Whoever wants to look at it: `ROOMPIN_REPORT=/tmp/x.html cargo test -p loadtest report`.
#[test]
fn the_page_has_every_section_and_stands_alone() {
    let page = results().page();
    if let Ok(path) = std::env::var("ROOMPIN_REPORT") {
        std::fs::write(path, &page).unwrap();
    }
    for part in ["id=\"versus\"", "id=\"latency\"", "id=\"memory\"", "id=\"splits\"", "id=\"method\"", "id=\"chaos\""] {
        assert!(page.contains(part), "{part}");
    }
    assert_eq!(page.matches("<svg").count(), 8, "two latencies, memory, three of splits, two timelines");
    assert!(page.contains("prefers-color-scheme: dark"));
    for outside in ["http://", "https://", "url(", "@import", "<script", "<link", "<img", "src=", "href="] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("A &lt;fast&gt; CPU") && !page.contains("<beta>"), "names are escaped");
    for unit in [
        "time (µs)",
        "resident memory (MiB)",
        "rooms split (%)",
        "time between the two (ms)",
        "time (s)",
        "split (rooms)",
    ] {
        assert!(page.contains(unit), "{unit}");
    }
    assert!(page.contains("Roompin: 0 of 12,000") && page.contains("97.0") && page.contains("1.05 ×"));
}

#[test]
fn results_are_read_back_whatever_way_they_lie_in_a_file() {
    let mut read = Results::default();
    let run = serde_json::to_string(&comparison()).unwrap();
    let chaos = serde_json::to_string(&[chaos("roompin", 0), chaos("haproxy", 7)]).unwrap();
    read.read(&format!("{run}\n{chaos}\n{}\n", serde_json::to_string(&results().chaos[0]).unwrap())).unwrap();
    assert_eq!(read.versus, results().versus);
    assert_eq!(read.chaos.len(), 3);
    assert!(matches!(read.read("{\"a\":1}"), Err(ReadError::Unknown)));
    assert!(matches!(read.read("{"), Err(ReadError::Json(_))));
}

#[test]
fn a_report_of_nothing_says_what_is_missing() {
    let page = Results::default().page();
    assert!(page.contains("No comparison") && page.contains("No chaos run"));
}

#[test]
fn a_splitting_or_failing_run_of_ours_fails() {
    assert_eq!(comparison().failures(), 0, "splits by HAProxy are its own");
    let mut run = comparison();
    run.subjects[0].splits[0] = split(0, 1, 0.002);
    assert_eq!(run.failures(), 2);
    let mut run = comparison();
    run.subjects[0].splits[3].asked = 1_007;
    assert_eq!(run.failures(), 7, "rooms that were not opened prove nothing");
    let mut run = comparison();
    run.subjects[1].rounds[2].requests_half.run.wrong_shard = 3;
    assert_eq!(run.failures(), 3);
}

#[test]
fn the_tables_say_the_same_in_text() {
    use crate::versus::table::{markdown, terminal};
    let text = terminal(&comparison(), false, None);
    let line = text.lines().find(|line| line.contains("tunnel round trips")).unwrap().replace(' ', "");
    assert_eq!(line, "│tunnelroundtrips┆/s┆21,000┆20,000┆15,000┆1.05×┆1.40×│");
    let page = markdown(&comparison());
    let line = page.lines().find(|line| line.contains("one process, 0 ms apart")).unwrap();
    assert_eq!(line.split('|').map(str::trim).collect::<Vec<_>>()[3..6], ["0", "97.0", "5.00"]);
    assert!(page.contains("```\nroompin-loadtest versus haproxy --json x\n```"), "{page}");
}
