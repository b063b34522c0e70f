//! What every connection needs at hand: the router, and the settings that SIGHUP may exchange.

use std::{sync::Arc, time::Instant};

use arc_swap::ArcSwap;
use ipnet::IpNet;
use router_core::{
    placement,
    room::{KeyHasher, RoomKey, RoomName, Target},
    router::{self, Decision, Outcome, Route, Router},
    shard::{ShardId, ShardName},
    shard_set::{Shard, ShardSet},
};

use crate::{
    admin::Tunnels as _,
    clock::Clock,
    cluster::ClusterHandle,
    config::{AccessLog, Config, Front, Tunnels as TunnelSettings, Upstream},
    front::refusal::Refusal,
    metrics::{Metrics, ShardMetrics},
    tunnel::registry::Tunnels,
};

/// Shared by all connections of the process.
pub(crate) struct Edge {
    pub(crate) router: Arc<Router>,
    pub(crate) hasher: KeyHasher,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tunnels: Arc<Tunnels>,
    /// The other replicas, if there may be any.
    pub(crate) cluster: Option<ClusterHandle>,
    pub(crate) settings: ArcSwap<Settings>,
}

/// The part of the configuration that connections look at; exchanged as a whole on reload.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) front: Front,
    pub(crate) room_parameter: String,
    pub(crate) tunnels: TunnelSettings,
    pub(crate) upstream: Upstream,
    pub(crate) access: AccessLog,
}

impl Settings {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            front: config.front.clone(),
            room_parameter: config.rooms.parameter.clone(),
            tunnels: config.tunnels.clone(),
            upstream: config.upstream.clone(),
            access: config.log.access,
        }
    }

    pub(crate) fn trusted(&self) -> &[IpNet] {
        &self.front.trusted_proxies
    }
}

/// How the pin took part in a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PinUse {
    /// The room was pinned.
    Found,
    /// It is now.
    Made,
    /// It was pinned to a shard that is down or gone.
    Moved,
    /// A page load: looked up, not pinned.
    Looked,
    /// No room.
    Roomless,
}

impl PinUse {
    fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Found => Self::Found,
            Outcome::Made => Self::Made,
            Outcome::Moved { .. } => Self::Moved,
        }
    }

    /// The word in access logs.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Made => "made",
            Self::Moved => "moved",
            Self::Looked => "page",
            Self::Roomless => "none",
        }
    }
}

/// A request with the shard that it goes to.
#[derive(Clone, Debug)]
pub(crate) struct Routed {
    pub(crate) room: Option<(RoomKey, RoomName)>,
    pub(crate) shard: ShardId,
    pub(crate) pin: PinUse,
    shards: Arc<ShardSet>,
}

impl Routed {
    /// The shard as it was when the decision fell.
    pub(crate) fn shard(&self) -> Option<&Shard> {
        self.shards.get(self.shard)
    }

    pub(crate) fn key(&self) -> Option<RoomKey> {
        self.room.as_ref().map(|(key, _)| *key)
    }
}

impl Edge {
    /// Decides where a request goes; for a known room that is one look into the table.
    ///
    /// # Errors
    /// When no shard may take it now.
    pub(crate) async fn route(&self, target: Target) -> Result<Routed, Refusal> {
        let started = Instant::now();
        let routed = self.decide(target).await;
        self.metrics.decision_seconds.observe(started.elapsed().as_secs_f64());
        routed
    }

    async fn decide(&self, target: Target) -> Result<Routed, Refusal> {
        let now = self.clock.now();
        let shards = self.router.shards();
        let (room, shard, pin) = match target {
            Target::Room(name) => {
                let key = self.hasher.key(&name);
                let (shard, pin) = self.pinned(key).await?;
                (Some((key, name)), shard, pin)
            }
            Target::Page(name) => {
                let key = self.hasher.key(&name);
                let shard = self.router.preview(key, now).ok_or(Refusal::NoShard)?;
                (Some((key, name)), shard, PinUse::Looked)
            }
            Target::Roomless => {
                let shard = self.router.any(rand::random()).ok_or(Refusal::NoShard)?;
                (None, shard, PinUse::Roomless)
            }
        };
        Ok(Routed { room, shard, pin, shards })
    }

    /// The shard of a room, pinned now if it was not.
    async fn pinned(&self, key: RoomKey) -> Result<(ShardId, PinUse), Refusal> {
        let now = self.clock.now();
        match self.router.route(key, now) {
            Route::Pinned(shard) => {
                self.metrics.pins_found.inc();
                return Ok((shard, PinUse::Found));
            }
            Route::Awaited(_) => return Err(Refusal::Awaited),
            Route::Unknown | Route::Lost(_) => {}
        }
        if let Some(cluster) = &self.cluster {
            // Counted where it was decided.
            let decision = cluster.want(key).await.inspect_err(|refusal| self.refused(*refusal))?;
            return Ok((decision.shard, PinUse::of(decision.outcome)));
        }
        let decision = self.router.decide(key, now, &[]).inspect_err(|refusal| self.refused(*refusal))?;
        Ok((decision.shard, self.account(key, decision)))
    }

    fn refused(&self, refusal: router::Refusal) {
        if refusal == router::Refusal::TableFull {
            self.metrics.table_refusals.inc();
        }
    }

    /// Counts a decision, and closes the tunnels that it leaves behind on another shard.
    fn account(&self, key: RoomKey, decision: Decision) -> PinUse {
        let Decision { shard, outcome } = decision;
        self.metrics.decided(decision);
        match outcome {
            Outcome::Found => self.metrics.pins_found.inc(),
            Outcome::Made => {}
            Outcome::Moved { from } => {
                let closed = self.tunnels.close_room(key, Some(shard));
                let shards = self.router.shards();
                let name = |id| shards.name(id).map_or("?", ShardName::as_str);
                tracing::info!(room = %key, from = name(from), to = name(shard), tunnels_closed = closed, "room moved");
            }
        }
        PinUse::of(outcome)
    }

    /// Where else a request may go after no shard in `tried` accepted a connection.
    ///
    /// A request that is bound by a pin has nowhere else to go, unless it made that pin and nobody has followed yet.
    pub(crate) fn another(&self, routed: &Routed, tried: &[ShardId]) -> Option<Routed> {
        let shards = self.router.shards();
        let (shard, pin) = match (routed.pin, routed.key()) {
            (PinUse::Found, _) => return None,
            // Other replicas know of the pin by now, and may have sent people there.
            (PinUse::Made | PinUse::Moved, _) if self.cluster.is_some() => return None,
            (PinUse::Made | PinUse::Moved, Some(key)) => {
                let decision = self.router.decide_again(key, self.clock.now(), tried).ok()?;
                (decision.shard, self.account(key, decision))
            }
            (_, key) => {
                let key = key.unwrap_or_else(|| RoomKey(rand::random()));
                (placement::order(key, &shards).find(|shard| !tried.contains(shard))?, routed.pin)
            }
        };
        Some(Routed { shard, pin, shards, room: routed.room.clone() })
    }

    /// The counters of a routed request's shard.
    pub(crate) fn counters(&self, routed: &Routed) -> Arc<ShardMetrics> {
        self.metrics.shard(routed.shard)
    }
}
