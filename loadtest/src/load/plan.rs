//! What a run is to do. Plain data, checked by [`super`] before anything is opened.

use std::{net::SocketAddr, time::Duration};

use crate::result::{Mode, Transport};

/// Round trips through tunnels: [`super::tunnels()`].
#[derive(Clone, Debug, PartialEq)]
pub struct TunnelPlan {
    /// Address under load.
    pub target: SocketAddr,
    /// Tunnels to open.
    pub tunnels: usize,
    /// Rooms that they are for, in turn.
    pub rooms: usize,
    /// Payload of a message, 1 byte to 64 KiB.
    pub message_bytes: usize,
    /// How load is offered; a tunnel carries one message at a time.
    pub mode: Mode,
    /// Time under load before measuring.
    pub warm_up: Duration,
    /// Time to measure.
    pub duration: Duration,
    /// Ends the measuring when this many messages are back.
    pub max_round_trips: u64,
    /// Handshakes under way at once while opening.
    pub opening: usize,
    /// Names the rooms and fills the messages.
    pub seed: u64,
}

impl TunnelPlan {
    /// 64 tunnels, as many messages of 64 bytes under way, 1 s to warm up and 5 s to measure.
    #[must_use]
    pub fn new(target: SocketAddr) -> Self {
        Self {
            target,
            tunnels: 64,
            rooms: 64,
            message_bytes: 64,
            mode: Mode::ClosedLoop { in_flight: 64 },
            warm_up: Duration::from_secs(1),
            duration: Duration::from_secs(5),
            max_round_trips: u64::MAX,
            opening: 64,
            seed: 1,
        }
    }
}

/// Sticky requests over kept-alive connections: [`super::requests()`].
#[derive(Clone, Debug, PartialEq)]
pub struct RequestPlan {
    /// Address under load.
    pub target: SocketAddr,
    /// Connections to open.
    pub connections: usize,
    /// Rooms that requests are for. Each is asked for once before measuring, so that no first requests race; unless the
    /// plan is for new rooms.
    pub rooms: usize,
    /// Each request is for a room that nobody has asked for before. The run ends with the last of the rooms.
    pub new_rooms: bool,
    /// Path of the requests; `?room=` is appended.
    pub path: String,
    /// How load is offered; a connection carries one request at a time.
    pub mode: Mode,
    /// Time under load before measuring.
    pub warm_up: Duration,
    /// Time to measure.
    pub duration: Duration,
    /// Ends the measuring when this many requests are answered.
    pub max_requests: u64,
    /// Names the rooms and draws which comes next.
    pub seed: u64,
}

impl RequestPlan {
    /// 64 connections, 1,000 rooms, as many requests under way as connections, 1 s to warm up and 5 s to measure.
    #[must_use]
    pub fn new(target: SocketAddr) -> Self {
        Self {
            target,
            connections: 64,
            rooms: 1_000,
            new_rooms: false,
            path: "/_unlock".to_owned(),
            mode: Mode::ClosedLoop { in_flight: 64 },
            warm_up: Duration::from_secs(1),
            duration: Duration::from_secs(5),
            max_requests: u64::MAX,
            seed: 1,
        }
    }
}

/// The memory of idle tunnels: [`super::idle()`].
#[derive(Clone, Debug, PartialEq)]
pub struct IdlePlan {
    /// Address that the tunnels go through.
    pub target: SocketAddr,
    /// Process whose memory is read.
    pub pid: u32,
    /// Tunnels to open between the two readings.
    pub tunnels: usize,
    /// Rooms that they are for, in turn.
    pub rooms: usize,
    /// Tunnels opened before the first reading, so that what a process sets up once does not count.
    pub warm: usize,
    /// Wait before each reading.
    pub settle: Duration,
    /// Handshakes under way at once.
    pub opening: usize,
    /// Names the rooms.
    pub seed: u64,
}

impl IdlePlan {
    /// 4,000 tunnels after 64 warm ones, 1 s to settle.
    #[must_use]
    pub fn new(target: SocketAddr, pid: u32) -> Self {
        Self {
            target,
            pid,
            tunnels: 4_000,
            rooms: 1_000,
            warm: 64,
            settle: Duration::from_secs(1),
            opening: 64,
            seed: 1,
        }
    }
}

/// Which replica a participant comes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// One after the other, so that the participants of a room come through different ones.
    RoundRobin,
    /// Different ones too, but the first is drawn for each room. In strict turns, replicas that count round robin keep in
    /// step: all rooms are split or none, which says nothing about chance.
    Shuffled,
    /// Drawn for each.
    Random,
}

/// The request of [`Transport::Plain`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET /http-bind?room=`
    Get,
    /// `POST /http-bind?room=`
    Post,
}

/// When the participants of a room join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Each at a drawn time within this window; zero is all at once, written back to back on open connections.
    Window(Duration),
    /// Each this long after the one before, exactly.
    Gap(Duration),
}

/// Conferences that people join: [`super::conferences()`].
#[derive(Clone, Debug, PartialEq)]
pub struct ConferencePlan {
    /// Replicas.
    pub targets: Vec<SocketAddr>,
    /// Which of them a participant comes through.
    pub choice: Choice,
    /// Conferences to hold.
    pub rooms: usize,
    /// Participants of each.
    pub participants: usize,
    /// When they join.
    pub arrival: Arrival,
    /// Time within which a conference begins, drawn for each, once there is space for it. Without, conferences that end
    /// together begin together, and a proxy that counts round robin sees them in step.
    pub stagger: Duration,
    /// How they come.
    pub transport: Transport,
    /// The request of [`Transport::Plain`].
    pub method: Method,
    /// How long a room stays together after its last participant was to join; zero ends it when all are in.
    pub stay: Duration,
    /// While staying, how often a participant sends something.
    pub poll: Duration,
    /// How often each participant leaves and comes back while staying, at drawn times.
    pub rejoins: u32,
    /// Conferences held at once.
    pub at_once: usize,
    /// Most sockets open at once; a conference waits until there are enough for it.
    pub max_sockets: usize,
    /// Ends the run, whatever is left to do.
    pub deadline: Duration,
    /// Prefix of the rooms' names, so that two runs do not meet in one room; the seed is added to it.
    pub prefix: String,
    /// Draws arrivals, replicas, names.
    pub seed: u64,
}

impl ConferencePlan {
    /// 1,000 rooms of two who come at once, by plain `GET`s through the replicas in turn, and leave when both are in.
    #[must_use]
    pub fn new(targets: Vec<SocketAddr>) -> Self {
        Self {
            targets,
            choice: Choice::RoundRobin,
            rooms: 1_000,
            participants: 2,
            arrival: Arrival::Window(Duration::ZERO),
            stagger: Duration::ZERO,
            transport: Transport::Plain,
            method: Method::Get,
            stay: Duration::ZERO,
            poll: Duration::from_secs(1),
            rejoins: 0,
            at_once: 16,
            max_sockets: 1_024,
            deadline: Duration::from_secs(600),
            prefix: "conf".to_owned(),
            seed: 1,
        }
    }
}
