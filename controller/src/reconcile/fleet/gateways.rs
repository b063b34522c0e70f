//! Gateways to telephones: the same as bridges, but for a drain that could be taken back.
//!
//! jigasi knows one word: end. jicofo passes over one that has heard it, and it ends with its last call. So what is a drain
//! for bridges is the end for gateways, and the whole time that one may wait for its calls is the time it may take to end.

use std::time::Duration;

use super::{
    Tend,
    group::{Group, retired},
};
use crate::{
    api::{GroupKind, MoveEndpoints},
    build::{self, Component},
    plan::{bridges::Rules, group::GroupModel},
};

/// How long one may wait for its calls when nothing is said of gateways any more.
const GRACEFUL: Duration = Duration::from_secs(4 * 3600);

/// The group of gateways, where there are any.
pub(super) fn group<'a>(tend: &Tend<'a>) -> Option<Group<'a>> {
    let Some(gateways) = &tend.model.gateways else { return left_over(tend) };
    let numbers = gateways.group.clone();
    Some(Group {
        kind: GroupKind::Jigasi,
        users: &gateways.pod.annotations,
        revision: build::gateway_revision(tend.model, gateways),
        serves: Vec::new(),
        rules: Rules {
            prefix: build::name(&tend.model.name, Component::Jigasi),
            desired: numbers.options.min,
            max: numbers.options.max,
            launch: numbers.launch,
            drain_deadline: gateways.graceful,
            stop_deadline: gateways.graceful,
            move_endpoints: MoveEndpoints::Never,
            ports: None,
            protect_until: super::protect_until(&numbers, tend.now),
        },
        numbers,
    })
}

/// What is left of gateways that are switched off: they end as all others do.
fn left_over<'a>(tend: &Tend<'a>) -> Option<Group<'a>> {
    tend.pods_of(GroupKind::Jigasi).next()?;
    let numbers = GroupModel { kind: GroupKind::Jigasi, ..retired(&tend.model.bridges.group) };
    Some(Group {
        kind: GroupKind::Jigasi,
        users: &tend.model.bridges.pod.annotations,
        revision: String::new(),
        serves: Vec::new(),
        rules: Rules {
            prefix: build::name(&tend.model.name, Component::Jigasi),
            desired: 0,
            max: 0,
            launch: true,
            drain_deadline: GRACEFUL,
            stop_deadline: GRACEFUL,
            move_endpoints: MoveEndpoints::Never,
            ports: None,
            protect_until: None,
        },
        numbers,
    })
}
