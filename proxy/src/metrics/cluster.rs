//! What replicas that share pins have to tell: claims, conflicts, members, and the traffic between them.

use std::{sync::Arc, time::Duration};

use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Registry};
use router_core::cluster::{ClaimOutcome, ClusterEvent, Lane, ReplicaState};

use super::register::{counter, counters, gauges, histograms};
use crate::{
    cluster::Member,
    mesh::{Counters as Mesh, Direction, Outcome, Side},
};

/// 100 µs, a local claim, to a second, far beyond `cluster.claim_timeout`.
const CLAIM_BUCKETS: [f64; 11] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.15, 1.0];

/// `roompin_claim*`, `roompin_members`, `roompin_mesh_*` and the like.
pub(crate) struct ClusterMetrics {
    claims: HistogramVec,
    unconfirmed: IntCounter,
    conflicts: IntCounter,
    settled: IntCounter,
    differences: IntCounter,
    /// Tunnels closed because their room is elsewhere.
    pub(crate) healed_tunnels: IntCounter,
    /// Messages that could not be read.
    pub(crate) undecodable: IntCounter,
    members: IntGaugeVec,
    mesh_bytes: IntCounterVec,
    mesh_dropped: IntCounterVec,
    mesh_handshakes: IntCounterVec,
}

impl ClusterMetrics {
    pub(super) fn new(to: &Registry) -> Self {
        Self {
            claims: histograms(
                to,
                "roompin_claim_seconds",
                "Time that a request for an unknown room waited, by who answered: own (this replica owns the room), \
                 owner, successor (the owner was silent), fallback (everybody was; this replica decided), refused.",
                &["outcome"],
                &CLAIM_BUCKETS,
            ),
            unconfirmed: counter(
                to,
                "roompin_claims_unconfirmed_total",
                "Decisions taken although the second in rank did not confirm them in time.",
            ),
            conflicts: counter(
                to,
                "roompin_conflicts_total",
                "Rooms found pinned to two shards. Beyond partitions this should stay at 0.",
            ),
            settled: counter(to, "roompin_conflicts_settled_total", "Conflicts that were decided."),
            differences: counter(
                to,
                "roompin_repair_differences_total",
                "Groups of the table (of 256) in which a repair found two replicas different.",
            ),
            healed_tunnels: counter(
                to,
                "roompin_heal_tunnels_closed_total",
                "Tunnels closed because their room is on another shard now; their users were reloaded.",
            ),
            undecodable: counter(
                to,
                "roompin_mesh_undecodable_total",
                "Messages of other replicas that could not be read: a release too old or too new, or a fault.",
            ),
            members: gauges(to, "roompin_members", "Live replicas as this one sees them, itself included.", &["state"]),
            mesh_bytes: counters(
                to,
                "roompin_mesh_bytes_total",
                "Bytes of messages between replicas, before encryption.",
                &["lane", "direction"],
            ),
            mesh_dropped: counters(
                to,
                "roompin_mesh_dropped_total",
                "Messages dropped because a replica takes them too slowly; repair makes up for them.",
                &["lane"],
            ),
            mesh_handshakes: counters(
                to,
                "roompin_mesh_handshakes_total",
                "Attempts to make a link between replicas, by how they ended.",
                &["side", "outcome"],
            ),
        }
    }

    /// Counts an event of the cluster.
    pub(crate) fn count(&self, event: &ClusterEvent) {
        match event {
            ClusterEvent::Claimed { outcome, waited } => self.claimed(*outcome, *waited),
            ClusterEvent::Unconfirmed => self.unconfirmed.inc(),
            ClusterEvent::Conflict { .. } => self.conflicts.inc(),
            ClusterEvent::Settled { .. } => self.settled.inc(),
            ClusterEvent::Different { groups, .. } => self.differences.inc_by(u64::from(*groups)),
            ClusterEvent::Decided(_)
            | ClusterEvent::MemberUp(_)
            | ClusterEvent::MemberDown(_)
            | ClusterEvent::MemberState(..) => {}
        }
    }

    fn claimed(&self, outcome: ClaimOutcome, waited: Duration) {
        let outcome = match outcome {
            ClaimOutcome::Own => "own",
            ClaimOutcome::Owner => "owner",
            ClaimOutcome::Successor => "successor",
            ClaimOutcome::Fallback => "fallback",
            ClaimOutcome::Refused => "refused",
        };
        self.claims.with_label_values(&[outcome]).observe(waited.as_secs_f64());
    }

    /// Shows members and traffic as they are now.
    pub(crate) fn show(&self, members: &[Member], mesh: &Arc<Mesh>) {
        for state in [ReplicaState::Joining, ReplicaState::Ready, ReplicaState::Draining] {
            let count = members.iter().filter(|member| member.state == state).count();
            self.members.with_label_values(&[state.as_str()]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        for (lane, lane_name) in [(Lane::Urgent, "urgent"), (Lane::Bulk, "bulk")] {
            for (direction, name) in [(Direction::In, "in"), (Direction::Out, "out")] {
                raise(&self.mesh_bytes.with_label_values(&[lane_name, name]), mesh.bytes(lane, direction));
            }
            raise(&self.mesh_dropped.with_label_values(&[lane_name]), mesh.dropped(lane));
        }
        for (side, side_name) in [(Side::Accepted, "accepted"), (Side::Dialled, "dialled")] {
            for outcome in Outcome::ALL {
                let counter = self.mesh_handshakes.with_label_values(&[side_name, outcome.as_str()]);
                raise(&counter, mesh.handshakes(side, outcome));
            }
        }
    }
}

/// Brings a counter up to what was counted elsewhere.
fn raise(counter: &IntCounter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}
