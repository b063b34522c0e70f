//! Our own proxy: its binary, its configuration, and the key that its replicas share.

use std::{
    env,
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// A shard in the list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shard<'a> {
    pub(crate) name: &'a str,
    pub(crate) address: SocketAddr,
    /// Unless it is ready.
    pub(crate) state: Option<&'a str>,
}

/// What replicas need to find and know each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sharing<'a> {
    /// Where this one listens for the others.
    pub(crate) own: SocketAddr,
    /// Where all do, itself included.
    pub(crate) all: &'a [SocketAddr],
    /// The file of [`write_key`].
    pub(crate) key: &'a Path,
    /// How long they wait for each other, unless as long as by default.
    pub(crate) claim_timeout: Option<Duration>,
}

/// One replica's configuration. What it does not name stays at its default.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config<'a> {
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// A file with the admin port's token, which one that is not on loopback needs.
    pub(crate) token: Option<&'a Path>,
    /// `None`: a replica alone.
    pub(crate) sharing: Option<Sharing<'a>>,
    /// More fields, each with the end of its line.
    pub(crate) more: &'a str,
}

impl Config<'_> {
    /// The file's text.
    pub(crate) fn text<'a>(&self, shards: impl IntoIterator<Item = Shard<'a>>) -> String {
        let mut text = format!("listen: [\"{}\"]\nshards:\n  static:\n", self.listen);
        // Writing into a String cannot fail.
        for Shard { name, address, state } in shards {
            let state = state.map(|state| format!(", state: {state}")).unwrap_or_default();
            let _ = writeln!(text, "    - {{ name: {name}, address: \"{address}\"{state} }}");
        }
        let token = self.token.map(|token| format!(", token_file: \"{}\"", token.display())).unwrap_or_default();
        let _ = writeln!(text, "admin: {{ address: \"{}\"{token} }}", self.admin);
        if let Some(Sharing { own, all, key, claim_timeout }) = self.sharing {
            let peers: Vec<_> = all.iter().map(|peer| format!("\"{peer}\"")).collect();
            let (peers, key) = (peers.join(", "), key.display());
            let wait = claim_timeout.map(|wait| format!(", claim_timeout: {}ms", wait.as_millis())).unwrap_or_default();
            let _ = writeln!(text, "cluster: {{ listen: \"{own}\", peers: [{peers}], key_file: \"{key}\"{wait} }}");
        }
        text + "log: { level: warn, access: off }\n" + self.more
    }
}

/// `roompin-proxy` beside the running binary, else the one on the PATH.
pub(crate) fn default_binary() -> PathBuf {
    let name = format!("roompin-proxy{}", env::consts::EXE_SUFFIX);
    let beside = env::current_exe().ok().and_then(|own| Some(own.parent()?.join(&name)));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| name.into())
}

/// Writes a key that nobody else has, for [`Sharing`].
pub(crate) fn write_key(path: &Path) -> io::Result<()> {
    let [high, low]: [u128; 2] = rand::random();
    write_secret(path, &format!("{high:032x}{low:032x}\n"))
}

/// Writes a file that only its owner may read.
pub(crate) fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::File::options();
    options.write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}

/// Decisions that a replica has taken without hearing from the others in time: claims that nobody answered, and
/// decisions that nobody confirmed. `url` is that of its metrics.
pub(crate) async fn late_claims(http: &reqwest::Client, url: &str, token: Option<&str>) -> Result<u64, reqwest::Error> {
    let request = http.get(url);
    let request = if let Some(token) = token { request.bearer_auth(token) } else { request };
    let metrics = request.send().await?.error_for_status()?.bytes().await?;
    Ok(late_in(&String::from_utf8_lossy(&metrics)))
}

fn late_in(metrics: &str) -> u64 {
    let late = ["roompin_claim_seconds_count{outcome=\"fallback\"}", "roompin_claims_unconfirmed_total"];
    let values = metrics.lines().filter_map(|line| line.rsplit_once(' '));
    values.filter(|(name, _)| late.contains(name)).filter_map(|(_, value)| value.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_claims_are_read_from_metrics() {
        let metrics = "# HELP roompin_claims_unconfirmed_total Decisions.\nroompin_claims_unconfirmed_total 3\n\
                       roompin_claim_seconds_count{outcome=\"fallback\"} 4\nroompin_claim_seconds_count{outcome=\"own\"} 9\n";
        assert_eq!(late_in(metrics), 7);
        assert_eq!(late_in(""), 0);
    }

    #[test]
    fn a_configuration_names_what_it_is_given() {
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let (all, key) = ([at(3), at(4)], Path::new("/k"));
        let sharing = Some(Sharing { own: at(3), all: &all, key, claim_timeout: Some(Duration::from_secs(1)) });
        let config =
            Config { listen: at(1), admin: at(2), token: Some(Path::new("/t")), sharing, more: "threads: 1\n" };
        let shard = Shard { name: "a", address: at(5), state: Some("draining") };
        let text = config.text([shard, Shard { state: None, ..shard }]);
        for line in [
            "    - { name: a, address: \"127.0.0.1:5\", state: draining }",
            "    - { name: a, address: \"127.0.0.1:5\" }",
            "admin: { address: \"127.0.0.1:2\", token_file: \"/t\" }",
            "cluster: { listen: \"127.0.0.1:3\", peers: [\"127.0.0.1:3\", \"127.0.0.1:4\"], key_file: \"/k\", claim_timeout: 1000ms }",
            "threads: 1",
        ] {
            assert!(text.lines().any(|has| has == line), "{line}\n{text}");
        }
    }
}
