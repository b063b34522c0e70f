//! Logging: set up once, its filter exchanged on reload.

use tracing_subscriber::{EnvFilter, Registry, layer::SubscriberExt, reload, util::SubscriberInitExt};

use crate::config::{Log, LogFormat};

/// Changes the filter of a running process.
#[derive(Debug)]
pub(crate) struct LogHandle(reload::Handle<EnvFilter, Registry>);

/// Starts logging to stderr. Pingora's own lines come through the `log` bridge of `tracing-subscriber`.
///
/// # Errors
/// When the filter does not parse (`check` has seen that) or logging runs already.
pub(crate) fn start(config: &Log) -> anyhow::Result<LogHandle> {
    let (filter, handle) = reload::Layer::new(EnvFilter::try_new(&config.level)?);
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match config.format {
        LogFormat::Text => registry.with(lines.with_ansi(false)).try_init()?,
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init()?,
    }
    Ok(LogHandle(handle))
}

impl LogHandle {
    /// Takes another filter.
    ///
    /// # Errors
    /// When it does not parse.
    pub(crate) fn set_level(&self, config: &Log) -> anyhow::Result<()> {
        Ok(self.0.reload(EnvFilter::try_new(&config.level)?)?)
    }
}
