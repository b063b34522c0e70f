//! `process_*` from /proc, under the names that every Prometheus client library uses.
//!
//! Read here rather than through the `process` feature of `prometheus`, which brings procfs and its tree along for
//! six numbers.

use std::{
    fs,
    sync::{Mutex, PoisonError},
};

use prometheus::{
    Counter, Gauge,
    core::{Collector, Desc},
    proto::MetricFamily,
};

/// Ticks per second in /proc/*/stat. The kernel converts to this value for user space whatever its own HZ is; it is
/// 100 on every architecture Rust's Linux targets run on.
const USER_HZ: f64 = 100.0;

/// CPU, memory and descriptors of this process.
pub(super) struct ProcessCollector {
    cpu: Counter,
    resident: Gauge,
    virtual_size: Gauge,
    open_fds: Gauge,
    max_fds: Gauge,
    threads: Gauge,
    start: Gauge,
    /// One scrape at a time: the CPU counter is moved by the difference to its last value.
    scrape: Mutex<()>,
}

impl ProcessCollector {
    pub(super) fn new() -> prometheus::Result<Self> {
        Ok(Self {
            cpu: Counter::new("process_cpu_seconds_total", "CPU time used by the proxy, in user and kernel mode.")?,
            resident: Gauge::new("process_resident_memory_bytes", "Memory of the proxy that is in RAM (RSS).")?,
            virtual_size: Gauge::new("process_virtual_memory_bytes", "Address space of the proxy.")?,
            open_fds: Gauge::new("process_open_fds", "Open file descriptors; each connection is one, a tunnel two.")?,
            max_fds: Gauge::new("process_max_fds", "Limit on open file descriptors (ulimit -n); 0 if there is none.")?,
            threads: Gauge::new("process_threads", "Threads of the proxy.")?,
            start: Gauge::new("process_start_time_seconds", "When the proxy was started, in Unix time.")?,
            scrape: Mutex::new(()),
        })
    }

    fn gauges(&self) -> [&Gauge; 6] {
        [&self.resident, &self.virtual_size, &self.open_fds, &self.max_fds, &self.threads, &self.start]
    }

    fn read(&self) {
        let status = read("status");
        #[allow(clippy::cast_precision_loss, reason = "metrics are floats")]
        let kib = |key| field(&status, key).map_or(0.0, |kib| kib as f64 * 1024.0);
        self.resident.set(kib("VmRSS:"));
        self.virtual_size.set(kib("VmSize:"));
        #[allow(clippy::cast_precision_loss, reason = "metrics are floats")]
        {
            self.threads.set(field(&status, "Threads:").unwrap_or(0) as f64);
            self.max_fds.set(field(&read("limits"), "Max open files").unwrap_or(0) as f64);
            self.open_fds.set(open_fds() as f64);
        }
        let stat = read("stat");
        if let Some(used) = cpu_seconds(&stat) {
            self.cpu.inc_by((used - self.cpu.get()).max(0.0));
        }
        if let Some(start) = start_seconds(&stat, &fs::read_to_string("/proc/stat").unwrap_or_default()) {
            self.start.set(start);
        }
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        let gauges = self.gauges().into_iter().flat_map(Collector::desc);
        self.cpu.desc().into_iter().chain(gauges).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _one = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        self.read();
        let gauges = self.gauges().into_iter().flat_map(Collector::collect);
        self.cpu.collect().into_iter().chain(gauges).collect()
    }
}

fn read(file: &str) -> String {
    fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default()
}

/// The first number after `key` at the start of a line.
fn field(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The fields of /proc/self/stat after the command, which may itself hold spaces and brackets. The first is field 3.
fn stat_fields(stat: &str) -> impl Iterator<Item = &str> {
    stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    // Fields 14 and 15: user and kernel time.
    let mut ticks = stat_fields(stat).skip(11).map(str::parse::<f64>);
    Some((ticks.next()?.ok()? + ticks.next()?.ok()?) / USER_HZ)
}

fn start_seconds(stat: &str, system: &str) -> Option<f64> {
    // Field 22: ticks between boot and start.
    let after_boot: f64 = stat_fields(stat).nth(19)?.parse().ok()?;
    let boot = field(system, "btime")?;
    #[allow(clippy::cast_precision_loss, reason = "Unix seconds fit a double for a while yet")]
    Some(boot as f64 + after_boot / USER_HZ)
}

/// Linux 6.2 and later give the count as the directory's size; before, it has to be counted.
fn open_fds() -> u64 {
    match fs::metadata("/proc/self/fd").map(|dir| dir.len()) {
        Ok(count) if count > 0 => count,
        _ => fs::read_dir("/proc/self/fd").map_or(0, |dir| dir.count() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_brackets_in_the_command() {
        let stat = "7 (a) b) (c) S 1 7 7 0 -1 4194560 1 2 3 4 250 150 0 0 20 0 9 0 5000 1 2";
        assert_eq!(cpu_seconds(stat), Some(4.0));
        assert_eq!(start_seconds(stat, "cpu 1 2\nbtime 1700000000\n"), Some(1_700_000_050.0));
        assert_eq!(cpu_seconds("nonsense"), None);
    }

    #[test]
    fn reads_this_process() {
        let collector = ProcessCollector::new().unwrap();
        let families = collector.collect();
        assert_eq!(families.len(), 7);
        assert!(collector.resident.get() > 1e6, "{}", collector.resident.get());
        assert!(collector.resident.get() < collector.virtual_size.get());
        assert!(collector.threads.get() >= 1.0);
        assert!(collector.start.get() > 1.577e9, "{}", collector.start.get());
        let before = collector.open_fds.get();
        assert!(before >= 3.0, "{before}");
        let files: Vec<_> = (0..50).map(|_| fs::File::open("/proc/self/stat").unwrap()).collect();
        collector.collect();
        let after = collector.open_fds.get();
        // Other tests of this process open files too, hence no exact difference.
        assert!(after >= before + 25.0, "{before} {after}");
        drop(files);
    }
}
