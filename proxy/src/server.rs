//! The process: everything built from the configuration, started in order, and stopped in order.

mod files;
mod reload;
mod shards;
mod shutdown;
mod upkeep;

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context;
use arc_swap::ArcSwap;
use pingora::{proxy::http_proxy, server::configuration::ServerConf};
use router_core::{
    cluster::{Node, ReplicaId},
    pin::DeciderId,
    registry::RegistrySettings,
    room::KeyHasher,
    router::{Router, RouterSettings},
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};

pub(crate) use self::shards::ShardDesk;
use self::{reload::Reloader, shutdown::Signals};
use crate::{
    admin::{self, AdminParts, AdminState, Readiness},
    cli::Start,
    clock::Clock,
    cluster::{self, ClusterParts},
    config::{self, Advertise, Config, ProbeTiming, Probes, secret},
    discovery::{self, Discovery},
    edge::{Edge, Settings},
    front::{FrontDoor, limits::Connections, listen},
    http::Gate,
    log::{self, LogHandle},
    mesh::{Mesh, MeshConfig},
    metrics::Metrics,
    probe::Prober,
    snapshot::{self, SnapshotWriter},
    tunnel::registry::Tunnels,
};

/// `EX_UNAVAILABLE` of sysexits.h: something that the configuration names is not to be had, such as a port.
const EXIT_UNAVAILABLE: u8 = 69;

/// Shard inputs that may wait; probes and discovery slow down rather than pile up.
const INPUTS: usize = 1024;

/// Longest that connections wait for discovery's first answers after a start. Without them every room would get 503.
const FIRST_ANSWERS: Duration = Duration::from_secs(5);

/// Above all values of `upstream.connect_attempts`.
const MOST_ATTEMPTS: usize = 32;

/// How long restored pins wait for their shard to be discovered.
const RESTORED_HOLD: Duration = Duration::from_secs(30);

/// `roompin-proxy run`.
#[must_use]
pub fn run(start: Start) -> ExitCode {
    let result = log::start(&start.config.log).and_then(|log| {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        if start.config.threads > 0 {
            runtime.worker_threads(start.config.threads);
        }
        let runtime = runtime.enable_all().thread_name("roompin").build().context("starting threads")?;
        let result = runtime.block_on(serve(start, log));
        // What is still in flight had its time.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::from(EXIT_UNAVAILABLE)
        }
    }
}

async fn serve(start: Start, log: LogHandle) -> anyhow::Result<()> {
    let Start { path, config, advertise } = start;
    let mut signals = Signals::listen()?;
    files::raise_limit(config.front.max_connections);
    let clock = Clock::system();
    let metrics = Arc::new(Metrics::new());
    metrics.watch_runtime("main", tokio::runtime::Handle::current());
    let hasher = room_hasher(&config)?;
    let replica = ReplicaId(rand::random());
    let router = Arc::new(Router::new(RouterSettings {
        ttl: config.rooms.ttl,
        max_pins: config.rooms.max_pins,
        decider: DeciderId(replica.0),
        registry: registry_settings(&config.probes),
        restored_hold: RESTORED_HOLD,
    }));
    // Ports first: when one is taken, the process that has it may be using the same snapshot.
    let admin_port = TcpListener::bind(config.admin.address).await;
    let admin_port = admin_port.with_context(|| format!("binding the admin port {}", config.admin.address))?;
    let bind = |address| listen::bind(address).with_context(|| format!("binding {address}"));
    let ports = config.listen.iter().copied().map(bind).collect::<Result<Vec<_>, _>>()?;
    let mesh = match &config.cluster {
        Some(cluster) => Some((bind_mesh(cluster, advertise, hasher.fingerprint()).await?, cluster.claim_timeout)),
        None => None,
    };

    let snapshot = match &config.snapshot {
        Some(place) => {
            let fingerprint = hasher.fingerprint();
            snapshot::restore(&place.path, &router, fingerprint, config.rooms.max_pins, clock, &metrics);
            let (path, router, metrics) = (place.path.clone(), Arc::clone(&router), Arc::clone(&metrics));
            let writer = SnapshotWriter::new(path, fingerprint, router, clock, metrics);
            tokio::spawn(Arc::clone(&writer).run(place.interval));
            Some(writer)
        }
        None => None,
    };

    let sources = discovery::source_names(&config.shards).map(|name| name.as_ref().into());
    let readiness = Readiness::new(sources.chain(["a first shard".into()]));
    let desk = ShardDesk::new(Arc::clone(&router), Arc::clone(&metrics));
    let tunnels = Arc::new(Tunnels::default());
    let (cluster, mesh) = match mesh {
        Some((mesh, claim_timeout)) => {
            let address = mesh.advertised().await.context("cluster.advertise")?;
            let me = Node { id: replica, address, started: clock.now() };
            let parts = ClusterParts {
                router: Arc::clone(&router),
                clock,
                metrics: Arc::clone(&metrics),
                tunnels: Arc::clone(&tunnels),
                desk: desk.clone(),
                readiness: readiness.clone(),
                claim_timeout,
            };
            let (cluster, mesh) = cluster::start(mesh, me, parts);
            (Some(cluster), Some(mesh))
        }
        None => (None, None),
    };
    let edge = Arc::new(Edge {
        router: Arc::clone(&router),
        hasher: hasher.clone(),
        clock,
        metrics: Arc::clone(&metrics),
        tunnels,
        cluster: cluster.clone(),
        settings: ArcSwap::from_pointee(Settings::of(&config)),
    });
    let (inputs, inbox) = mpsc::channel(INPUTS);
    tokio::spawn(desk.clone().run(inbox, clock));
    let mut known = desk.watch();
    let discovery =
        Discovery::spawn(&config.shards, inputs.clone(), shards::discovery_events(&metrics, &readiness, clock));
    let prober = Prober::spawn(&config.probes, desk.watch(), inputs, shards::probe_events(&router, &metrics));
    tokio::spawn(upkeep::run(Arc::clone(&edge)));

    let (admin_done, admin_ends) = watch::channel(false);
    let admin = AdminParts {
        router,
        metrics: Arc::clone(&metrics),
        hasher,
        clock,
        token: config.admin.token_file.as_deref().map(secret::read_token).transpose().context("admin.token_file")?,
        readiness: readiness.clone(),
        tunnels: Arc::clone(&edge.tunnels) as _,
        cluster: cluster.clone(),
        on_shard_events: {
            let desk = desk.clone();
            Arc::new(move |events| desk.publish(events))
        },
    };
    let admin_state = AdminState::from(admin);
    let admin = tokio::spawn(admin::serve(admin_port, admin_state.clone(), turned(admin_ends)));

    let first_answers = async {
        discovery.settled().await;
        // An error means that the desk is gone, which nothing here can mend.
        let _ = known.wait_for(|shards| shards.iter().next().is_some()).await;
    };
    tokio::select! {
        answered = tokio::time::timeout(FIRST_ANSWERS, first_answers) => if answered.is_err() {
            let missing = readiness.check().err().unwrap_or_default();
            tracing::warn!("shard sources have not answered yet ({missing}); serving with the shards known so far");
        },
        () = signals.told_to_leave() => {
            tracing::info!("told to leave before serving");
            if let Some(cluster) = cluster {
                cluster.quit().await;
            }
            return Ok(());
        }
    }
    readiness.stop_waiting();
    let connections = Connections::new(metrics.connections_open.clone(), metrics.connections.clone());
    let (close, closed) = watch::channel(false);
    let (leave, leaving) = watch::channel(false);
    let pingora = Arc::new(pingora_conf(&config));
    let door = FrontDoor { proxy: Arc::new(http_proxy(&pingora, Gate::new(Arc::clone(&edge)))), edge, leaving };
    // Port 0 has become a real one.
    let listen = ports.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
    for port in ports {
        tokio::spawn(listen::accept(port, door.clone(), connections.clone(), closed.clone()));
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), ?listen, admin = %config.admin.address, "serving");

    let edge = Arc::clone(&door.edge);
    let mut reloader = Reloader { path, config, log, edge, admin: admin_state, desk, discovery, prober, mesh };
    let urgent = signals.serve_until_told(&mut reloader).await;
    readiness.draining();
    if let Some(cluster) = &cluster {
        cluster.leave().await;
    }
    let leaving = shutdown::Leaving { edge: Arc::clone(&door.edge), connections, close, leave };
    leaving.drain(&reloader.config.shutdown, urgent, &mut signals).await;
    if let Some(cluster) = cluster {
        // The last word: until now this replica could be asked, and its tunnels counted.
        cluster.quit().await;
    }
    if let Some(writer) = snapshot {
        // It counts and logs what goes wrong.
        let _ = writer.write_now().await;
    }
    let _ = admin_done.send(true);
    let _ = tokio::time::timeout(Duration::from_secs(1), admin).await;
    tracing::info!("bye");
    Ok(())
}

async fn bind_mesh(cluster: &config::Cluster, advertise: Option<Advertise>, room_key: u64) -> anyhow::Result<Mesh> {
    let config = MeshConfig::new(cluster, advertise, room_key);
    let config = config.map_err(|(field, error)| anyhow::anyhow!("{field}: {error}"))?;
    Mesh::bind(config).await.with_context(|| format!("binding the mesh port {}", cluster.listen))
}

/// Resolves when the value turns true or its sender is gone.
async fn turned(mut word: watch::Receiver<bool>) {
    let _ = word.wait_for(|&said| said).await;
}

fn room_hasher(config: &Config) -> anyhow::Result<KeyHasher> {
    Ok(match &config.rooms.key_file {
        Some(file) => KeyHasher::new(&secret::read(file).context("rooms.key_file")?),
        None => KeyHasher::default(),
    })
}

fn registry_settings(probes: &Probes) -> RegistrySettings {
    let counts = |timing: &ProbeTiming| (timing.rise, timing.fall);
    RegistrySettings {
        tcp: probes.tcp.as_ref().map(counts),
        http: probes.http.as_ref().map(|probe| counts(&probe.timing)),
        agent: probes.agent.as_ref().map(counts),
    }
}

/// Pingora as a library: it neither listens nor handles signals here.
fn pingora_conf(config: &Config) -> ServerConf {
    ServerConf {
        // Attempts are counted by the gate, which knows which of them may go elsewhere, and their limit may change.
        max_retries: MOST_ATTEMPTS,
        upstream_keepalive_pool_size: config.upstream.pool_size,
        ..ServerConf::default()
    }
}
