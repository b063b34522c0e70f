//! What replicas say in `/metrics`, and the times of claims in it.

use std::collections::BTreeMap;

use super::replica::Replica;
use crate::versus::VersusError;

/// 99 of 100 claims are to be answered within this time, in milliseconds. A bound of the proxy's histogram, so that the
/// answer is exact.
pub const P99_MS: f64 = 10.0;

/// The text of `/metrics`.
#[derive(Debug)]
pub(super) struct Metrics(pub(super) String);

impl Metrics {
    /// Values of a family of series, with their labels.
    fn series<'a>(&'a self, family: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.0.lines().filter_map(move |line| {
            let rest = line.strip_prefix(family)?;
            let (labels, value) = rest.rsplit_once(' ')?;
            let is_it = labels.is_empty() || (labels.starts_with('{') && labels.ends_with('}'));
            is_it.then_some((labels, value.parse().ok()?))
        })
    }

    /// The sum over a family.
    pub(super) fn sum(&self, family: &str) -> f64 {
        self.series(family).map(|(_, value)| value).sum()
    }
}

/// How many claims took at most so long, by the histogram's bounds in microseconds, over all replicas and outcomes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Claims(BTreeMap<u64, f64>);

impl Claims {
    pub(super) async fn of(replicas: &[Replica]) -> Result<Self, VersusError> {
        let mut claims = Self::default();
        for replica in replicas {
            claims.add(&replica.metrics().await?);
        }
        Ok(claims)
    }

    fn add(&mut self, metrics: &Metrics) {
        for (labels, count) in metrics.series("roompin_claim_seconds_bucket") {
            let bound = labels.split_once("le=\"").and_then(|(_, rest)| rest.split('"').next()?.parse::<f64>().ok());
            if let Some(seconds) = bound {
                *self.0.entry(micros(seconds)).or_default() += count;
            }
        }
    }

    /// What has been added since.
    pub(super) fn since(&self, before: &Self) -> Self {
        let less = |(bound, count): (&u64, &f64)| (*bound, count - before.0.get(bound).copied().unwrap_or(0.0));
        Self(self.0.iter().map(less).collect())
    }

    pub(super) fn count(&self) -> f64 {
        self.0.last_key_value().map_or(0.0, |(_, count)| *count)
    }

    /// The time that 99 of 100 took at most, between two bounds by proportion, as Prometheus estimates it; that of the last
    /// bound if it is beyond all. `None` without claims.
    pub(super) fn p99_ms(&self) -> Option<f64> {
        let wanted = self.count() * 0.99;
        let (mut low, mut below) = (0, 0.0);
        for (&bound, &count) in self.0.iter().filter(|(bound, _)| **bound < u64::MAX) {
            if count >= wanted && count > below {
                #[expect(clippy::cast_precision_loss, reason = "times of some seconds at most")]
                let (low, width) = (low as f64, (bound - low) as f64);
                return Some((low + width * (wanted - below) / (count - below)) / 1_000.0);
            }
            (low, below) = (bound, count);
        }
        #[expect(clippy::cast_precision_loss, reason = "times of some seconds at most")]
        (self.count() > 0.0).then_some(low as f64 / 1_000.0)
    }
}

/// Infinity is the greatest number.
fn micros(seconds: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "such casts stop at the ends")]
    let micros = (seconds * 1_000_000.0).round() as u64;
    micros
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(text: &str) -> Claims {
        let mut claims = Claims::default();
        claims.add(&Metrics(text.to_owned()));
        claims
    }

    fn histogram(five: u32, ten: u32, all: u32) -> String {
        format!(
            "# TYPE roompin_claim_seconds histogram\n\
             roompin_claim_seconds_bucket{{outcome=\"own\",le=\"0.005\"}} {five}\n\
             roompin_claim_seconds_bucket{{outcome=\"own\",le=\"0.01\"}} {ten}\n\
             roompin_claim_seconds_bucket{{outcome=\"own\",le=\"+Inf\"}} {all}\n\
             roompin_claim_seconds_bucket{{outcome=\"owner\",le=\"0.005\"}} 0\n\
             roompin_claim_seconds_count{{outcome=\"own\"}} {all}\n"
        )
    }

    #[test]
    fn the_percentile_is_within_the_right_bounds() {
        assert_eq!(claims("").p99_ms(), None);
        assert_eq!(claims(&histogram(100, 100, 100)).p99_ms(), Some(4.95));
        assert_eq!(claims(&histogram(98, 100, 100)).p99_ms(), Some(7.5));
        assert_eq!(claims(&histogram(0, 98, 100)).p99_ms(), Some(10.0), "beyond all bounds");
        assert_eq!(claims(&histogram(0, 98, 100)).count(), 100.0);
    }

    #[test]
    fn what_was_before_does_not_count() {
        let since = claims(&histogram(198, 200, 200)).since(&claims(&histogram(100, 100, 100)));
        assert_eq!((since.count(), since.p99_ms()), (100.0, Some(7.5)));
    }

    #[test]
    fn a_family_is_not_one_that_begins_alike() {
        let metrics = Metrics("a_total{x=\"1\"} 2\na_total{x=\"2\"} 3\na_total_more 7\na 5\n".to_owned());
        assert_eq!((metrics.sum("a_total"), metrics.sum("a"), metrics.sum("b")), (5.0, 5.0, 0.0));
    }
}
