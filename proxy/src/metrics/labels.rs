//! The closed sets of label values. A label that is an enum cannot grow without bound, and needs no look-up.

/// A closed set of label values.
pub trait Label: Copy + 'static {
    /// Every value, in the order of [`Label::index`].
    const ALL: &'static [Self];
    /// The value as `/metrics` shows it.
    fn as_str(self) -> &'static str;
    /// Position in [`Label::ALL`].
    fn index(self) -> usize;
}

macro_rules! label {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl Label for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)+];

            fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

label! {
    /// How a request to a shard ended.
    RequestOutcome {
        /// 1xx as the last answer (never for an ordinary request).
        Informational = "1xx",
        /// 2xx.
        Success = "2xx",
        /// 3xx.
        Redirect = "3xx",
        /// 4xx, from the shard.
        ClientError = "4xx",
        /// 5xx, from the shard.
        ServerError = "5xx",
        /// No connection to the shard came about.
        ConnectFailed = "connect_failed",
        /// The shard was silent for longer than `upstream.response_timeout`.
        ShardTimeout = "shard_timeout",
        /// The shard broke off, or answered something that is not HTTP.
        ShardFailed = "shard_failed",
        /// The client left before the answer.
        ClientGone = "client_gone",
        /// Roompin refused it although a shard was known.
        Refused = "refused",
    }
}

impl RequestOutcome {
    /// The outcome for a shard's final status.
    #[must_use]
    pub fn from_status(status: u16) -> Self {
        match status {
            100..=199 => Self::Informational,
            200..=299 => Self::Success,
            300..=399 => Self::Redirect,
            400..=499 => Self::ClientError,
            500..=599 => Self::ServerError,
            _ => Self::ShardFailed,
        }
    }
}

label! {
    /// How an attempt to open a tunnel ended.
    TunnelOutcome {
        /// The shard answered 101.
        Opened = "opened",
        /// The shard answered something else than 101.
        Refused = "refused",
        /// No connection, no answer in time, or a broken one.
        Failed = "failed",
        /// The client left before the answer.
        ClientGone = "client_gone",
    }
}

label! {
    /// Why a tunnel ended.
    CloseReason {
        /// The client's connection ended first: it broke off.
        Client = "client",
        /// The shard's connection ended first; also after a client's goodbye, because of the two a WebSocket's server
        /// closes first (RFC 6455 §7.1.1).
        Shard = "shard",
        /// Silent in both directions for `tunnels.idle`.
        Idle = "idle",
        /// This proxy is shutting down.
        Drain = "drain",
        /// Its room was moved to another shard.
        Moved = "moved",
        /// A socket error.
        Error = "error",
        /// The reader was too slow for too long.
        Slow = "slow",
    }
}

label! {
    /// Which way bytes went through a tunnel.
    Direction {
        /// From the client to the shard.
        ToShard = "to_shard",
        /// From the shard to the client.
        ToClient = "to_client",
    }
}

label! {
    /// What a probe found.
    ProbeResult {
        /// The shard is well.
        Ok = "ok",
        /// It is not, or did not answer in time.
        Failed = "failed",
    }
}

label! {
    /// Why the front door sent a client away.
    FrontRefusal {
        /// The head did not arrive within `front.head_timeout`.
        HeadTimeout = "head_timeout",
        /// The head is larger than `front.head_max_bytes`.
        HeadTooLarge = "head_too_large",
        /// Not HTTP, or ambiguous HTTP (two lengths, folded headers, bare CR).
        BadRequest = "bad_request",
        /// The room's name is longer than 2,048 bytes.
        NameTooLong = "name_too_long",
        /// `front.max_connections` are open.
        TooManyConnections = "too_many_connections",
        /// A request to upgrade that carries a body.
        UpgradeWithBody = "upgrade_with_body",
        /// No shard is ready for a new room.
        NoShard = "no_shard",
        /// `rooms.max_pins` pins are in use.
        TableFull = "table_full",
        /// The room is pinned to a shard that discovery has not found yet.
        Awaited = "awaited",
        /// The proxy is taking over the other replicas' pins, and found nobody to ask.
        Joining = "joining",
        /// The room's shard, or every shard tried, does not accept connections.
        Unreachable = "unreachable",
        /// A shard accepted and did not answer in time.
        ShardTimeout = "shard_timeout",
        /// A shard answered with something that is not HTTP, or broke off.
        ShardBroken = "shard_broken",
    }
}

label! {
    /// Good or bad, for things that happen rarely.
    Success {
        /// It worked.
        Ok = "ok",
        /// It did not; the log says why.
        Error = "error",
    }
}

impl From<bool> for Success {
    fn from(ok: bool) -> Self {
        if ok { Self::Ok } else { Self::Error }
    }
}
