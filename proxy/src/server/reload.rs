//! SIGHUP: the file is read again; a good one takes effect where it can, a bad one changes nothing.

use std::{path::PathBuf, sync::Arc};

use crate::{
    config::Config,
    discovery::DiscoveryHandle,
    edge::{Edge, Settings},
    log::LogHandle,
    probe::ProberHandle,
};

/// The parts of the process that a reload reaches.
pub(super) struct Reloader {
    pub(super) path: PathBuf,
    /// What is in force.
    pub(super) config: Config,
    pub(super) log: LogHandle,
    pub(super) edge: Arc<Edge>,
    pub(super) discovery: DiscoveryHandle,
    pub(super) prober: ProberHandle,
}

impl Reloader {
    /// Reads the file and takes over what may change.
    pub(super) async fn reload(&mut self) {
        let path = self.path.clone();
        let loaded = tokio::task::spawn_blocking(move || Config::load(&path)).await;
        let loaded = match loaded {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(errors)) => {
                self.edge.metrics.config_reloaded(false);
                tracing::error!("the old configuration stays in force:\n{errors}");
                return;
            }
            Err(error) => {
                self.edge.metrics.config_reloaded(false);
                tracing::error!("the old configuration stays in force: {error}");
                return;
            }
        };
        for warning in &loaded.warnings {
            tracing::warn!("{}:{warning}", self.path.display());
        }
        let refused = self.config.reload_refusals(&loaded.config);
        if !refused.is_empty() {
            // All or nothing: half of a file in force is what nobody can reason about at night.
            self.edge.metrics.config_reloaded(false);
            tracing::error!("the old configuration stays in force:\n{}", refused.join("\n"));
            return;
        }
        self.take(loaded.config).await;
        self.edge.metrics.config_reloaded(true);
        tracing::info!("configuration reloaded");
    }

    async fn take(&mut self, new: Config) {
        if let Err(error) = self.log.set_level(&new.log) {
            tracing::error!("log.level: {error}");
        }
        self.edge.settings.store(Arc::new(Settings::of(&new)));
        self.edge.router.set_limits(new.rooms.ttl, new.rooms.max_pins);
        self.prober.replace(&new.probes);
        self.discovery.replace(&new.shards).await;
        self.config = new;
    }
}
