//! From a file to a [`Config`], or to all its mistakes.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use super::{
    Config, node, read,
    report::{At, ConfigErrors, Finding, Report},
    section::{Context, Section},
};

/// Largest configuration file. 4,000 shards take a tenth of it.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;

/// A configuration that can be run.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is allowed but probably not meant, in the order of the file.
    pub warnings: Vec<Finding>,
}

impl Config {
    /// Reads and checks a file. Files it names (token, key) are read too, relative to its folder.
    ///
    /// Blocks on the file system; call it before serving, or on a thread that may block.
    ///
    /// # Errors
    /// Every mistake in the file, or the reason why it cannot be read.
    pub fn load(path: &Path) -> Result<Loaded, ConfigErrors> {
        let source = read_bounded(path)
            .map_err(|error| ConfigErrors { file: path.to_owned(), findings: vec![whole_file(error.to_string())] })?;
        Self::parse(&source, path)
    }

    /// Checks the text of a file. `path` names it in messages, and its folder is where relative paths start.
    ///
    /// # Errors
    /// Every mistake in the text.
    pub fn parse(source: &str, path: &Path) -> Result<Loaded, ConfigErrors> {
        let report = Report::default();
        let config = read_source(source, path, &report);
        let (findings, warnings) = report.finish();
        match config {
            Some(config) if findings.is_empty() => Ok(Loaded { config, warnings }),
            _ => Err(ConfigErrors { file: path.to_owned(), findings }),
        }
    }
}

/// Whatever could be read; `None` only with an error in the report.
pub(super) fn read_source(source: &str, path: &Path, report: &Report) -> Option<Config> {
    if source.len() > MAX_FILE_BYTES {
        report.error(At::START, "", "larger than 1MiB");
        return None;
    }
    let root = node::parse(source).map_err(|(at, message)| report.error(at, "", message)).ok()?;
    let base = path.parent().unwrap_or(Path::new(""));
    let mut section = Section::root(&root, Context { report, base })?;
    Some(read::config(&mut section))
}

fn read_bounded(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::other("is a folder, not a file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(io::Error::other("larger than 1MiB"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        io::Error::other(format!("not UTF-8 text (line {line})"))
    })
}

fn whole_file(message: String) -> Finding {
    Finding { at: None, field: String::new(), message }
}
