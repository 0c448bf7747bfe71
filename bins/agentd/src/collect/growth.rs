//! Counters that only grow, and how fast they do.

use std::collections::BTreeMap;
use std::time::Instant;

/// What was counted the last time, by name.
pub(super) struct Growth<C> {
    before: BTreeMap<String, C>,
    read_at: Instant,
}

impl<C> Growth<C> {
    pub(super) fn new() -> Self {
        Self {
            before: BTreeMap::new(),
            read_at: Instant::now(),
        }
    }

    /// What `rated` makes of each name, its counters now and the last time, and
    /// the seconds between. What has just come is its own last time: it has no
    /// rates yet.
    pub(super) fn measure<T>(
        &mut self,
        now: BTreeMap<String, C>,
        rated: impl Fn(&str, &C, &C, f64) -> T,
    ) -> BTreeMap<String, T> {
        let secs = self.read_at.elapsed().as_secs_f64();
        self.read_at = Instant::now();
        let of = |(name, counters): (&String, &C)| {
            let then = self.before.get(name).unwrap_or(counters);
            (name.clone(), rated(name, counters, then, secs))
        };
        let measured = now.iter().map(of).collect();
        self.before = now;
        measured
    }
}
