//! SIGHUP: the file is read again; a good one takes effect where it can, a bad one changes nothing.

use std::{path::PathBuf, sync::Arc};

use super::{registry_settings, shards::ShardDesk};
use crate::{
    admin::AdminState,
    config::{Config, secret},
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
    pub(super) admin: AdminState,
    pub(super) desk: ShardDesk,
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
        // The file was checked a moment ago and may have gone since.
        let token = match loaded.config.admin.token_file.as_deref().map(secret::read_token).transpose() {
            Ok(token) => token,
            Err(error) => {
                self.edge.metrics.config_reloaded(false);
                tracing::error!("the old configuration stays in force: admin.token_file {error}");
                return;
            }
        };
        self.admin.set_token(token.as_deref());
        self.take(loaded.config).await;
        self.edge.metrics.config_reloaded(true);
        tracing::info!("configuration reloaded");
    }

    async fn take(&mut self, new: Config) {
        if let Err(error) = self.log.set(&new.log) {
            tracing::error!("log: {error}");
        }
        self.edge.settings.store(Arc::new(Settings::of(&new)));
        self.edge.router.set_limits(new.rooms.ttl, new.rooms.max_pins);
        self.prober.replace(&new.probes);
        // Behind the prober: what a probe that is off now reports late is not heard.
        self.desk.publish(&self.edge.router.set_registry(registry_settings(&new.probes)));
        self.discovery.replace(&new.shards).await;
        self.config = new;
    }
}
