//! Half a day of a group of recorders in each run: people record whenever they like, reports get lost, recorders fall silent or
//! hang, nodes die, the API fails, leaders change, templates change. The leader sees only what it would see, some time late.
//!
//! `ROOMPIN_SEEDS=n` runs so many, `ROOMPIN_SEED=n` one, with its story.

mod world;

use std::time::Duration;

use self::world::{Plan, World};

/// In these runs, nothing that must not happen does.
fn run(seed: u64) -> Result<world::Counts, String> {
    let plan = Plan::of(seed);
    let mut world = World::new(seed, plan);
    let told = std::env::var_os("ROOMPIN_SEED").is_some();
    for _ in 0..plan.steps {
        world.step(true).map_err(|error| format!("seed {seed}, {error}"))?;
        if told {
            println!("{}", world.line());
        }
    }
    // Peace: nobody begins to record, and nothing fails any more. What takes longest is a recording that goes on.
    let peace = Duration::from_secs(3 * 3600).as_secs() / world::STEP;
    for _ in 0..peace {
        world.step(false).map_err(|error| format!("seed {seed}, {error}"))?;
        if told {
            println!("{}", world.line());
        }
    }
    world.settled().map_err(|error| format!("seed {seed}, at the end: {error}"))?;
    Ok(world.counts)
}

#[test]
fn recordings_are_never_cut_and_spares_come_back() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("ROOMPIN_SEED") {
        Some(one) => one..one + 1,
        None => 0..number("ROOMPIN_SEEDS").unwrap_or(10_000),
    };
    let mut sum = world::Counts::default();
    let all = seeds.end - seeds.start;
    let threads = 2.min(all);
    let answers: Vec<Result<world::Counts, String>> = std::thread::scope(|scope| {
        let spawn = |first: u64| {
            let seeds = seeds.clone();
            scope.spawn(move || {
                let step = usize::try_from(threads).unwrap();
                seeds.skip(usize::try_from(first).unwrap()).step_by(step).map(run).collect::<Vec<_>>()
            })
        };
        let threads: Vec<_> = (0..threads).map(spawn).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    for answer in answers {
        sum.add(&answer.unwrap_or_else(|error| panic!("{error}")));
    }
    println!("{all} runs: {sum:?}");
    // The runs are no better than what happens in them.
    if all >= 1000 {
        for (what, number) in sum.all() {
            assert!(number > all / 100, "{what} happened only {number} times");
        }
    }
}
