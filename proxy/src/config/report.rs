//! What is wrong with a file: collected while it is read, printed in its order.

use std::{cell::RefCell, collections::BTreeSet, fmt, path::PathBuf};

use serde_saphyr::Location;

/// Findings printed of one file; a file that is something else entirely need not scroll the terminal away.
const MAX_PRINTED: usize = 100;

/// A place in the file; lines and columns (in characters) count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// Line.
    pub line: u64,
    /// Column.
    pub column: u64,
}

impl At {
    /// The first character.
    pub const START: Self = Self { line: 1, column: 1 };
}

impl From<Location> for At {
    fn from(location: Location) -> Self {
        // The library's unknown location is 0:0.
        Self { line: location.line().max(1), column: location.column().max(1) }
    }
}

/// One mistake or warning. Displayed as `line:column: field: message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where; `None` when it concerns the file as a whole (it cannot be opened).
    pub at: Option<At>,
    /// The field, such as `shards.static[1].weight`; empty when there is none.
    pub field: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(At { line, column }) = self.at {
            write!(f, "{line}:{column}: ")?;
        } else {
            f.write_str(" ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

/// Every mistake of a file, in its order. Displayed as `file:line:column: field: message`, one per line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    /// The file as it was named to us.
    pub file: PathBuf,
    /// The mistakes; never empty.
    pub findings: Vec<Finding>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        for (n, finding) in self.findings.iter().take(MAX_PRINTED).enumerate() {
            let newline = if n == 0 { "" } else { "\n" };
            write!(f, "{newline}{file}:{finding}")?;
        }
        match self.findings.len().saturating_sub(MAX_PRINTED) {
            0 => Ok(()),
            more => write!(f, "\n{file}: and {more} more"),
        }
    }
}

/// Where findings go while a file is read.
///
/// Shared by all sections of one file, hence the cells; it never leaves the thread that reads.
#[derive(Debug, Default)]
pub(super) struct Report {
    errors: RefCell<Vec<Finding>>,
    warnings: RefCell<Vec<Finding>>,
    unknown: RefCell<Vec<Unknown>>,
    known: RefCell<BTreeSet<String>>,
}

/// A field that no reader asked for. It is explained last, when all names are known.
#[derive(Debug)]
struct Unknown {
    at: At,
    /// Path of the section, with a dot if there is one.
    prefix: String,
    key: String,
    /// What the section has.
    names: Vec<&'static str>,
}

impl Report {
    pub(super) fn error(&self, at: At, field: &str, message: impl Into<String>) {
        self.errors.borrow_mut().push(finding(at, field, message));
    }

    pub(super) fn warn(&self, at: At, field: &str, message: impl Into<String>) {
        self.warnings.borrow_mut().push(finding(at, field, message));
    }

    pub(super) fn unknown(&self, at: At, prefix: String, key: &str, names: &[&'static str]) {
        self.unknown.borrow_mut().push(Unknown { at, prefix, key: key.to_owned(), names: names.to_vec() });
    }

    /// Notes that a reader looked for this field; list indexes are written `[]`.
    pub(super) fn know(&self, pattern: String) {
        self.known.borrow_mut().insert(pattern);
    }

    /// Every field that was looked for.
    #[cfg(test)]
    pub(super) fn known(&self) -> BTreeSet<String> {
        self.known.borrow().clone()
    }

    /// Errors and warnings in the order of the file.
    pub(super) fn finish(self) -> (Vec<Finding>, Vec<Finding>) {
        let (mut errors, mut warnings) = (self.errors.into_inner(), self.warnings.into_inner());
        let known = self.known.into_inner();
        for Unknown { at, prefix, key, names } in self.unknown.into_inner() {
            let field = format!("{prefix}{}", clip(&key));
            let message = match suggest(&key, &names, &known) {
                Some(name) => format!("unknown field; did you mean {name}?"),
                None => "unknown field".into(),
            };
            errors.push(Finding { at: Some(at), field, message });
        }
        errors.sort_by_key(|finding| finding.at);
        warnings.sort_by_key(|finding| finding.at);
        (errors, warnings)
    }
}

fn finding(at: At, field: &str, message: impl Into<String>) -> Finding {
    Finding { at: Some(at), field: field.to_owned(), message: message.into() }
}

/// The field that `key` was meant to be: one of the section's own names, else the same name elsewhere.
fn suggest(key: &str, names: &[&'static str], known: &BTreeSet<String>) -> Option<String> {
    let plain = |name: &str| name.chars().filter(|c| !"_- ".contains(*c)).collect::<String>().to_lowercase();
    let wanted: Vec<char> = plain(key).chars().take(64).collect();
    let closest = names
        .iter()
        .map(|name| (distance(&wanted, &plain(name).chars().collect::<Vec<_>>()), *name))
        .filter(|(far, name)| *far <= (name.len() / 3).max(1))
        .min();
    let elsewhere = || known.iter().find(|path| path.rsplit('.').next() == Some(key));
    closest.map(|(_, name)| name.to_owned()).or_else(|| elsewhere().cloned())
}

/// Levenshtein's distance.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Text from the file for a message: escaped where it could garble a terminal, and not longer than a line.
pub(super) fn clip(text: &str) -> String {
    const MAX: usize = 60;
    let escaped = text.escape_debug().to_string();
    match escaped.char_indices().nth(MAX) {
        Some((end, _)) => format!("{}…", &escaped[..end]),
        None => escaped,
    }
}
