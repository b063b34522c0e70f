//! People: they meet, join, leave, and are put on bridges as jicofo does it.

use rand::RngExt;

use super::world::{EVENING, LONGEST, World};

/// A conference. Without octo all of it is on one bridge.
#[derive(Clone, Debug)]
pub(super) struct Meeting {
    pub(super) pod: u64,
    pub(super) size: u32,
    pub(super) end: i64,
}

impl World {
    /// How many meetings begin per second.
    fn rate(&self) -> f64 {
        if self.now >= EVENING {
            return 0.0;
        }
        let hump = |center: i64, width: f64| {
            #[allow(clippy::cast_precision_loss, reason = "seconds of a day")]
            let away = (self.now - center) as f64 / width;
            (-away * away).exp()
        };
        let day = hump(self.noon, 7000.0) + self.second * hump(self.noon + 4 * 3600, 5000.0);
        self.peak * day.clamp(0.02, 1.0)
    }

    pub(super) fn people(&mut self, seconds: i64) {
        #[allow(clippy::cast_precision_loss, reason = "a few seconds")]
        let mut due = self.rate() * seconds as f64;
        while due > 0.0 && self.rng.random_bool(due.min(1.0)) {
            due -= 1.0;
            if let Some(pod) = self.select() {
                let size = self.rng.random_range(2..=14);
                let length = if self.rng.random_range(0..20) == 0 { LONGEST } else { 3000 };
                self.meetings.push(Meeting { pod, size, end: self.now + self.rng.random_range(300..length) });
            }
        }
        let now = self.now;
        self.meetings.retain(|meeting| meeting.end > now);
        // Somebody joins or leaves: also where a bridge drains, for a meeting stays where it is.
        if !self.meetings.is_empty() {
            let place = self.rng.random_range(0..self.meetings.len());
            let joins = self.rng.random_bool(0.5);
            let size = &mut self.meetings[place].size;
            *size = if joins { (*size + 1).min(20) } else { size.saturating_sub(1) };
            self.meetings.retain(|meeting| meeting.size > 0);
        }
        self.settle_people();
    }

    /// Counts people, and finds another bridge for those whose bridge is gone.
    pub(super) fn settle_people(&mut self) {
        for pod in &mut self.pods {
            if let Some(process) = &mut pod.process {
                process.people = 0;
            }
        }
        let mut homeless = Vec::new();
        for (place, meeting) in self.meetings.iter().enumerate() {
            match self.pods.iter_mut().find(|pod| pod.uid == meeting.pod).and_then(|pod| pod.process.as_mut()) {
                Some(process) => process.people += meeting.size,
                None => homeless.push(place),
            }
        }
        for place in homeless.into_iter().rev() {
            match self.select() {
                Some(pod) => {
                    self.meetings[place].pod = pod;
                    let size = self.meetings[place].size;
                    if let Some(process) =
                        self.pods.iter_mut().find(|found| found.uid == pod).and_then(|pod| pod.process.as_mut())
                    {
                        process.people += size;
                    }
                }
                None => drop(self.meetings.swap_remove(place)),
            }
        }
    }

    /// The bridge for a new conference: one that does not drain if there is any, and of those the least loaded. jicofo has heard
    /// of a drain after 5 s.
    pub(super) fn select(&self) -> Option<u64> {
        let now = self.now;
        self.pods
            .iter()
            .filter(|pod| pod.healthy(now))
            .filter_map(|pod| Some((pod.uid, pod.process.as_ref()?)))
            .filter(|(_, process)| !process.graceful)
            .min_by_key(|(_, process)| (process.drain.is_some_and(|then| now - then >= 5), process.people))
            .map(|(uid, _)| uid)
    }

    /// jicofo moves everybody away from a bridge, if there is another.
    pub(super) fn move_away(&mut self, uid: u64) {
        for place in 0..self.meetings.len() {
            if self.meetings[place].pod == uid
                && self.rng.random_bool(0.7)
                && let Some(other) = self.select().filter(|other| *other != uid)
            {
                self.meetings[place].pod = other;
            }
        }
        self.settle_people();
    }
}
