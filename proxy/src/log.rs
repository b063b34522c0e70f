//! Logging: set up once, its filter and form exchanged on reload.

use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    layer::{Layered, SubscriberExt},
    reload,
    util::SubscriberInitExt,
};

use crate::config::{Log, LogFormat};

type Filtered = Layered<reload::Layer<EnvFilter, Registry>, Registry>;
type Lines = Box<dyn Layer<Filtered> + Send + Sync>;

/// Changes the log of a running process.
pub(crate) struct LogHandle {
    filter: reload::Handle<EnvFilter, Registry>,
    lines: reload::Handle<Lines, Filtered>,
}

/// Starts logging to stderr. Pingora's own lines come through the `log` bridge of `tracing-subscriber`.
///
/// # Errors
/// When the filter does not parse (`check` has seen that) or logging runs already.
pub(crate) fn start(config: &Log) -> anyhow::Result<LogHandle> {
    let (filter, filter_handle) = reload::Layer::new(EnvFilter::try_new(&config.level)?);
    let (lines, lines_handle) = reload::Layer::new(lines(config.format));
    tracing_subscriber::registry().with(filter).with(lines).try_init()?;
    Ok(LogHandle { filter: filter_handle, lines: lines_handle })
}

fn lines(format: LogFormat) -> Lines {
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.with_ansi(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    }
}

impl LogHandle {
    /// Takes another filter, and another form of lines.
    ///
    /// # Errors
    /// When the filter does not parse.
    pub(crate) fn set(&self, config: &Log) -> anyhow::Result<()> {
        self.filter.reload(EnvFilter::try_new(&config.level)?)?;
        self.lines.reload(lines(config.format))?;
        Ok(())
    }
}
