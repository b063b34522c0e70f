//! How much is taken in.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::Instant,
};

use super::Refusal;

/// Reports that are carried out at a time.
const AT_ONCE: usize = 64;
/// Addresses that are remembered; a few dozen bytes each.
const ADDRESSES: usize = 8192;
/// A recorder reports once a minute, and twice around a recording.
const SOURCE: Rate = Rate { burst: 20.0, per_second: 2.0 };
/// What is not in the cache is looked up in the API, a little.
const LOOK_UPS: Rate = Rate { burst: 20.0, per_second: 5.0 };
/// An address that was refused after it was looked up is not looked up again before that.
const REFUSED: Duration = Duration::from_secs(10);

#[derive(Clone, Copy)]
struct Rate {
    burst: f64,
    per_second: f64,
}

/// A bucket that fills with time.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Self {
        Self { left: rate.burst, at: now }
    }

    fn fill(&mut self, rate: Rate, now: Instant) {
        let more = now.saturating_duration_since(self.at).as_secs_f64() * rate.per_second;
        self.left = (self.left + more).min(rate.burst);
        self.at = now;
    }

    fn take(&mut self, rate: Rate, now: Instant) -> bool {
        self.fill(rate, now);
        let some = self.left >= 1.0;
        if some {
            self.left -= 1.0;
        }
        some
    }
}

/// Bounds of everything that strangers can make us do.
pub(super) struct Limits {
    places: Semaphore,
    sources: Mutex<HashMap<IpAddr, Bucket>>,
    look_ups: Mutex<Bucket>,
    refused: Mutex<HashMap<IpAddr, Instant>>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            places: Semaphore::new(AT_ONCE),
            sources: Mutex::default(),
            look_ups: Mutex::new(Bucket::full(LOOK_UPS, Instant::now())),
            refused: Mutex::default(),
        }
    }
}

impl Limits {
    /// One more report from this address.
    pub(super) fn source(&self, peer: IpAddr) -> Result<(), Refusal> {
        let (mut all, now) = (self.sources.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        if all.len() >= ADDRESSES && !all.contains_key(&peer) {
            all.retain(|_, bucket| {
                bucket.fill(SOURCE, now);
                bucket.left < SOURCE.burst
            });
            if all.len() >= ADDRESSES {
                return Err(Refusal::Crowded);
            }
        }
        let bucket = all.entry(peer).or_insert_with(|| Bucket::full(SOURCE, now));
        if bucket.take(SOURCE, now) { Ok(()) } else { Err(Refusal::Rate) }
    }

    /// A place among those that are carried out.
    pub(super) fn place(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        self.places.try_acquire().map_err(|_| Refusal::Crowded)
    }

    /// Whether the API may be asked for the sake of this address.
    pub(super) fn look_up(&self, peer: IpAddr) -> bool {
        let now = Instant::now();
        let recently = |at: &Instant| now.saturating_duration_since(*at) < REFUSED;
        if self.refused.lock().unwrap_or_else(PoisonError::into_inner).get(&peer).is_some_and(recently) {
            return false;
        }
        self.look_ups.lock().unwrap_or_else(PoisonError::into_inner).take(LOOK_UPS, now)
    }

    /// The API was asked for the sake of this address, and it was refused all the same.
    pub(super) fn refuse(&self, peer: IpAddr) {
        let (mut all, now) = (self.refused.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        if all.len() >= ADDRESSES {
            all.retain(|_, at| now.saturating_duration_since(*at) < REFUSED);
        }
        if all.len() < ADDRESSES {
            all.insert(peer, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        std::net::Ipv4Addr::from(0x0a00_0000 + number).into()
    }

    #[tokio::test(start_paused = true)]
    async fn each_address_has_a_rate_of_its_own() {
        let limits = Limits::default();
        let taken = |peer| (0..100).filter(|_| limits.source(peer).is_ok()).count();
        assert_eq!((taken(address(1)), taken(address(2))), (20, 20));
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(taken(address(1)), 6);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(taken(address(1)), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_however_many_addresses_there_are() {
        let limits = Limits::default();
        let taken = (0..20_000).filter(|number| limits.source(address(*number)).is_ok()).count();
        assert_eq!(taken, ADDRESSES);
        (0..20_000).for_each(|number| limits.refuse(address(number)));
        assert_eq!(limits.refused.lock().unwrap().len(), ADDRESSES);
        // Those that were quiet for a while make room.
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(limits.source(address(19_999)), Ok(()));
        assert_eq!(limits.sources.lock().unwrap().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_api_is_asked_a_little() {
        let limits = Limits::default();
        assert_eq!((0..1000).filter(|number| limits.look_up(address(*number))).count(), 20);
        tokio::time::advance(Duration::from_secs(2)).await;
        limits.refuse(address(7));
        assert!(!limits.look_up(address(7)));
        assert!(limits.look_up(address(8)));
        tokio::time::advance(REFUSED).await;
        assert!(limits.look_up(address(7)));
    }
}
