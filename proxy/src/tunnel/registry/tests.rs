use router_core::room::{KeyHasher, Target, classify};

use super::*;
use crate::admin::Tunnels as _;

fn room(name: &str) -> (RoomKey, RoomName) {
    let query = format!("room={name}");
    match classify(b"/xmpp-websocket", Some(query.as_bytes()), "room") {
        Ok(Target::Room(name)) => (KeyHasher::default().key(&name), name),
        other => panic!("not a room: {other:?}"),
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn an_hour_of_silence_is_kept_and_more_is_not() {
    let tunnels = Arc::new(Tunnels::default());
    let (key, name) = room("a");
    let silent = tunnels.register(Some((key, &name)), ShardId(0));
    let roomless = tunnels.register(None, ShardId(0));
    let busy = tunnels.register(Some((key, &name)), ShardId(0));
    tunnels.tick(seconds(3599), HOUR);
    assert_eq!([&silent, &roomless, &busy].map(|one| one.tunnel().order()), [None; 3]);
    busy.touch();
    tunnels.tick(seconds(3602), HOUR);
    let orders = [&silent, &roomless, &busy].map(|one| one.tunnel().order());
    assert_eq!(orders, [Some(Order::Idle), Some(Order::Idle), None]);
    // A byte at 3,599 s counts from there.
    tunnels.tick(seconds(3599 + 3599), HOUR);
    assert_eq!(busy.tunnel().order(), None);
    tunnels.tick(seconds(3599 + 3602), HOUR);
    assert_eq!(busy.tunnel().order(), Some(Order::Idle));
    assert_eq!(Order::Idle.close_code(), 1001);
}

/// The clock of a tunnel starts when it is opened, not when the process is.
#[test]
fn a_late_tunnel_has_its_whole_hour() {
    let tunnels = Arc::new(Tunnels::default());
    tunnels.tick(seconds(100_000), HOUR);
    let late = tunnels.register(None, ShardId(0));
    tunnels.tick(seconds(103_599), HOUR);
    assert_eq!(late.tunnel().order(), None);
    tunnels.tick(seconds(103_602), HOUR);
    assert_eq!(late.tunnel().order(), Some(Order::Idle));
}

#[test]
fn half_a_close_leaves_thirty_seconds_of_silence() {
    let tunnels = Arc::new(Tunnels::default());
    let half = tunnels.register(None, ShardId(0));
    let whole = tunnels.register(None, ShardId(0));
    half.tunnel().set_half_closed();
    tunnels.tick(seconds(29), HOUR);
    assert_eq!(half.tunnel().order(), None);
    // What still comes counts.
    half.touch();
    tunnels.tick(seconds(58), HOUR);
    assert_eq!(half.tunnel().order(), None);
    tunnels.tick(seconds(61), HOUR);
    assert_eq!((half.tunnel().order(), whole.tunnel().order()), (Some(Order::Idle), None));
    // A shorter idle limit holds for it too.
    let half = tunnels.register(None, ShardId(0));
    half.tunnel().set_half_closed();
    tunnels.tick(seconds(65), seconds(2));
    assert_eq!(half.tunnel().order(), Some(Order::Idle));
}

#[test]
fn a_room_is_closed_alone_and_except_where_it_belongs() {
    let tunnels = Arc::new(Tunnels::default());
    let ((a, a_name), (b, b_name)) = (room("a"), room("b"));
    let old = tunnels.register(Some((a, &a_name)), ShardId(0));
    let new = tunnels.register(Some((a, &a_name)), ShardId(1));
    let other = tunnels.register(Some((b, &b_name)), ShardId(0));
    let roomless = tunnels.register(None, ShardId(0));
    assert_eq!((tunnels.open(), tunnels.open_on(ShardId(0)), tunnels.open_on(ShardId(1))), (4, 3, 1));
    assert_eq!(tunnels.name_of(a).as_deref(), Some(a_name.to_string().as_str()));

    assert_eq!(tunnels.close_room(a, Some(ShardId(1))), 1);
    let orders = [&old, &new, &other, &roomless].map(|one| one.tunnel().order());
    assert_eq!(orders, [Some(Order::Moved), None, None, None]);
    assert_eq!(Order::Moved.close_code(), 1012);

    drop((old, new));
    assert_eq!((tunnels.open(), tunnels.close_room(a, None), tunnels.name_of(a)), (2, 0, None));
    drop((other, roomless));
    assert!(tunnels.groups.is_empty(), "groups of gone tunnels are left");
}

/// The first order stands: who was told 1001 is not told 1012 as well.
#[test]
fn the_first_order_stands() {
    let tunnels = Arc::new(Tunnels::default());
    let (key, name) = room("a");
    let one = tunnels.register(Some((key, &name)), ShardId(0));
    tunnels.tick(seconds(10), seconds(1));
    tunnels.close_room(key, None);
    assert_eq!(one.tunnel().order(), Some(Order::Idle));
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_spread_over_its_window() {
    let tunnels = Arc::new(Tunnels::default());
    let all: Vec<_> = (0..100).map(|_| tunnels.register(None, ShardId(0))).collect();
    let told = || all.iter().filter(|one| one.tunnel().order() == Some(Order::Drain)).count();
    let draining = tokio::spawn({
        let tunnels = Arc::clone(&tunnels);
        async move { tunnels.drain(seconds(20)).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(told(), 1);
    tokio::time::sleep(seconds(10)).await;
    assert_eq!(told(), 51);
    draining.await.unwrap();
    assert_eq!(told(), 100);
}

/// An upgrade that was under way when the drain began is not forgotten.
#[tokio::test]
async fn a_tunnel_that_opens_during_a_drain_is_ended_too() {
    let tunnels = Arc::new(Tunnels::default());
    tunnels.drain(Duration::ZERO).await;
    assert_eq!(tunnels.register(None, ShardId(0)).tunnel().order(), Some(Order::Drain));
}
