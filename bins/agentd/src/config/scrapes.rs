//! `prometheus_exporters.ini`: a section for each exporter whose figures are
//! fetched and handed on.

use std::path::Path;
use std::time::Duration;

use agent::ini::Ini;

use super::{Finding, Keys, enabled, seconds};

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
    enabled::read(ini, file, findings, read_exporter)
        .into_iter()
        .map(|(exporter, problem)| Exporter {
            problem,
            ..exporter
        })
        .collect()
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
    let timeout = enabled::timeout(&format!("exporter {name}"), interval, keys);
    Exporter {
        name: name.to_owned(),
        https,
        port: port.unwrap_or(0),
        path,
        interval,
        timeout,
        problem: None,
    }
}
