//! Cores: who runs where, and how long each was busy.

use std::{collections::BTreeSet, fs, io, time::Duration};

use tokio::{
    process::Command,
    time::{Instant, MissedTickBehavior, interval},
};

use super::result::CoreUse;

/// Between two looks at `/proc/stat`, which counts in ticks of 10 ms.
const LOOK: Duration = Duration::from_millis(100);
/// Most looks kept.
const MAX_LOOKS: usize = 36_000;

/// Which cores the proxy under test and all else run on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cores {
    /// The proxy's alone.
    pub proxy: usize,
    /// Those of the shards and the generator, for `taskset`.
    pub others: String,
}

impl Cores {
    /// The second core that this process may use for the proxy, the rest for all else. `None` with fewer than two.
    #[must_use]
    pub fn choose(allowed: &BTreeSet<usize>) -> Option<Self> {
        let proxy = *allowed.iter().nth(1)?;
        let others: Vec<_> = allowed.iter().filter(|&&core| core != proxy).map(usize::to_string).collect();
        Some(Self { proxy, others: others.join(",") })
    }

    /// Moves all threads of this process, and the processes it starts from now on, to the cores of all else.
    ///
    /// # Errors
    /// When `taskset` does not run or the system refuses.
    pub async fn keep_off(&self) -> io::Result<()> {
        let mut taskset = Command::new("taskset");
        let own = std::process::id().to_string();
        let done = taskset.args(["--all-tasks", "--cpu-list", "--pid", &self.others, &own]).output().await?;
        if done.status.success() {
            return Ok(());
        }
        Err(io::Error::other(format!("taskset: {}", String::from_utf8_lossy(&done.stderr).trim())))
    }
}

/// The cores this process may use.
///
/// # Errors
/// When the system does not say.
pub fn allowed() -> io::Result<BTreeSet<usize>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.and_then(parse_list).ok_or_else(|| io::Error::other("/proc/self/status has no Cpus_allowed_list"))
}

/// A list such as `0,2-3`.
fn parse_list(list: &str) -> Option<BTreeSet<usize>> {
    let mut cores = BTreeSet::new();
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        cores.extend(first.parse::<usize>().ok()?..=last.parse().ok()?);
    }
    Some(cores)
}

/// What a core has done since the machine started, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticks {
    busy: u64,
    idle: u64,
    stolen: u64,
}

impl Ticks {
    /// The line of one core in `/proc/stat`. Guests' time is part of user's and nice's, so it is not added again.
    fn parse(stat: &str, core: usize) -> Option<Self> {
        let name = format!("cpu{core}");
        let line = stat.lines().find(|line| line.split_ascii_whitespace().next() == Some(&name))?;
        let numbers: Option<Vec<u64>> = line.split_ascii_whitespace().skip(1).map(|text| text.parse().ok()).collect();
        let [user, nice, system, idle, iowait, irq, softirq, stolen, ..] = numbers?[..] else { return None };
        Some(Self { busy: user + nice + system + irq + softirq, idle: idle + iowait, stolen })
    }

    fn now(core: usize) -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/stat").ok()?, core)
    }

    /// Shares of the time between two looks: busy and stolen.
    #[allow(clippy::cast_precision_loss, reason = "ticks between two looks are few")]
    fn shares_since(self, earlier: Self) -> Option<(f64, f64)> {
        let busy = self.busy.checked_sub(earlier.busy)?;
        let idle = self.idle.saturating_sub(earlier.idle);
        let stolen = self.stolen.saturating_sub(earlier.stolen);
        let all = busy + idle + stolen;
        (all > 0).then(|| (busy as f64 / all as f64, stolen as f64 / all as f64))
    }
}

/// Looks at a core while something runs.
#[derive(Debug)]
pub struct Watch {
    core: Option<usize>,
    looks: Vec<(Instant, Ticks)>,
}

impl Watch {
    /// Runs it to its end, looking at the core, if there is one to look at.
    pub async fn during<T>(core: Option<usize>, run: impl Future<Output = T>) -> (T, Self) {
        let mut watch = Self { core, looks: Vec::new() };
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        tokio::pin!(run);
        let result = loop {
            tokio::select! {
                result = &mut run => break result,
                _ = ticks.tick() => watch.look(),
            }
        };
        watch.look();
        (result, watch)
    }

    fn look(&mut self) {
        if let Some(ticks) = self.core.and_then(Ticks::now)
            && self.looks.len() < MAX_LOOKS
        {
            self.looks.push((Instant::now(), ticks));
        }
    }

    /// The core during the last `seconds`, in which `operations` were done. Opening and warming up come before.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52 operations")]
    pub fn last(&self, seconds: f64, operations: u64) -> Option<CoreUse> {
        let &(end, last) = self.looks.last()?;
        let from = end.checked_sub(Duration::try_from_secs_f64(seconds).ok()?);
        let first = self.looks.iter().find(|(at, _)| from.is_none_or(|from| *at >= from))?;
        let (busy, stolen) = last.shares_since(first.1)?;
        let busy_us_per_operation = if operations == 0 { 0.0 } else { busy * seconds * 1e6 / operations as f64 };
        Some(CoreUse { busy, busy_us_per_operation, stolen })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 1 2 3 40 5 6 7 8 9 10\ncpu1 100 0 50 1000 20 0 30 4 0 0\n\
                        cpu10 5 5 5 5 5 5 5 5 5 5\nintr 12345\n";

    #[test]
    fn a_core_is_read_from_its_own_line() {
        assert_eq!(Ticks::parse(STAT, 0), Some(Ticks { busy: 19, idle: 45, stolen: 8 }));
        assert_eq!(Ticks::parse(STAT, 1), Some(Ticks { busy: 180, idle: 1020, stolen: 4 }));
        assert_eq!(Ticks::parse(STAT, 10).map(|ticks| ticks.busy), Some(25));
        assert_eq!(Ticks::parse(STAT, 2), None);
        assert_eq!(Ticks::parse("cpu0 1 2 3\n", 0), None);
        assert_eq!(Ticks::parse("cpu0 1 2 3 x 5 6 7 8\n", 0), None);
    }

    #[test]
    fn shares_are_of_the_time_between_two_looks() {
        let earlier = Ticks { busy: 100, idle: 200, stolen: 0 };
        let later = Ticks { busy: 160, idle: 230, stolen: 10 };
        assert_eq!(later.shares_since(earlier), Some((0.6, 0.1)));
        assert_eq!(earlier.shares_since(earlier), None, "no time passed");
        assert_eq!(earlier.shares_since(later), None, "a core that went away and came back starts at 0");
    }

    #[test]
    fn only_the_last_seconds_count() {
        let start = Instant::now();
        let at = |second: u64| start + Duration::from_secs(second);
        let look = |second, busy, idle| (at(second), Ticks { busy, idle, stolen: 0 });
        let watch = Watch { core: Some(1), looks: vec![look(0, 0, 0), look(8, 800, 0), look(10, 900, 100)] };
        let used = watch.last(2.0, 1_000_000).unwrap();
        assert!((used.busy - 0.5).abs() < 1e-9 && (used.busy_us_per_operation - 1.0).abs() < 1e-9, "{used:?}");
        assert_eq!(Watch { core: None, looks: vec![] }.last(2.0, 1), None);
    }

    #[test]
    fn the_proxy_gets_the_second_core() {
        assert_eq!(parse_list("\t0,2-3\n"), Some(BTreeSet::from([0, 2, 3])));
        assert_eq!(parse_list("0-x"), None);
        let cores = |list| Cores::choose(&parse_list(list).unwrap());
        assert_eq!(cores("0-1"), Some(Cores { proxy: 1, others: "0".to_owned() }));
        assert_eq!(cores("0,2-3"), Some(Cores { proxy: 2, others: "0,3".to_owned() }));
        assert_eq!(cores("5"), None);
    }
}
