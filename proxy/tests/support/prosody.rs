//! A real Prosody as the signalling half of a shard.

use std::{fs, net::SocketAddr, process::Command};

use super::{Port, Process, http_status, require};

/// The XMPP domain of every shard, as in a real deployment: shards differ only in name and address.
pub(crate) const DOMAIN: &str = "meet.test";

/// The MUC domain.
pub(crate) const CONFERENCE: &str = "conference.meet.test";

/// What Jitsi's mod_jiconop tells clients: an identity of type `shard` in the domain's service discovery.
const IDENTITY_MODULE: &str = "module:add_identity(\"server\", \"shard\", module:get_option_string(\"shard_name\"));\n";

/// A running Prosody: anonymous login, a MUC, BOSH at `/http-bind` and WebSocket at `/xmpp-websocket`.
pub(crate) struct Prosody {
    /// The process: log, kill, restart.
    pub(crate) process: Process,
    name: String,
    port: Port,
}

impl Prosody {
    /// Starts a shard that calls itself `name` and waits until its HTTP side answers.
    pub(crate) async fn start(name: &str) -> Self {
        let program = require("prosody", "prosody");
        let port = Port::reserve();
        let folder = tempfile::tempdir().expect("make a folder for Prosody");
        for part in ["data", "certs", "modules"] {
            fs::create_dir(folder.path().join(part)).expect("make a folder for Prosody");
        }
        fs::write(folder.path().join("modules/mod_shard_identity.lua"), IDENTITY_MODULE).expect("write a module");
        let root = folder.path().to_str().expect("temporary folders have plain names").to_owned();
        fs::write(folder.path().join("prosody.cfg.lua"), configuration(name, &root, port.number()))
            .expect("write Prosody's configuration");
        let process = Process::start(&format!("prosody {name}"), folder, move |folder| {
            let mut command = Command::new(&program);
            command.arg("-F").arg("--config").arg(folder.join("prosody.cfg.lua"));
            command
        });
        let mut prosody = Self { process, name: name.to_owned(), port };
        prosody.ready().await;
        prosody
    }

    /// Waits until it answers; for use after `process.restart()`.
    pub(crate) async fn ready(&mut self) {
        let url = format!("{}/http-bind", self.base());
        self.process.ready(async || http_status(&url).await == Some(200)).await;
    }

    /// The shard's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where its HTTP side listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Base URL that bypasses every proxy, without a trailing slash.
    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.address())
    }
}

fn configuration(name: &str, root: &str, port: u16) -> String {
    // `run_as_root`: containers that run tests have only root, and Prosody refuses it unasked. `mod_websocket` wants
    // `c2s` loaded, so that stays, without ports. `http_default_host`: clients say the proxy's address as Host.
    format!(
        r#"run_as_root = true
daemonize = false
pidfile = "{root}/prosody.pid"
data_path = "{root}/data"
certificates = "{root}/certs"
plugin_paths = {{ "{root}/modules" }}
log = {{ {{ levels = {{ min = "info" }}, to = "console" }} }}
storage = "memory"
network_backend = "epoll"
modules_enabled = {{ "disco", "saslauth", "bosh", "websocket", "smacks", "shard_identity" }}
modules_disabled = {{ "s2s", "tls", "offline" }}
c2s_ports = {{}}
c2s_direct_tls_ports = {{}}
legacy_ssl_ports = {{}}
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
http_ports = {{ {port} }}
http_interfaces = {{ "127.0.0.1" }}
https_ports = {{}}
http_default_host = "{DOMAIN}"
http_paths = {{ bosh = "/http-bind", websocket = "/xmpp-websocket" }}
http_cors_override = {{ bosh = {{ enabled = true }}, websocket = {{ enabled = true }} }}
consider_bosh_secure = true
consider_websocket_secure = true
bosh_max_inactivity = 30
smacks_hibernation_time = 60
shard_name = "{name}"

VirtualHost "{DOMAIN}"
    authentication = "anonymous"

Component "{CONFERENCE}" "muc"
    restrict_room_creation = false
    muc_room_locking = false
    muc_room_default_public = true
"#
    )
}
