//! Bad weather: packets are lost and late, and nobody is dead.

use std::time::Duration;

use loadtest::netns::air::Weather;

use crate::{
    clients::Seats,
    country::{Country, in_country},
};

/// A bad line between two sites.
const BAD: Weather = Weather { loss: 0.05, delay: Duration::from_millis(20), jitter: Duration::from_millis(10) };

/// `ROOMPIN_WEATHER=60` makes it as long as one wants.
fn long() -> Duration {
    let seconds = std::env::var("ROOMPIN_WEATHER").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(15))
}

/// How many decisions were taken by one replica alone.
async fn lives_through(country: Country, may_split: impl Fn(usize) -> usize) -> f64 {
    for station in 0..3 {
        country.air.set(station, BAD).unwrap();
    }
    println!("{BAD}");
    let seats = Seats::default();
    country.live("room", long(), &seats).await;
    if let Some(counts) = country.air.counts() {
        assert!(counts.lost * 100 > counts.sent * 3, "the weather was bad: {counts:?}");
    }
    assert!(seats.rooms() > 100, "{}", seats.rooms());
    country.judge(&seats, may_split(seats.rooms())).await;
    let alone = country.town.sum("roompin_claims_unconfirmed_total", "").await;
    alone / seats.rooms() as f64
}

/// A round trip takes 40 ms and a lost packet 200 ms more; that is longer than a replica waits by default, so nearly
/// every decision is one replica's alone, and here and there two of them differ. Nobody is thought dead for it.
#[test]
fn bad_weather_kills_nobody_and_splits_hardly_any_room() {
    in_country(3, "", async |country| {
        let alone = lives_through(country, |rooms| rooms / 100).await;
        println!("{alone:.2} unconfirmed decisions a room");
    });
}

/// Who is far apart says so, and then decisions are confirmed in spite of the distance.
#[test]
fn with_a_longer_claim_timeout_bad_weather_delays_claims_and_no_more() {
    in_country(3, "claim_timeout: 1200ms, ", async |country| {
        let alone = lives_through(country, |_| 0).await;
        println!("{alone:.2} unconfirmed decisions a room");
        assert!(alone < 0.25, "{alone}");
    });
}
