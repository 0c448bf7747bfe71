//! How it goes: what the state file and the metrics tell.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use objects::UnixTime;
use serde_json::{Value, json};

use crate::config::{Mode, State};
use crate::submit;

/// The figures of all hosts, shared.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    hosts: BTreeMap<String, HostFigures>,
    pushes_refused: u64,
}

/// How it goes with one host.
#[derive(Debug, Clone)]
pub(crate) struct HostFigures {
    pub(crate) mode: Mode,
    /// Documents that came and were good.
    pub(crate) documents: u64,
    pub(crate) failures: u64,
    /// Turns that went by because the one before took too long.
    pub(crate) missed: u64,
    pub(crate) last_document: Option<UnixTime>,
    /// Of the last answer.
    pub(crate) seconds: f64,
    pub(crate) services: usize,
    /// No document for too long.
    pub(crate) is_stale: bool,
    pub(crate) error: Option<String>,
    /// Since when a document is waited for; a new configuration does not change it.
    pub(crate) since: Instant,
    /// Until when the agent's certificate is valid.
    pub(crate) certificate_expires: Option<UnixTime>,
}

impl HostFigures {
    fn new(mode: Mode) -> Self {
        Self {
            mode,
            documents: 0,
            failures: 0,
            missed: 0,
            last_document: None,
            seconds: 0.0,
            services: 0,
            is_stale: false,
            error: None,
            since: Instant::now(),
            certificate_expires: None,
        }
    }

    fn word(&self) -> &'static str {
        match (&self.error, self.last_document, self.is_stale) {
            (_, _, true) => "stale",
            (Some(_), ..) => "failing",
            (None, Some(_), _) => "ok",
            (None, None, _) => "waiting",
        }
    }
}

impl Figures {
    /// Only these hosts are there, what is known of others is dropped.
    pub(crate) fn keep<'h>(&self, hosts: impl Iterator<Item = (&'h str, Mode)>) {
        let mut inner = self.inner();
        let mut old = std::mem::take(&mut inner.hosts);
        for (name, mode) in hosts {
            let figures = old.remove(name).unwrap_or_else(|| HostFigures::new(mode));
            inner
                .hosts
                .insert(name.to_owned(), HostFigures { mode, ..figures });
        }
    }

    /// Changes those of one host.
    pub(crate) fn of(&self, host: &str, change: impl FnOnce(&mut HostFigures)) {
        if let Some(figures) = self.inner().hosts.get_mut(host) {
            change(figures);
        }
    }

    /// Since when a document of this host is waited for.
    pub(crate) fn since(&self, host: &str) -> Instant {
        let since = self.inner().hosts.get(host).map(|figures| figures.since);
        since.unwrap_or_else(Instant::now)
    }

    /// How many services the host has.
    pub(crate) fn services(&self, host: &str) -> usize {
        self.inner()
            .hosts
            .get(host)
            .map_or(0, |figures| figures.services)
    }

    /// Somebody pushed who may not.
    pub(crate) fn refused_push(&self) {
        self.inner().pushes_refused += 1;
    }

    /// One line for people.
    pub(crate) fn summary(&self) -> String {
        let inner = self.inner();
        let of = |word| {
            inner
                .hosts
                .values()
                .filter(|host| host.word() == word)
                .count()
        };
        format!(
            "{} hosts: {} ok, {} waiting, {} failing, {} stale",
            inner.hosts.len(),
            of("ok"),
            of("waiting"),
            of("failing"),
            of("stale")
        )
    }

    /// Writes the files that the configuration names.
    pub(crate) fn write(
        &self,
        state: &State,
        started: UnixTime,
        now: UnixTime,
        outputs: &[(String, submit::Figures)],
    ) -> Result<(), String> {
        let store = |file: &std::path::PathBuf, text: String| {
            program::file::replace(file, 0o644, |out| out.write_all(text.as_bytes()))
                .map_err(|error| format!("cannot write {}: {error}", file.display()))
        };
        if let Some(file) = &state.file {
            let value = self.json(started, now, outputs);
            store(file, format!("{value:#}\n"))?;
        }
        if let Some(file) = &state.metrics {
            store(file, self.metrics(started, outputs))?;
        }
        Ok(())
    }

    fn json(
        &self,
        started: UnixTime,
        now: UnixTime,
        outputs: &[(String, submit::Figures)],
    ) -> Value {
        let inner = self.inner();
        let hosts: serde_json::Map<String, Value> = inner
            .hosts
            .iter()
            .map(|(name, host)| {
                let value = json!({
                    "mode": match host.mode { Mode::Pull => "pull", Mode::Push => "push" },
                    "state": host.word(),
                    "documents": host.documents,
                    "failures": host.failures,
                    "missed": host.missed,
                    "last_document": host.last_document.map(UnixTime::secs),
                    "seconds": host.seconds,
                    "services": host.services,
                    "error": host.error,
                    "certificate_expires": host.certificate_expires.map(UnixTime::secs),
                });
                (name.clone(), value)
            })
            .collect();
        let outputs: Vec<Value> = outputs
            .iter()
            .map(|(name, figures)| {
                json!({
                    "output": name,
                    "submitted": figures.submitted,
                    "failures": figures.failures,
                    "waiting": figures.waiting,
                    "error": figures.error,
                })
            })
            .collect();
        json!({
            "program": "agentpoll",
            "version": program::RELEASE,
            "started": started.secs(),
            "updated": now.secs(),
            "pushes_refused": inner.pushes_refused,
            "outputs": outputs,
            "hosts": hosts,
        })
    }

    fn metrics(&self, started: UnixTime, outputs: &[(String, submit::Figures)]) -> String {
        let inner = self.inner();
        let mut page = Page(String::new());
        page.family(
            "agentpoll_start_time_seconds",
            "gauge",
            "When it was started.",
        );
        page.sample("agentpoll_start_time_seconds", &[], started.secs() as f64);
        page.family(
            "agentpoll_hosts",
            "gauge",
            "Hosts by how it goes with them.",
        );
        for word in ["ok", "waiting", "failing", "stale"] {
            let count = inner
                .hosts
                .values()
                .filter(|host| host.word() == word)
                .count();
            page.sample("agentpoll_hosts", &[("state", word)], count as f64);
        }
        let counters: [Counter; 3] = [
            (
                "agentpoll_documents_total",
                "Documents that came.",
                |host| host.documents,
            ),
            (
                "agentpoll_failures_total",
                "Attempts that brought none.",
                |host| host.failures,
            ),
            ("agentpoll_missed_total", "Turns that went by.", |host| {
                host.missed
            }),
        ];
        for (name, help, value) in counters {
            page.family(name, "counter", help);
            for (host, figures) in &inner.hosts {
                page.sample(name, &[("host", host)], value(figures) as f64);
            }
        }
        let name = "agentpoll_last_document_timestamp_seconds";
        page.family(name, "gauge", "When the last document came.");
        for (host, figures) in &inner.hosts {
            if let Some(at) = figures.last_document {
                page.sample(name, &[("host", host)], at.as_secs_f64());
            }
        }
        let name = "agentpoll_answer_seconds";
        page.family(name, "gauge", "How long the last answer took.");
        for (host, figures) in &inner.hosts {
            page.sample(name, &[("host", host)], figures.seconds);
        }
        page.family(
            "agentpoll_pushes_refused_total",
            "counter",
            "Pushes of strangers.",
        );
        page.sample(
            "agentpoll_pushes_refused_total",
            &[],
            inner.pushes_refused as f64,
        );
        page.family(
            "agentpoll_results_total",
            "counter",
            "Results that an output took.",
        );
        for (output, figures) in outputs {
            let labels = [("output", output.as_str())];
            page.sample("agentpoll_results_total", &labels, figures.submitted as f64);
        }
        page.family(
            "agentpoll_output_waiting_hosts",
            "gauge",
            "Hosts whose results wait.",
        );
        for (output, figures) in outputs {
            let labels = [("output", output.as_str())];
            page.sample(
                "agentpoll_output_waiting_hosts",
                &labels,
                figures.waiting as f64,
            );
        }
        page.0
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Name, help, and where it is.
type Counter = (&'static str, &'static str, fn(&HostFigures) -> u64);

/// Metrics as Prometheus reads them.
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let opening = if index == 0 { "{" } else { "," };
            let text = text
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let _ = write!(self.0, "{opening}{label}=\"{text}\"");
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }
}
