//! The machine that a run ran on, as Linux tells it.

use std::{fs, thread};

use serde::{Deserialize, Serialize};

/// What results depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name for itself.
    pub cpu: String,
    /// Cores that may be used.
    pub cores: usize,
    /// The kernel's release.
    pub kernel: String,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// The distribution.
    pub system: String,
}

impl Machine {
    /// This one; what cannot be read is `unknown` or 0.
    #[must_use]
    pub fn this() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self {
            cpu: value(&read("/proc/cpuinfo"), "model name", ':'),
            cores: thread::available_parallelism().map_or(0, usize::from),
            kernel: or_unknown(read("/proc/sys/kernel/osrelease").trim()),
            memory_mib: value(&read("/proc/meminfo"), "MemTotal", ':').trim_end_matches(" kB").parse().unwrap_or(0)
                / 1024,
            system: value(&read("/etc/os-release"), "PRETTY_NAME", '=').trim_matches('"').to_owned(),
        }
    }
}

/// The value of the first line with this key.
fn value(text: &str, key: &str, separator: char) -> String {
    let lines = text.lines().filter_map(|line| line.split_once(separator));
    let mut values = lines.filter(|(name, _)| name.trim() == key).map(|(_, value)| value.trim());
    or_unknown(values.next().unwrap_or_default())
}

fn or_unknown(text: &str) -> String {
    if text.is_empty() { "unknown".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_whole() {
        let text = "processor\t: 0\nmodel name\t: Fast: CPU\nmodel\t: 7\nmodel name\t: other\n";
        assert_eq!(value(text, "model name", ':'), "Fast: CPU");
        assert_eq!(value(text, "model", ':'), "7");
        assert_eq!(value(text, "name", ':'), "unknown");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_says_what_it_is() {
        let machine = Machine::this();
        assert!(machine.cores > 0 && machine.memory_mib > 0 && machine.kernel != "unknown", "{machine:?}");
    }
}
