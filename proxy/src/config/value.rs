//! What a field may hold: times, sizes, numbers, addresses, names.
//!
//! Every reader returns the sentence that completes `field: …`, saying what would be right before what is wrong.

use std::{
    fmt::Display,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use ipnet::IpNet;
use router_core::shard::ShardName;

use super::{
    hosts::is_dns_name,
    node::Value,
    report::clip,
    section::{Field, Section},
};

/// Units of time, largest first.
const TIME_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
/// Units of size, largest first.
const SIZE_UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

type Read<T> = Result<T, String>;

impl Field<'_> {
    /// Any single value, as written.
    pub(super) fn text(&self) -> Read<&str> {
        match &self.node.value {
            Value::Scalar(text) if text.is_empty() => Err("is empty".into()),
            Value::Scalar(text) => Ok(text),
            Value::Empty => Err("has no value; give one, or remove the line".into()),
            Value::List(_) => Err("must be a single value, not a list".into()),
            Value::Map(_) => Err("must be a single value, not a section".into()),
        }
    }

    /// A whole number.
    pub(super) fn number<T: Copy + FromStr + PartialOrd + Display>(&self, min: T, max: T) -> Read<T> {
        let text = self.text()?;
        let digits = text.strip_prefix('-').unwrap_or(text);
        let numeric =
            digits.starts_with(|c: char| c.is_ascii_digit()) && digits.chars().all(|c| c.is_ascii_digit() || c == '_');
        if !numeric {
            return Err(format!("must be a whole number from {min} to {max}, not \"{}\"", clip(text)));
        }
        match text.replace('_', "").parse::<T>() {
            Ok(number) if number >= min && number <= max => Ok(number),
            _ => Err(format!("must be {min} to {max}, not {}", clip(text))),
        }
    }

    /// `10s`, `500ms`, `5m`, `1h`, `1d`, or `0`.
    pub(super) fn duration(&self, min: Duration, max: Duration) -> Read<Duration> {
        let text = self.text()?;
        let (number, unit) = split_unit(text);
        let wrong = || format!("must be a time such as 500ms, 10s, 5m or 1h, not \"{}\"", clip(text));
        let count: u64 = number.parse().map_err(|_| wrong())?;
        let duration = match TIME_UNITS.iter().find(|(name, _)| *name == unit) {
            Some((_, millis)) => Duration::from_millis(count.saturating_mul(*millis)),
            None if unit.is_empty() && count == 0 => Duration::ZERO,
            None if unit.is_empty() => {
                return Err(format!("needs a unit, such as {count}s or {count}ms"));
            }
            None => return Err(wrong()),
        };
        if duration < min || duration > max {
            return Err(format!("must be {} to {}, not {}", show_duration(min), show_duration(max), clip(text)));
        }
        Ok(duration)
    }

    /// `16KiB`, `1MiB`, or plain bytes.
    pub(super) fn size(&self, min: usize, max: usize) -> Read<usize> {
        let text = self.text()?;
        let (number, unit) = split_unit(text);
        let wrong = || format!("must be a size such as 16KiB, 1MiB or 16384, not \"{}\"", clip(text));
        let count: u64 = number.parse().map_err(|_| wrong())?;
        let factor = match SIZE_UNITS.iter().find(|(name, _)| *name == unit) {
            Some((_, factor)) => *factor,
            None if unit.is_empty() => 1,
            None => return Err(wrong()),
        };
        match usize::try_from(count.saturating_mul(factor)) {
            Ok(size) if size >= min && size <= max => Ok(size),
            _ => Err(format!("must be {} to {}, not {}", show_size(min), show_size(max), clip(text))),
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Read<T> {
        let text = self.text()?;
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let list: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            format!("must be one of {}, not \"{}\"", list.join(", "), clip(text))
        })
    }

    /// An address to bind; port 0 takes a free one.
    pub(super) fn bind_address(&self) -> Read<SocketAddr> {
        let text = self.text()?;
        text.parse().map_err(|_| {
            format!("must be an IP address and a port, such as 0.0.0.0:8080 or \"[::]:8080\", not \"{}\"", clip(text))
        })
    }

    /// An address to connect to. `names` says what to do about a host name.
    pub(super) fn peer_address(&self, names: &str) -> Read<SocketAddr> {
        let text = self.text()?;
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Err(format!("needs a port, such as {}", SocketAddr::new(ip, 80)));
        }
        let address: SocketAddr = text.parse().map_err(|_| {
            format!("must be an IP address and a port, such as 10.0.0.1:80, not \"{}\"; {names}", clip(text))
        })?;
        if address.port() == 0 {
            return Err("must have a port from 1 to 65535, not 0".into());
        }
        if address.ip().is_unspecified() {
            return Err(format!("must be the address of a server, not {}, which is any", address.ip()));
        }
        Ok(address)
    }

    /// A DNS server; its port is 53 unless given.
    pub(super) fn dns_server(&self) -> Read<SocketAddr> {
        match self.text()?.parse::<IpAddr>() {
            Ok(ip) => Ok(SocketAddr::new(ip, 53)),
            Err(_) => self.peer_address("a DNS server cannot be found by name"),
        }
    }

    /// `10.0.0.0/8`, or a single address.
    pub(super) fn network(&self) -> Read<IpNet> {
        let text = self.text()?;
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(IpNet::from(ip));
        }
        let network: IpNet = text
            .parse()
            .map_err(|_| format!("must be a network such as 10.0.0.0/8 or fd00::/8, not \"{}\"", clip(text)))?;
        if network.trunc() != network {
            let (whole, one) = (network.trunc(), network.addr());
            return Err(format!(
                "has address bits beyond its prefix; write {whole} for the network or {one} for the host"
            ));
        }
        Ok(network)
    }

    /// A shard's stable name.
    pub(super) fn shard_name(&self) -> Read<ShardName> {
        let text = self.text()?;
        if text.parse::<IpAddr>().is_ok() {
            return Err(format!("must be a name that stays when the address changes, not the address {text}"));
        }
        ShardName::new(text).map_err(|error| error.to_string())
    }

    /// A name for DNS to look up.
    pub(super) fn dns_name(&self) -> Read<String> {
        let text = self.text()?;
        if text.parse::<IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok() {
            return Err(format!("must be a DNS name; the address {text} belongs in shards.static"));
        }
        if is_dns_name(text) {
            Ok(text.to_owned())
        } else {
            Err(format!("must be a DNS name such as web.jitsi.svc.cluster.local, not \"{}\"", clip(text)))
        }
    }

    /// `200-399`, or one status.
    pub(super) fn statuses(&self) -> Read<(u16, u16)> {
        let text = self.text()?;
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let status = |text: &str| text.trim().parse().ok().filter(|status| (100..=599).contains(status));
        match (status(first), status(last)) {
            (Some(first), Some(last)) if first <= last => Ok((first, last)),
            (Some(first), Some(last)) => Err(format!("must go upwards, such as {last}-{first}")),
            _ => Err(format!("must be a status from 100 to 599, or a range such as 200-399, not \"{}\"", clip(text))),
        }
    }

    /// A file; a relative path starts at the folder of the configuration.
    pub(super) fn file(&self) -> Read<PathBuf> {
        Ok(self.context.base.join(self.text()?))
    }
}

impl Section<'_> {
    /// A time with a default and bounds.
    pub(super) fn duration(&mut self, name: &'static str, default: Duration, min: Duration, max: Duration) -> Duration {
        self.read(name, default, |field| field.duration(min, max))
    }

    /// A whole number with a default and bounds.
    pub(super) fn number<T: Copy + FromStr + PartialOrd + Display>(
        &mut self,
        name: &'static str,
        default: T,
        min: T,
        max: T,
    ) -> T {
        self.read(name, default, |field| field.number(min, max))
    }
}

/// `10s` is `("10", "s")`.
fn split_unit(text: &str) -> (&str, &str) {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    (number, unit.trim_start_matches(' '))
}

/// The shortest spelling that the file would accept.
pub(super) fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let exact = TIME_UNITS.iter().find(|(_, unit)| millis > 0 && millis.is_multiple_of(u128::from(*unit)));
    match exact {
        Some((name, unit)) => format!("{}{name}", millis / u128::from(*unit)),
        None => "0s".into(),
    }
}

/// The shortest spelling that the file would accept.
pub(super) fn show_size(size: usize) -> String {
    let exact = SIZE_UNITS.iter().find(|(_, unit)| size > 0 && (size as u64).is_multiple_of(*unit));
    match exact {
        Some((name, unit)) => format!("{}{name}", size as u64 / unit),
        None => size.to_string(),
    }
}
