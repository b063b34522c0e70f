//! `probes:`

use super::super::{
    HttpProbe, ProbeTiming, Probes, Shards, defaults,
    section::{Field, Section, Switch},
    value::show_duration,
};
use super::{HOUR, MILLISECOND};

/// Ranges of statuses to accept.
const MAX_RANGES: usize = 32;

pub(super) fn read(mut s: Section<'_>, shards: &Shards) -> Probes {
    let http = match s.switch("http") {
        Switch::On(section) => Some(http(section)),
        Switch::Off | Switch::Absent => None,
    };
    let tcp = match s.switch("tcp") {
        Switch::On(mut section) => Some(timing(&mut section)),
        Switch::Absent if http.is_none() => Some(ProbeTiming::default()),
        Switch::Off | Switch::Absent => None,
    };
    let has_agents = shards.has_agents();
    let agent = match s.switch("agent") {
        Switch::On(mut section) => Some(timing(&mut section)),
        Switch::Absent if has_agents => Some(ProbeTiming::default()),
        Switch::Off | Switch::Absent => None,
    };
    Probes { tcp, http, agent }
}

fn timing(s: &mut Section<'_>) -> ProbeTiming {
    let interval = s.duration("interval", defaults::PROBE_INTERVAL, 100 * MILLISECOND, HOUR);
    let timing = ProbeTiming {
        interval,
        timeout: s.duration("timeout", defaults::PROBE_TIMEOUT.min(interval), 10 * MILLISECOND, HOUR),
        rise: s.number("rise", defaults::RISE, 1, 100),
        fall: s.number("fall", defaults::FALL, 1, 100),
    };
    if timing.timeout > interval && s.sound(&["interval", "timeout"]) {
        s.error("timeout", format!("must not be longer than the interval, {}", show_duration(interval)));
    }
    timing
}

fn http(mut s: Section<'_>) -> HttpProbe {
    let timing = timing(&mut s);
    let expect = s.many("expect", MAX_RANGES, Field::statuses);
    if expect.as_ref().is_some_and(Vec::is_empty) && s.sound(&["expect"]) {
        s.error("expect", "must accept at least one status");
    }
    HttpProbe {
        timing,
        path: s.read("path", defaults::PROBE_PATH.into(), path),
        host: s.optional("host", host),
        expect: expect
            .map_or(vec![defaults::PROBE_EXPECT], |ranges| ranges.into_iter().map(|(_, range)| range).collect()),
    }
}

/// What may stand in a request line.
fn path(field: &Field<'_>) -> Result<String, String> {
    let text = field.text()?;
    if text.starts_with('/') && text.len() <= 1024 && text.chars().all(|c| c.is_ascii_graphic() && c != '#') {
        Ok(text.to_owned())
    } else {
        Err("must start with '/' and have no spaces, '#' or non-ASCII characters".into())
    }
}

/// What may stand in a `Host` header: a name or address, perhaps with a port.
fn host(field: &Field<'_>) -> Result<String, String> {
    let text = field.text()?;
    match text.parse::<http::uri::Authority>() {
        Ok(authority) if !authority.as_str().contains('@') => Ok(text.to_owned()),
        _ => Err("must be a host name, perhaps with a port".into()),
    }
}
