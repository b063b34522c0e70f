//! Carries out what the [`Machine`] decides, and tells the rest of the process.

use std::{future::Future, pin::pin, sync::PoisonError, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    Leadership, State, Timing, Unanswered,
    machine::{Event, Found, Machine, Record, Step, WriteFailure},
};

/// Where the lease is kept. One request each, no retries inside.
pub trait LeaseApi: Send + Sync {
    /// Reads the record, past any cache.
    fn read(&self) -> impl Future<Output = Result<Option<Found>, String>> + Send;

    /// Replaces exactly the version named, or creates the record; the answer is the new version.
    fn write(
        &self,
        record: Record,
        version: Option<String>,
    ) -> impl Future<Output = Result<String, (WriteFailure, String)>> + Send;
}

/// One candidate, to be [`run`](Elector::run) as long as the process lives.
pub struct Elector<A> {
    api: A,
    machine: Machine,
    timing: Timing,
    wall: Box<dyn Fn() -> Timestamp + Send>,
    state: watch::Sender<State>,
    unanswered: Unanswered,
    origin: Instant,
    /// The last trouble logged, so that an outage is one line and not one every two seconds.
    trouble: Option<String>,
}

impl<A: LeaseApi> Elector<A> {
    /// A candidate and the handle that tells whether it leads. `me` must be a name that no other process ever had.
    pub fn new(
        api: A,
        me: String,
        timing: Timing,
        wall: impl Fn() -> Timestamp + Send + 'static,
    ) -> (Self, Leadership) {
        let (state, receiver) = watch::channel(State::Following { holder: None });
        let machine = Machine::new(me, timing);
        let leadership = Leadership::new(receiver);
        let unanswered = leadership.unanswered.clone();
        let (wall, origin) = (Box::new(wall), Instant::now());
        (Self { api, machine, timing, wall, state, unanswered, origin, trouble: None }, leadership)
    }

    /// Takes part until `shutdown`, then lets go of the lease. Whoever writes must have stopped by then.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let mut event = Event::Woke;
        loop {
            let step = self.decide(event);
            let carried_out = self.carry_out(step);
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                next = carried_out => match next {
                    Some(next) => event = next,
                    None => return,
                },
            }
        }
        // A rival may begin as soon as the lease is let go, so what was given up must have had the time to arrive.
        let unanswered = *self.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = unanswered {
            sleep_until(at + self.timing.margin()).await;
        }
        event = Event::Release;
        loop {
            let step = self.decide(event);
            match self.carry_out(step).await {
                Some(next) => event = next,
                None => return,
            }
        }
    }

    fn decide(&mut self, event: Event) -> Step {
        let now: Duration = self.origin.elapsed();
        let leaving = matches!(event, Event::Release);
        let step = self.machine.handle(now, (self.wall)(), event);
        let state = match self.machine.leads_until() {
            Some(until) => State::Leading { until: self.origin + until },
            None => State::Following { holder: self.machine.holder().map(str::to_owned) },
        };
        let was = self.state.send_replace(state.clone());
        match (&was, &state) {
            (State::Following { .. }, State::Leading { .. }) => tracing::info!("this replica leads now"),
            (State::Leading { .. }, State::Following { .. }) if leaving => {
                tracing::info!("this replica lets go of the lease");
            }
            (State::Leading { .. }, State::Following { holder }) => {
                tracing::warn!(holder = holder.as_deref().unwrap_or("nobody"), "this replica does not lead any more");
            }
            (State::Following { holder: was }, State::Following { holder: Some(holder) })
                if was.as_ref() != Some(holder) =>
            {
                if self.machine.is_me(holder) {
                    tracing::info!("the lease is new; this replica leads when no holder of an older one can be left");
                } else {
                    tracing::info!(holder, "another replica leads");
                }
            }
            _ => {}
        }
        step
    }

    /// `None` at the end.
    async fn carry_out(&mut self, step: Step) -> Option<Event> {
        Some(match step {
            Step::Sleep(time) => {
                sleep(time).await;
                Event::Woke
            }
            Step::Read => {
                let answer = timeout(self.timing.request, self.api.read()).await;
                let answer = answer.unwrap_or_else(|_| Err("no answer in time".to_owned()));
                self.note(answer.as_ref().err());
                Event::Read(answer.map_err(|_| ()))
            }
            Step::Write { record, version } => {
                let answer = timeout(self.timing.request, self.api.write(record, version)).await;
                let answer = answer.unwrap_or_else(|_| Err((WriteFailure::Unknown, "no answer in time".to_owned())));
                // Losing a race is no trouble.
                let trouble = answer.as_ref().err().filter(|(failure, _)| *failure == WriteFailure::Unknown);
                self.note(trouble.map(|(_, why)| why));
                Event::Wrote(answer.map_err(|(failure, _)| failure))
            }
            Step::Done => return None,
        })
    }

    fn note(&mut self, trouble: Option<&String>) {
        if trouble != self.trouble.as_ref() {
            match trouble {
                Some(why) => tracing::warn!(error = why, "trouble with the lease"),
                None => tracing::info!("the lease can be reached again"),
            }
            self.trouble = trouble.cloned();
        }
    }
}
