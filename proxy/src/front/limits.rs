//! How many connections there may be.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use prometheus::{IntCounter, IntGauge};

/// Counts client connections, those that became tunnels included.
#[derive(Clone, Debug)]
pub(crate) struct Connections {
    counts: Arc<Counts>,
}

#[derive(Debug)]
struct Counts {
    open: AtomicUsize,
    shown_open: IntGauge,
    shown_total: IntCounter,
}

impl Connections {
    /// `shown_open` and `shown_total` follow the counts in `/metrics`.
    pub(crate) fn new(shown_open: IntGauge, shown_total: IntCounter) -> Self {
        Self { counts: Arc::new(Counts { open: AtomicUsize::new(0), shown_open, shown_total }) }
    }

    /// A place for one more connection, unless `max` are taken.
    pub(crate) fn admit(&self, max: usize) -> Option<Slot> {
        let open = self.counts.open.fetch_add(1, Ordering::Relaxed);
        self.counts.shown_open.inc();
        let slot = Slot(Arc::clone(&self.counts));
        if open >= max {
            return None;
        }
        self.counts.shown_total.inc();
        Some(slot)
    }

    /// Connections open now.
    pub(crate) fn open(&self) -> usize {
        self.counts.open.load(Ordering::Relaxed)
    }
}

/// One connection's place; free again when dropped.
#[derive(Debug)]
pub(crate) struct Slot(Arc<Counts>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.shown_open.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_up_to_the_limit_and_down_again() {
        let gauge = IntGauge::new("open", "open").unwrap();
        let connections = Connections::new(gauge.clone(), IntCounter::new("all", "all").unwrap());
        let first = connections.admit(2).unwrap();
        let _second = connections.admit(2).unwrap();
        assert!(connections.admit(2).is_none());
        assert_eq!((connections.open(), gauge.get()), (2, 2));
        drop(first);
        assert!(connections.admit(2).is_some());
        assert_eq!((connections.open(), gauge.get()), (1, 1));
    }
}
