//! `prometheus_exporters.ini`: a section for each exporter whose figures are
//! fetched and handed on.

use std::path::Path;
use std::time::Duration;

use agent::ini::{DEFAULT_SECTION, Ini};

use super::{Finding, Keys, Reading, Severity, seconds};

/// How often an exporter is asked that has no interval. The original never
/// asks it.
const INTERVAL: Duration = Duration::from_secs(60);

/// A program on this machine that shows its figures to Prometheus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exporter {
    /// The section's name, in lower case.
    pub(crate) name: String,
    /// Whether `method` says `https`. The original asks over HTTP all the same.
    pub(crate) https: bool,
    pub(crate) port: u16,
    pub(crate) path: String,
    pub(crate) interval: Duration,
    /// At most the interval.
    pub(crate) timeout: Duration,
    /// Why it cannot be asked, if that is so.
    pub(crate) problem: Option<String>,
}

pub(super) fn read(ini: &Ini, file: &Path, findings: &mut Vec<Finding>) -> Vec<Exporter> {
    let mut settings = Vec::new();
    let mut reading = Reading {
        file,
        findings,
        settings: &mut settings,
    };
    let mut exporters = Vec::new();
    for section in ini.sections() {
        if section.name == DEFAULT_SECTION {
            continue;
        }
        let mut keys = Keys::new(&section.name, Some(section), Severity::Error, &mut reading);
        let enabled = keys.flag("enabled", false);
        if !enabled {
            keys.tolerate();
        }
        let mut exporter = read_exporter(&section.name, &mut keys);
        exporter.problem = keys.finish();
        if enabled {
            exporters.push(exporter);
        }
    }
    exporters
}

fn read_exporter(name: &str, keys: &mut Keys<'_, '_>) -> Exporter {
    let https = keys.text("method", "http").trim() == "https";
    let path = keys.text("path", "");
    if path.trim().is_empty() {
        keys.refuse("path", format!("exporter {name} has no path"));
    }
    let port = keys.integer("port", 0);
    let port = u16::try_from(port).ok().filter(|port| *port > 0);
    if port.is_none() {
        keys.refuse("port", format!("exporter {name} has no port"));
    }
    let interval = match keys.integer("interval", 0) {
        ..=0 => {
            let text = format!(
                "exporter {name} has no interval: it is asked every {} s",
                INTERVAL.as_secs()
            );
            keys.warn("interval", text);
            INTERVAL
        }
        number => seconds(number),
    };
    let timeout = match keys.integer("timeout", 15) {
        ..=0 => Duration::from_secs(15),
        number => seconds(number),
    };
    if timeout > interval {
        let text = format!(
            "exporter {name}: timeout {} s is longer than the interval, which counts ({} s)",
            timeout.as_secs(),
            interval.as_secs()
        );
        keys.warn("timeout", text);
    }
    Exporter {
        name: name.to_owned(),
        https,
        port: port.unwrap_or(0),
        path,
        interval,
        timeout: timeout.min(interval),
        problem: None,
    }
}
