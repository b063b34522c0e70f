//! HAProxy's agent check: one line of words in which a shard says what may be done with it.
//!
//! Source: HAProxy configuration manual, server keyword `agent-check`. jitsi's signal-sidecar answers with
//! `up ready 100%` and the like on port 6060.

#[cfg(test)]
mod tests;

/// Longest line that is read; HAProxy's own buffer is larger, but no agent says that much.
pub const MAX_LINE: usize = 1024;

/// HAProxy's largest weight.
pub const MAX_WEIGHT: u16 = 256;

/// Longest word an error names.
const MAX_NAMED: usize = 32;

/// What an agent said. What it left out stays as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentReply {
    /// Its share of new rooms.
    pub weight: Option<AgentWeight>,
    /// What an administrator at the shard wants.
    pub admin: Option<AgentAdmin>,
    /// Whether it works.
    pub health: Option<AgentHealth>,
    /// How many connections it takes; parsed because agents send it, acted upon by nobody.
    pub maxconn: Option<u32>,
}

/// A weight as an agent states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentWeight {
    /// Of the configured weight; 0 to 25600, as HAProxy caps it.
    Percent(u16),
    /// In place of the configured weight; 0 to 256.
    Absolute(u16),
}

/// An administrative state as an agent states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentAdmin {
    /// Takes back the agent's own `drain` or `maint`.
    Ready,
    /// Only rooms that are there already.
    Drain,
    /// Nobody.
    Maint,
}

/// An operational state as an agent states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentHealth {
    /// Takes back the agent's own `down`.
    Up,
    /// `down`, `fail` or `stopped`.
    Down {
        /// The text after `#`, printable ASCII.
        reason: Option<String>,
    },
}

/// Why a line is no agent's reply. Nothing of such a line counts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgentCheckError {
    /// No word at all.
    #[error("the agent said nothing")]
    Empty,
    /// More than [`MAX_LINE`] bytes before the end of the line.
    #[error("the agent's line is longer than {MAX_LINE} bytes")]
    TooLong,
    /// A word outside the grammar.
    #[error("the agent said {0:?}, which is no word of the agent check")]
    UnknownWord(String),
    /// A number outside its range.
    #[error("the agent said {0:?}, which is out of range")]
    OutOfRange(String),
}

/// Parses one line, up to the first CR or LF or to the end. Case does not matter, nor does the order of the words;
/// of two words about one thing the later one counts.
///
/// # Errors
/// When a word is unknown or a number out of range: a line half understood is not acted upon.
pub fn parse(line: &[u8]) -> Result<AgentReply, AgentCheckError> {
    let end = line.iter().position(|b| matches!(b, b'\r' | b'\n')).unwrap_or(line.len());
    if end > MAX_LINE {
        return Err(AgentCheckError::TooLong);
    }
    let line = &line[..end];
    let sharp = line.iter().position(|&b| b == b'#');
    let (words, text) = line.split_at(sharp.unwrap_or(line.len()));
    let mut reply = AgentReply::default();
    let mut spoken = false;
    for word in words.split(|b| matches!(b, b' ' | b'\t' | b',')).filter(|w| !w.is_empty()) {
        spoken = true;
        take(&mut reply, word)?;
    }
    if !spoken {
        return Err(AgentCheckError::Empty);
    }
    if let Some(AgentHealth::Down { reason }) = &mut reply.health {
        *reason = text.get(1..).map(printable).filter(|r| !r.is_empty());
    }
    Ok(reply)
}

fn take(reply: &mut AgentReply, raw: &[u8]) -> Result<(), AgentCheckError> {
    let word = raw.to_ascii_lowercase();
    match word.as_slice() {
        b"ready" => reply.admin = Some(AgentAdmin::Ready),
        b"drain" => reply.admin = Some(AgentAdmin::Drain),
        b"maint" => reply.admin = Some(AgentAdmin::Maint),
        b"up" => reply.health = Some(AgentHealth::Up),
        b"down" | b"fail" | b"stopped" => reply.health = Some(AgentHealth::Down { reason: None }),
        other => {
            if let Some(digits) = other.strip_prefix(b"maxconn:") {
                reply.maxconn = Some(number(digits, u32::MAX, raw)?);
            } else if let Some(weight) = other.strip_prefix(b"weight:") {
                reply.weight = Some(match weight.strip_suffix(b"%") {
                    Some(digits) => percent(digits, raw)?,
                    None => AgentWeight::Absolute(small(number(weight, MAX_WEIGHT.into(), raw)?)),
                });
            } else if let Some(digits) = other.strip_suffix(b"%") {
                reply.weight = Some(percent(digits, raw)?);
            } else {
                return Err(AgentCheckError::UnknownWord(named(raw)));
            }
        }
    }
    Ok(())
}

fn percent(digits: &[u8], word: &[u8]) -> Result<AgentWeight, AgentCheckError> {
    // HAProxy caps instead of refusing: 256 times the smallest weight is the largest one.
    Ok(AgentWeight::Percent(small(number(digits, u32::MAX, word)?.min(25_600))))
}

/// `1*DIGIT`, at most `max`.
fn number(digits: &[u8], max: u32, word: &[u8]) -> Result<u32, AgentCheckError> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(AgentCheckError::UnknownWord(named(word)));
    }
    digits
        .iter()
        .try_fold(0u32, |n, d| n.checked_mul(10)?.checked_add(u32::from(d - b'0')))
        .filter(|&n| n <= max)
        .ok_or_else(|| AgentCheckError::OutOfRange(named(word)))
}

fn small(n: u32) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}

fn named(word: &[u8]) -> String {
    word[..word.len().min(MAX_NAMED)].escape_ascii().to_string()
}

fn printable(text: &[u8]) -> String {
    text.trim_ascii().escape_ascii().to_string()
}
