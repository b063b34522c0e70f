//! What SIGHUP can change, and what needs a restart.

use super::{Config, value::show_duration};

impl Config {
    /// The fields in which `new` differs and that a running process cannot change: sockets, threads, the place of
    /// the snapshot, the key under which rooms are stored, and the size of pingora's pool. One sentence each; empty when `new` can be taken over.
    ///
    /// Everything else may change while running. A key file is compared by its path, not its content: the key is read
    /// once, at start.
    #[must_use]
    pub fn reload_refusals(&self, new: &Self) -> Vec<String> {
        let listen = |config: &Self| config.listen.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let key = |config: &Self| match &config.rooms.key_file {
            Some(path) => path.display().to_string(),
            None => "the built-in key".into(),
        };
        let snapshot = |config: &Self| match &config.snapshot {
            Some(snapshot) => format!("{} every {}", snapshot.path.display(), show_duration(snapshot.interval)),
            None => "off".into(),
        };
        let cluster = |config: &Self| match &config.cluster {
            Some(cluster) => match cluster.advertise {
                Some(advertise) => format!("{} known as {advertise}", cluster.listen),
                None => cluster.listen.to_string(),
            },
            None => "off".into(),
        };
        let fixed = [
            ("listen", listen(self), listen(new)),
            ("threads", self.threads.to_string(), new.threads.to_string()),
            ("rooms.key_file", key(self), key(new)),
            ("upstream.pool_size", self.upstream.pool_size.to_string(), new.upstream.pool_size.to_string()),
            ("admin.address", self.admin.address.to_string(), new.admin.address.to_string()),
            ("snapshot", snapshot(self), snapshot(new)),
            ("cluster", cluster(self), cluster(new)),
        ];
        let changed = fixed.into_iter().filter(|(_, old, new)| old != new);
        changed.map(|(field, old, new)| format!("{field}: changing {old} to {new} needs a restart")).collect()
    }
}
