//! The figures as Prometheus reads them: its text format, version 0.0.4.

use std::fmt::Write as _;

use objects::UnixTime;
use spool::End;

use crate::figures::{CanaryFigures, LaneFigures, LinkState, Stack};
use crate::state_file::State;

/// What every name begins with.
const PREFIX: &str = "sitewire_notifyd_";

/// All metrics.
pub(crate) fn print(state: &State) -> String {
    let mut out = Page::default();
    let queue = &state.queue;
    out.family("info", "gauge", "Release and site.");
    let labels = [("version", program::RELEASE), ("site", state.site.as_str())];
    out.sample("info", &labels, 1.0);
    out.gauge(
        "start_time_seconds",
        "When notifyd started.",
        secs(state.started),
    );
    out.gauge(
        "configuration_time_seconds",
        "When the configuration was read.",
        secs(state.configuration),
    );
    let totals = &queue.totals;
    out.family(
        "accepted_total",
        "counter",
        "Notifications accepted over the life of the spool, by where they came from.",
    );
    for (from, count) in [("here", totals.submitted), ("peers", totals.received)] {
        out.sample("accepted_total", &[("from", from)], count as f64);
    }
    out.family(
        "ended_total",
        "counter",
        "Notifications that have ended over the life of the spool, by how.",
    );
    for end in End::ALL {
        let word = end.words().replace(' ', "_");
        out.sample("ended_total", &[("end", &word)], totals.ended(end) as f64);
    }
    out.gauge(
        "open",
        "Notifications that have not ended.",
        queue.open as f64,
    );
    out.gauge("held", "Notifications held by hand.", queue.held as f64);
    out.gauge(
        "lost",
        "Notifications whose records a damaged disk has lost.",
        totals.lost(queue.open) as f64,
    );
    out.counter(
        "duplicates_total",
        "Notifications that came again, since the start.",
        queue.duplicates as f64,
    );
    out.stacks(&[
        ("new", queue.new),
        ("deferred", queue.deferred),
        ("corrupted", queue.corrupted),
    ]);
    let lanes = queue.lanes.iter().map(|lane| lane.line.clone());
    out.lines("lane", &lanes.collect::<Vec<_>>());
    out.lanes(&queue.lanes);
    out.lines("forward", &queue.forwards);
    out.peers(state);
    out.canary(&queue.canary);
    out.gauge(
        "disk_error",
        "Whether the disk refuses records or has no space left.",
        f64::from(u8::from(queue.disk_error.is_some())),
    );
    out.gauge(
        "warnings",
        "How many things people should know of.",
        state.warnings.len() as f64,
    );
    if let Some(expires) = state.certificate_expires {
        out.gauge(
            "certificate_expiry_time_seconds",
            "Until when our certificate is valid.",
            secs(expires),
        );
    }
    out.0
}

fn secs(time: UnixTime) -> f64 {
    time.micros() as f64 / 1e6
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(
            self.0,
            "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}"
        );
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let _ = write!(self.0, "{PREFIX}{name}");
        for (at, (label, text)) in labels.iter().enumerate() {
            let begin = if at == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{begin}{label}=\"{}\"", escape(text));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    fn counter(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, "counter", help);
        self.sample(name, &[], value);
    }

    fn stacks(&mut self, stacks: &[(&str, Stack)]) {
        let help = "Notifications that were not tried yet, that wait for another attempt, and files that could not be read.";
        self.family("queue_length", "gauge", help);
        for (name, stack) in stacks {
            self.sample("queue_length", &[("queue", name)], stack.count as f64);
        }
        let help = "Since when the oldest of each waits.";
        self.family("queue_oldest_time_seconds", "gauge", help);
        for (name, stack) in stacks {
            if let Some(oldest) = stack.oldest {
                self.sample(
                    "queue_oldest_time_seconds",
                    &[("queue", name)],
                    secs(oldest),
                );
            }
        }
    }

    fn lines(&mut self, what: &str, lines: &[crate::figures::Line]) {
        let waiting = format!("{what}_waiting");
        self.family(&waiting, "gauge", "Notifications that wait for it.");
        for line in lines {
            self.sample(&waiting, &[(what, &line.name)], line.waiting as f64);
        }
        let processing = format!("{what}_processing");
        self.family(&processing, "gauge", "Notifications that it works on.");
        for line in lines {
            self.sample(&processing, &[(what, &line.name)], line.processing as f64);
        }
    }

    fn lanes(&mut self, lanes: &[LaneFigures]) {
        type Figure = fn(&LaneFigures) -> f64;
        let figures: [(&str, &str, Figure); 4] = [
            (
                "lane_places",
                "How many are delivered at the same time.",
                |lane| lane.places as f64,
            ),
            (
                "lane_collected",
                "Those of the waiting that are to be delivered together.",
                |lane| lane.collected as f64,
            ),
            (
                "lane_breaker_open",
                "Whether the lane does not work and is tried now and then.",
                |lane| f64::from(u8::from(lane.breaker.is_some())),
            ),
            (
                "lane_paused",
                "Whether somebody wants nothing delivered.",
                |lane| f64::from(u8::from(lane.paused.is_some())),
            ),
        ];
        for (name, help, figure) in figures {
            self.family(name, "gauge", help);
            for lane in lanes {
                self.sample(name, &[("lane", &lane.line.name)], figure(lane));
            }
        }
    }

    fn peers(&mut self, state: &State) {
        type Figure = fn(&crate::figures::LinkFigures) -> Option<f64>;
        let figures: [(&str, &str, &str, Figure); 6] = [
            ("peer_up", "gauge", "Whether the link is up.", |link| {
                Some(f64::from(u8::from(link.state == LinkState::Established)))
            }),
            (
                "peer_since_time_seconds",
                "gauge",
                "Since when the link is in its state.",
                |link| Some(secs(link.since)),
            ),
            (
                "peer_sent_total",
                "counter",
                "Notifications that the peer has acknowledged, since the start.",
                |link| Some(link.sent as f64),
            ),
            (
                "peer_received_total",
                "counter",
                "Notifications that the peer has sent, since the start.",
                |link| Some(link.received as f64),
            ),
            (
                "peer_last_heard_time_seconds",
                "gauge",
                "When the peer said something last.",
                |link| (!link.last_incoming.is_never()).then(|| secs(link.last_incoming)),
            ),
            (
                "peer_clock_skew_seconds",
                "gauge",
                "By how much the clock of the peer differs.",
                |link| link.clock_skew_us.map(|us| us as f64 / 1e6),
            ),
        ];
        for (name, kind, help, figure) in figures {
            self.family(name, kind, help);
            for (site, link) in &state.links {
                if let Some(value) = figure(link) {
                    self.sample(name, &[("peer", site.as_str())], value);
                }
            }
        }
        let help = "Whether nothing has been heard of the peer for as long as is configured.";
        self.family("peer_silent", "gauge", help);
        for (site, _) in &state.links {
            let is_silent = state.queue.silent.contains_key(site);
            let value = f64::from(u8::from(is_silent));
            self.sample("peer_silent", &[("peer", site.as_str())], value);
        }
    }

    fn canary(&mut self, canary: &CanaryFigures) {
        for (name, help, count) in [
            (
                "canaries_sent_total",
                "Canaries submitted here, since the start.",
                canary.sent,
            ),
            (
                "canaries_came_through_total",
                "Those of them of which it is known, since the start.",
                canary.came_through,
            ),
            (
                "canaries_arrived_total",
                "Canaries that went no further than here, since the start.",
                canary.arrived,
            ),
        ] {
            self.counter(name, help, count as f64);
        }
        if let Some(at) = canary.last_came_through {
            let help = "When it became known that one has come through.";
            self.gauge("canary_last_time_seconds", help, secs(at));
        }
        if let Some(took) = canary.round_trip {
            let help = "How long the last one took, there and back.";
            self.gauge("canary_round_trip_seconds", help, took.as_secs_f64());
        }
        self.gauge(
            "canary_overdue",
            "Whether none has come through in time.",
            f64::from(u8::from(canary.overdue_since.is_some())),
        );
    }
}

/// What a label's value must escape.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
