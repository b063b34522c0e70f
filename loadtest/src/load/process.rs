//! What this thread and another process have used.

use std::{fs, io, time::Duration};

use nix::{
    sys::resource::{Resource, getrlimit},
    time::{ClockId, clock_gettime},
};

/// Processor time of this thread so far.
pub(super) fn thread_time() -> Duration {
    // The clock of one's own thread cannot be missing; zero would show as a generator that costs nothing.
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// Resident memory of a process, in KiB.
///
/// # Errors
/// When there is no such process, or it has ended.
pub(crate) fn resident_kib(pid: u32) -> io::Result<u64> {
    kib(pid, "VmRSS:")
}

/// The most that it ever was, in KiB.
///
/// # Errors
/// As for [`resident_kib`].
pub(crate) fn peak_kib(pid: u32) -> io::Result<u64> {
    kib(pid, "VmHWM:")
}

fn kib(pid: u32, field: &str) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|line| line.trim().strip_suffix("kB")).and_then(|number| number.trim().parse().ok());
    number.ok_or_else(|| io::Error::other("the process has no memory of its own any more"))
}

/// Files that this process may open, those it has already included.
pub(super) fn file_limit() -> usize {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(1_024, |(soft, _)| usize::try_from(soft).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen() {
        let before = thread_time();
        let kib = resident_kib(std::process::id()).unwrap();
        assert!((100..100_000_000).contains(&kib), "{kib}");
        assert!(peak_kib(std::process::id()).unwrap() >= kib);
        assert!(resident_kib(u32::MAX).is_err());
        assert!(file_limit() >= 64);
        assert!(thread_time() > before);
    }
}
