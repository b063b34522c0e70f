//! Waiting for something to become true, under paused and under real time alike.

use std::time::Duration;

/// What a predicate may answer: yes with a value, or not yet with what it saw.
pub trait Answer {
    /// The value that a yes carries.
    type Value;

    /// `Err` holds what was seen instead, for the message of a test that gives up.
    fn settle(self) -> Result<Self::Value, String>;
}

impl Answer for bool {
    type Value = ();

    fn settle(self) -> Result<(), String> {
        if self { Ok(()) } else { Err("it is false".to_owned()) }
    }
}

impl<T> Answer for Option<T> {
    type Value = T;

    fn settle(self) -> Result<T, String> {
        self.ok_or_else(|| "there is nothing".to_owned())
    }
}

impl<T, E: std::fmt::Display> Answer for Result<T, E> {
    type Value = T;

    fn settle(self) -> Result<T, String> {
        self.map_err(|e| e.to_string())
    }
}

/// Asks `predicate` until it says yes.
///
/// # Panics
/// When it has not said yes within `limit`; the message has the last answer.
pub async fn eventually<A, F, Fut>(what: &str, limit: Duration, mut predicate: F) -> A::Value
where
    A: Answer,
    F: FnMut() -> Fut,
    Fut: Future<Output = A>,
{
    let end = tokio::time::Instant::now() + limit;
    let mut pause = Duration::from_millis(20);
    loop {
        let last = match predicate().await.settle() {
            Ok(value) => return value,
            Err(last) => last,
        };
        assert!(tokio::time::Instant::now() < end, "{what}: not within {limit:?}; last: {last}");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(250));
    }
}

/// Asks `predicate` for all of `span` and fails as soon as it says no: for what must not happen.
///
/// # Panics
/// When the predicate says no.
pub async fn holds<A, F, Fut>(what: &str, span: Duration, mut predicate: F)
where
    A: Answer,
    F: FnMut() -> Fut,
    Fut: Future<Output = A>,
{
    let end = tokio::time::Instant::now() + span;
    loop {
        if let Err(seen) = predicate().await.settle() {
            panic!("{what}: {seen}");
        }
        if tokio::time::Instant::now() >= end {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
