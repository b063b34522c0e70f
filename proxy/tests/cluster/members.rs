//! Who is in: finding each other, strangers, leaving.

use std::time::Duration;

use tokio::{io::AsyncWriteExt, net::TcpStream, time::Instant};

use crate::{
    clients::knock,
    house::{rooms, until},
    support::Port,
    town::{Town, whole},
};

#[tokio::test]
async fn replicas_of_a_list_find_each_other() {
    for count in [2, 3, 5] {
        let started = Instant::now();
        let town = Town::of(1, count).await;
        println!("{count} replicas ready after {:?}", started.elapsed());
        let metrics = town.house(0).metrics().await;
        assert_eq!(metrics.get(r#"roompin_members{state="ready"}"#), Some(count as f64));
        assert_eq!(metrics.get("roompin_mesh_links"), Some(count as f64 - 1.0));
        assert_eq!(metrics.0.lines().filter(|line| line.starts_with("roompin_mesh_lag_seconds{")).count(), count - 1);
    }
}

/// The third knows only the second, which knows only the first.
#[tokio::test]
async fn a_latecomer_hears_of_the_others_by_gossip_and_takes_over_their_pins() {
    let mut town = Town::new(2).await;
    let ports = [Port::reserve(), Port::reserve(), Port::reserve()];
    let [a, b, c] = ports;
    let (first, second) = (a.address(), b.address());
    let plan = town.plan(vec![]);
    town.launch(a, &plan);
    let plan = town.plan(vec![first]);
    town.launch(b, &plan);
    town.ready().await;
    let seats = town.house(0).visit_all(&rooms("room", 500)).await;
    let plan = town.plan(vec![second]);
    town.launch(c, &plan);
    town.ready().await;
    let metrics = town.house(2).metrics().await;
    assert_eq!(metrics.get("roompin_table_entries"), Some(500.0));
    assert_eq!(town.house(2).visit_all(&rooms("room", 500)).await, seats);
    assert_eq!(town.house(2).metrics().await.sum("roompin_claim_seconds_count", ""), 0.0, "it knew them all");
}

#[tokio::test]
async fn readiness_waits_for_the_pins_of_the_others() {
    let mut town = Town::new(1).await;
    let (port, nowhere) = (Port::reserve(), Port::reserve());
    let plan = town.plan(vec![nowhere.address()]);
    town.launch(port, &plan);
    let house = town.house(0);
    let ready = format!("http://{}/readyz", house.admin());
    let http = crate::house::client();
    until("it is joining", async || {
        let Ok(answer) = http.get(&ready).send().await else { return false };
        let status = answer.status();
        let text = answer.text().await.unwrap_or_default();
        assert!(status == 503, "{status} {text}");
        text.starts_with("joining:")
    })
    .await;
    let early = knock(&http, house.front(), "early").await;
    assert_eq!(early, Err("status 503 Service Unavailable".into()), "to know nothing is no reason to decide");
    town.replicas[0].house.ready().await;
    let members = town.replicas[0].members().await;
    assert!(whole(&members, 1), "a peer that is not there is waited for, but not for ever: {members:?}");
    assert_eq!(town.house(0).visit("early").await, "s0");
    let metrics = town.house(0).metrics().await;
    assert_eq!(metrics.get(r#"roompin_front_refusals_total{reason="joining"}"#), Some(1.0));
}

#[tokio::test]
async fn strangers_stay_out_and_members_do_not_notice() {
    let mut town = Town::of(2, 2).await;
    let mut tunnel = town.house(0).tunnel("standup").await;
    let shard = tunnel.who().await;
    let peers: Vec<_> = town.replicas.iter().map(|replica| replica.mesh).collect();
    let mut plan = town.plan(peers.clone());
    plan.key = "another key";
    town.launch(Port::reserve(), &plan);
    town.replicas[2].house.ready().await;
    // Garbage, and many who say nothing.
    let mut silent = Vec::new();
    for n in 0..300 {
        let mut stream = TcpStream::connect(peers[n % 2]).await.unwrap();
        if n < 50 {
            stream.write_all(&vec![b'x'; 3_000]).await.unwrap();
        }
        silent.push(stream);
    }
    for n in 0..2 {
        town.house(n)
            .until_metrics("wrong keys and garbage are counted", |metrics| {
                metrics.sum("roompin_mesh_handshakes_total", "wrong_key") > 0.0
                    && metrics.sum("roompin_mesh_handshakes_total", "not_mesh") > 0.0
            })
            .await;
        assert!(whole(&town.replicas[n].members().await, 2));
    }
    assert!(whole(&town.replicas[2].members().await, 1), "the stranger is alone");
    assert!(tunnel.is_open().await);
    assert_eq!(town.house(1).visit("standup").await, shard);
    assert_eq!(town.sum("roompin_claim_seconds_count", "fallback").await, 0.0);
}

#[tokio::test]
async fn who_leaves_says_so() {
    let mut town = Town::of(2, 3).await;
    let seats = town.house(2).visit_all(&rooms("room", 50)).await;
    town.house(2).process.signal("TERM");
    town.replicas[0].until_members("one draining or gone", |members| !whole(members, 3)).await;
    let left = Instant::now();
    assert!(town.replicas[2].house.process.wait(Duration::from_secs(15)).await.success());
    for n in 0..2 {
        town.replicas[n].until_members("two", |members| whole(members, 2)).await;
        let log = town.house(n).process.log();
        assert!(log.contains("state=\"draining\"") || log.contains("draining"), "{log}");
    }
    println!("gone after {:?}", left.elapsed());
    assert_eq!(town.house(0).visit_all(&rooms("room", 50)).await, seats);
    town.house(1).visit_all(&rooms("new", 50)).await;
    let two = [0, 1].map(|n| town.house(n));
    for house in two {
        let metrics = house.metrics().await;
        assert_eq!(metrics.sum("roompin_claim_seconds_count", "fallback"), 0.0);
        assert_eq!(metrics.sum("roompin_claim_seconds_count", "successor"), 0.0, "nobody asks who is not there");
    }
}

/// Peers and keys change with SIGHUP, without a link lost.
#[tokio::test]
async fn keys_are_exchanged_without_a_gap() {
    let mut town = Town::of(1, 2).await;
    let (old, new) = (town.key("key"), town.key("new key"));
    let peers: Vec<_> = town.replicas.iter().map(|replica| replica.mesh).collect();
    for (current, previous) in [(&old, &new), (&new, &old), (&new, &new)] {
        for replica in &town.replicas {
            let body = town.body(replica.mesh, &town.plan(peers.clone()));
            let files = if current == previous {
                format!("key_file: \"{}\"", current.display())
            } else {
                format!("key_file: \"{}\", previous_key_file: \"{}\"", current.display(), previous.display())
            };
            let body = body.replace(&format!("key_file: \"{}\"", old.display()), &files);
            assert!(replica.house.reload(&body).await, "{}", replica.house.process.log());
        }
    }
    for replica in &town.replicas {
        assert!(whole(&replica.members().await, 2), "links stay");
        assert!(!replica.house.process.log().contains("replica down"));
    }
    let mut plan = town.plan(peers[..1].to_vec());
    plan.key = "new key";
    town.launch(Port::reserve(), &plan);
    town.ready().await;
    let mut plan = town.plan(peers);
    plan.key = "key";
    town.launch(Port::reserve(), &plan);
    town.replicas[3].house.ready().await;
    assert!(whole(&town.replicas[3].members().await, 1), "the old key is worth nothing now");
}
