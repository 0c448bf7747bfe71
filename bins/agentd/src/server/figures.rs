//! What the agent counts of itself.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Counted since the start.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(super) connections: AtomicU64,
    pub(super) handshakes_failed: AtomicU64,
    answers: [AtomicU64; 5],
    pub(crate) pushes: AtomicU64,
    pub(crate) pushes_failed: AtomicU64,
    pub(crate) reloads_failed: AtomicU64,
}

impl Figures {
    pub(super) fn answered(&self, status: u16) {
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        self.answers[class].fetch_add(1, Relaxed);
    }

    /// In the form that Prometheus reads.
    pub(super) fn print(&self, text: &mut String) {
        let mut counter = |name: &str, help: &str, values: &[(&str, &AtomicU64)]| {
            let name = format!("sitewire_agentd_{name}_total");
            text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} counter\n"));
            for (labels, value) in values {
                text.push_str(&format!("{name}{labels} {}\n", value.load(Relaxed)));
            }
        };
        let labels = ["1xx", "2xx", "3xx", "4xx", "5xx"].map(|code| format!("{{code=\"{code}\"}}"));
        let answers: Vec<_> = labels
            .iter()
            .map(String::as_str)
            .zip(&self.answers)
            .skip(1)
            .collect();
        counter(
            "http_answers",
            "Answers by the class of their status.",
            &answers,
        );
        for (name, help, value) in [
            (
                "connections",
                "Connections that were accepted.",
                &self.connections,
            ),
            (
                "tls_handshakes_failed",
                "Connections that ended before TLS was agreed on.",
                &self.handshakes_failed,
            ),
            (
                "pushes",
                "Documents that the server has taken.",
                &self.pushes,
            ),
            (
                "pushes_failed",
                "Attempts to push that failed.",
                &self.pushes_failed,
            ),
            (
                "reloads_failed",
                "Configurations that could not be used.",
                &self.reloads_failed,
            ),
        ] {
            counter(name, help, &[("", value)]);
        }
    }
}
