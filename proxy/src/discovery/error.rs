//! What can go wrong with a source.

/// Why a source could not tell (all of) its shards. Texts name what was looked up; [`DiscoveryError::kind`] does not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// No server answered in time.
    #[error("{query}: no DNS server answered in time")]
    Timeout {
        /// Name and type that were asked for.
        query: String,
    },
    /// The servers answered with an error, such as SERVFAIL or REFUSED.
    #[error("{query}: the DNS server answers {code}")]
    Response {
        /// Name and type that were asked for.
        query: String,
        /// The server's words.
        code: String,
    },
    /// The name does not exist. Counts as an empty list, which the hold-down softens.
    #[error("{query}: no such name")]
    NoSuchName {
        /// Name and type that were asked for.
        query: String,
    },
    /// The name exists without records of the type. Counts as an empty list, which the hold-down softens.
    #[error("{query}: no records")]
    NoRecords {
        /// Name and type that were asked for.
        query: String,
    },
    /// The servers could not be asked, or sent something that is not DNS.
    #[error("{query}: {why}")]
    Transport {
        /// Name and type that were asked for.
        query: String,
        /// The resolver's words.
        why: String,
    },
    /// The resolver or the Kubernetes client cannot be set up: `/etc/resolv.conf`, the kubeconfig or the service
    /// account's files are missing or damaged, or the name is none.
    #[error("cannot ask {name}: {why}")]
    Setup {
        /// The configured name, or what was to be asked.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// A target's name cannot be a shard's name. The target is left out.
    #[error("target {target}: {why}")]
    Name {
        /// The SRV target.
        target: String,
        /// The offence.
        why: String,
    },
    /// A target has no address. The target is left out.
    #[error("target {target} has no address")]
    NoAddress {
        /// The SRV target.
        target: String,
    },
    /// A label gives a shard a state that does not exist. The shard keeps the state it had.
    #[error("target {target}: {why}")]
    State {
        /// The Service.
        target: String,
        /// The offence.
        why: String,
    },
    /// The Kubernetes API refuses.
    #[error("the Kubernetes API answers for {resource}: {code}")]
    Api {
        /// The kind of object asked for.
        resource: String,
        /// Status and message.
        code: String,
    },
    /// An answer has more records than are taken; the rest is ignored.
    #[error("{found} records, only {taken} are used")]
    TooMany {
        /// Records in the answer.
        found: usize,
        /// Records used.
        taken: usize,
    },
}

impl DiscoveryError {
    /// One word from a closed set, for the label `kind` of `roompin_discovery_errors_total`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => "timeout",
            Self::Response { .. } => "response",
            Self::NoSuchName { .. } => "nxdomain",
            Self::NoRecords { .. } => "empty",
            Self::Transport { .. } => "transport",
            Self::Setup { .. } => "setup",
            Self::Name { .. } => "name",
            Self::NoAddress { .. } => "address",
            Self::State { .. } => "state",
            Self::Api { .. } => "response",
            Self::TooMany { .. } => "bound",
        }
    }
}
