//! Several replicas with one key, in front of the same shards.

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt, path::PathBuf};

use loadtest::stub::StubShard;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    house::{House, fixed, stub, until},
    support::Port,
};

/// Probes that do not take a stub for dead because its thread waits for a busy processor: rooms would move, rightly. Who
/// hangs up is known to be dead all the same, after some seconds.
const CALM_PROBES: &str = "probes: {tcp: {interval: 1s, timeout: 1s, rise: 1, fall: 3}}\n";

/// What a test starts, in one place.
pub(crate) struct Town {
    pub(crate) shards: Vec<StubShard>,
    pub(crate) replicas: Vec<Replica>,
    keys: TempDir,
}

/// One replica.
pub(crate) struct Replica {
    pub(crate) house: House,
    /// Where others dial it.
    pub(crate) mesh: SocketAddr,
    pub(crate) _port: Option<Port>,
}

/// What one replica's configuration says beside its addresses.
pub(crate) struct Plan {
    /// The `shards:` section.
    pub(crate) shards: String,
    /// Whom it dials.
    pub(crate) peers: Vec<SocketAddr>,
    /// What others dial, if that is not its mesh port.
    pub(crate) advertise: Option<SocketAddr>,
    /// The name of its key.
    pub(crate) key: &'static str,
    /// More of the `cluster:` section, with a comma behind it.
    pub(crate) cluster: &'static str,
    /// More sections.
    pub(crate) more: &'static str,
}

impl Town {
    /// Shards, and no replica yet.
    pub(crate) async fn new(shards: usize) -> Self {
        let mut stubs = Vec::new();
        for n in 0..shards {
            stubs.push(stub(&format!("s{n}")).await);
        }
        Self::with(stubs)
    }

    /// These shards, and no replica yet.
    pub(crate) fn with(shards: Vec<StubShard>) -> Self {
        let keys = tempfile::tempdir().expect("make a folder for keys");
        Self { shards, replicas: Vec::new(), keys }
    }

    /// Shards, and replicas that all dial each other, ready.
    pub(crate) async fn of(shards: usize, replicas: usize) -> Self {
        Self::with_more(shards, replicas, "", "").await
    }

    /// As [`Town::of`], with more in the `cluster:` section of all configurations, and with more sections.
    pub(crate) async fn with_more(shards: usize, replicas: usize, cluster: &'static str, more: &'static str) -> Self {
        let mut town = Self::new(shards).await;
        let ports: Vec<_> = (0..replicas).map(|_| Port::reserve()).collect();
        let peers: Vec<_> = ports.iter().map(Port::address).collect();
        for port in ports {
            let mut plan = town.plan(peers.clone());
            (plan.cluster, plan.more) = (cluster, more);
            town.launch(port, &plan);
        }
        town.ready().await;
        town
    }

    /// The usual plan.
    pub(crate) fn plan(&self, peers: Vec<SocketAddr>) -> Plan {
        let shards = fixed(&self.shards.iter().collect::<Vec<_>>());
        Plan { shards, peers, advertise: None, key: "key", cluster: "", more: "" }
    }

    /// The file of a key, made when it is first asked for.
    pub(crate) fn key(&self, name: &str) -> PathBuf {
        let path = self.keys.path().join(name);
        if !path.exists() {
            fs::write(&path, format!("{:032x}{:032x}\n", rand::random::<u128>(), rand::random::<u128>())).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        path
    }

    /// The configuration without its addresses.
    pub(crate) fn body(&self, mesh: SocketAddr, plan: &Plan) -> String {
        let peers: Vec<_> = plan.peers.iter().map(|peer| format!("\"{peer}\"")).collect();
        let advertise = plan.advertise.map_or_else(String::new, |address| format!(", advertise: \"{address}\""));
        format!(
            "{}{CALM_PROBES}threads: 1\n\
             cluster: {{{}listen: \"{mesh}\", peers: [{}], key_file: \"{}\"{advertise}}}\n\
             shutdown: {{drain_delay: 100ms, drain_window: 300ms}}\n\
             log: {{level: info, access: off}}\n\
             {}",
            plan.shards,
            plan.cluster,
            peers.join(", "),
            self.key(plan.key).display(),
            plan.more,
        )
    }

    /// Starts another replica, and waits for nothing.
    pub(crate) fn launch(&mut self, mesh: Port, plan: &Plan) {
        let house = House::launch(&self.body(mesh.address(), plan));
        self.replicas.push(Replica { house, mesh: mesh.address(), _port: Some(mesh) });
    }

    /// Waits until every replica is ready and sees all others so.
    pub(crate) async fn ready(&mut self) {
        for replica in &mut self.replicas {
            replica.house.ready().await;
        }
        let count = self.replicas.len();
        for replica in &self.replicas {
            replica.until_members(&format!("{count} ready and linked"), |members| whole(members, count)).await;
        }
    }

    /// The replica's way in.
    pub(crate) fn house(&self, replica: usize) -> &House {
        &self.replicas[replica].house
    }

    /// The sum of a metric over all replicas.
    pub(crate) async fn sum(&self, family: &str, label: &str) -> f64 {
        let mut sum = 0.0;
        for replica in &self.replicas {
            sum += replica.house.metrics().await.sum(family, label);
        }
        sum
    }
}

impl Replica {
    /// Its live replicas.
    pub(crate) async fn members(&self) -> Vec<Value> {
        self.house.json("/v1/members").await["members"].as_array().expect("a list").clone()
    }

    /// Waits until its members are as they should be.
    pub(crate) async fn until_members(&self, what: &str, done: impl Fn(&[Value]) -> bool) {
        until(&format!("{} sees {what}", self.mesh), async || done(&self.members().await)).await;
    }
}

/// So many members, all ready and linked.
pub(crate) fn whole(members: &[Value], count: usize) -> bool {
    let fine = |member: &Value| member["state"] == "ready" && (member["own"] == true || !member["link"].is_null());
    members.len() == count && members.iter().all(fine)
}
