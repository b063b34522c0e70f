//! The proxy under test: `roompin-proxy run --config FILE`.

use std::{fs, net::SocketAddr, process::Command};

use super::{Port, Process, http_status};

/// A running `roompin-proxy` with ports of its own.
pub(crate) struct RoompinProxy {
    /// The process: log, signals, restart.
    pub(crate) process: Process,
    listen: Port,
    admin: Port,
}

impl RoompinProxy {
    /// Starts it with the configuration that `yaml` writes for a listening and an admin address, and waits for
    /// `/readyz`. Panics with the log if that fails.
    pub(crate) async fn start(yaml: impl FnOnce(SocketAddr, SocketAddr) -> String) -> Self {
        let (listen, admin) = (Port::reserve(), Port::reserve());
        let folder = tempfile::tempdir().expect("make a folder for the proxy");
        fs::write(folder.path().join("roompin.yaml"), yaml(listen.address(), admin.address())).expect("write YAML");
        let process = Process::start("roompin-proxy", folder, |folder| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_roompin-proxy"));
            command.arg("run").arg("--config").arg(folder.join("roompin.yaml"));
            command
        });
        let mut proxy = Self { process, listen, admin };
        proxy.ready().await;
        proxy
    }

    /// Starts it in front of fixed shards, probed every 200 ms, with everything else at its default.
    pub(crate) async fn with_shards(shards: &[(&str, SocketAddr)]) -> Self {
        let shards: Vec<_> =
            shards.iter().map(|(name, address)| format!("{{name: {name}, address: \"{address}\"}}")).collect();
        Self::start(|listen, admin| {
            format!(
                "listen: [\"{listen}\"]\n\
                 shards: {{ static: [ {} ] }}\n\
                 probes: {{ tcp: {{interval: 200ms, timeout: 200ms, rise: 1, fall: 2}} }}\n\
                 admin: {{ address: \"{admin}\" }}\n\
                 log: {{ level: info }}\n",
                shards.join(", ")
            )
        })
        .await
    }

    /// Waits until `/readyz` answers 200; for use after `process.restart()`.
    pub(crate) async fn ready(&mut self) {
        let url = format!("{}/readyz", self.admin());
        self.process.ready(async || http_status(&url).await == Some(200)).await;
    }

    /// Base URL for clients, without a trailing slash.
    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.listen.address())
    }

    /// Base URL of the admin port, without a trailing slash.
    pub(crate) fn admin(&self) -> String {
        format!("http://{}", self.admin.address())
    }
}
