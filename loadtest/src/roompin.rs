//! Our own proxy: its binary, its configuration, and the key that its replicas share.

use std::{
    env,
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
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
        if let Some(Sharing { own, all, key }) = self.sharing {
            let peers: Vec<_> = all.iter().map(|peer| format!("\"{peer}\"")).collect();
            let (peers, key) = (peers.join(", "), key.display());
            let _ = writeln!(text, "cluster: {{ listen: \"{own}\", peers: [{peers}], key_file: \"{key}\" }}");
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
