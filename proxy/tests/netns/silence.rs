//! Two replicas that do not hear each other, or only one of them, while a third hears both.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    clients::Seats,
    country::{Country, in_country, on_air},
    house::until,
};

/// Within which a link over which nothing comes is given up.
const NOTICED: Duration = Duration::from_secs(10);
/// For how long the silence lasts after that; time to dial again and again.
const LONGER: Duration = Duration::from_secs(6);

async fn dials(country: &Country, replica: usize) -> f64 {
    country.town.house(replica).metrics().await.sum("roompin_mesh_handshakes_total", r#"side="dialled""#)
}

/// Between replicas 0 and 1 nothing passes; or only from 0 to 1, when it is `one_way`.
async fn between_two(country: Country, one_way: bool) {
    let seats = Seats::default();
    country.live("before", Duration::from_secs(1), &seats).await;
    let since = Timestamp::now();
    let silence = |silent| {
        country.air.silence(0, on_air(1), silent).unwrap();
        if !one_way {
            country.air.silence(1, on_air(0), silent).unwrap();
        }
    };
    silence(true);
    let noticed = async {
        let both = [0, 1].map(|replica| country.logged(replica, since, &["link ended"]));
        futures_util::future::join_all(both).await
    };
    let (noticed, ()) = tokio::join!(noticed, country.live("silent", NOTICED, &seats));
    for at in noticed {
        let after = Duration::try_from(at.duration_since(since)).unwrap();
        println!("the link was given up after {after:?}");
        assert!(after <= NOTICED, "{after:?}");
    }
    // They go on trying, now and then.
    let before = [dials(&country, 0).await, dials(&country, 1).await];
    country.live("longer", LONGER, &seats).await;
    for (replica, before) in before.into_iter().enumerate() {
        let tried = dials(&country, replica).await - before;
        println!("replica {replica} dialled {tried} times in {LONGER:?}");
        // At most two addresses of the other are known, each is dialled for a second and then left alone for a while.
        assert!((1.0..=2.0 * 2.0 * LONGER.as_secs_f64()).contains(&tried), "{tried}");
        let links = country.town.house(replica).metrics().await.get("roompin_mesh_links");
        assert_eq!(links, Some(1.0), "to the third one");
    }
    silence(false);
    let healed = Timestamp::now();
    until("the link is back", async || country.town.house(0).metrics().await.get("roompin_mesh_links") == Some(2.0))
        .await;
    let back = country.logged(0, healed, &[" linked"]).await.duration_since(healed);
    println!("the link was back after {back:?}");
    assert!(back.as_secs_f64() < 5.0, "{back:?}");
    country.judge(&seats, 0).await;
}

#[test]
fn two_that_do_not_hear_each_other_live_on() {
    in_country(3, "", async |country| between_two(country, false).await);
}

#[test]
fn one_that_is_not_heard_by_another_lives_on() {
    in_country(3, "", async |country| between_two(country, true).await);
}
