//! What the program counts about itself, for `GET status`.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use objects::UnixTime;

/// One event that is counted, with its rate.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    total: AtomicU64,
    at_last_tick: AtomicU64,
    rate: AtomicU64,
}

/// Everything counted.
#[derive(Debug)]
pub(crate) struct Counters {
    /// When the program started or last read its configuration.
    pub(crate) program_start: AtomicU64,
    /// Connections accepted.
    pub(crate) connections: Counter,
    /// Connections open now.
    pub(crate) active_connections: AtomicUsize,
    /// Queries and commands.
    pub(crate) requests: Counter,
    /// Commands that were taken.
    pub(crate) external_commands: Counter,
    /// Commands that were refused.
    pub(crate) refused_commands: Counter,
    /// When the last command came, in Unix seconds.
    pub(crate) last_command_check: AtomicU64,
    /// Passive results and shadow states of hosts.
    pub(crate) host_checks: Counter,
    /// Passive results and shadow states of services.
    pub(crate) service_checks: Counter,
    /// Whether clients are told to treat this program as Naemon.
    pub(crate) as_naemon: bool,
}

/// How often [`Counters::tick`] is to be called.
pub(crate) const TICK: std::time::Duration = std::time::Duration::from_secs(5);

impl Counter {
    /// Counts one.
    pub(crate) fn add(&self) {
        self.total.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were.
    pub(crate) fn total(&self) -> i64 {
        self.total.load(Ordering::Relaxed) as i64
    }

    /// How many a second there were lately.
    pub(crate) fn rate(&self) -> f64 {
        f64::from_bits(self.rate.load(Ordering::Relaxed))
    }

    /// To be called every [`TICK`], for the rate.
    pub(crate) fn tick(&self) {
        let total = self.total.load(Ordering::Relaxed);
        let new = total - self.at_last_tick.swap(total, Ordering::Relaxed);
        let now = new as f64 / TICK.as_secs_f64();
        // A mean that forgets: half of it is younger than three ticks.
        let rate = self.rate() * 0.8 + now * 0.2;
        self.rate.store(rate.to_bits(), Ordering::Relaxed);
    }
}

impl Counters {
    /// All zero.
    pub(crate) fn new(start: UnixTime) -> Self {
        Self {
            program_start: AtomicU64::new(start.secs().max(0) as u64),
            connections: Counter::default(),
            active_connections: AtomicUsize::new(0),
            requests: Counter::default(),
            external_commands: Counter::default(),
            refused_commands: Counter::default(),
            last_command_check: AtomicU64::new(0),
            host_checks: Counter::default(),
            service_checks: Counter::default(),
            as_naemon: false,
        }
    }

    /// Brings the rates up to date.
    pub(crate) fn tick(&self) {
        for counter in [
            &self.connections,
            &self.requests,
            &self.external_commands,
            &self.refused_commands,
            &self.host_checks,
            &self.service_checks,
        ] {
            counter.tick();
        }
    }
}
