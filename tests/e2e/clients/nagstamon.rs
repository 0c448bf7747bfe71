//! Nagstamon, which shows problems on the desktop. It speaks TCP only and takes
//! answers to their end, without a frame.

use std::path::Path;

use harness::{Livestatusd, peer, wait_until};
use serde_json::{Value, json};

use super::{client, driver, report, site};

/// The site, its TCP port, and where Nagstamon lies; `None` where
/// something is not installed.
#[track_caller]
fn start() -> Option<(Livestatusd, u16, std::path::PathBuf)> {
    if !peer::available("python3", "python3") {
        return None;
    }
    let packages = peer::unpacked("nagstamon", "usr/lib/python3/dist-packages/Nagstamon")?;
    let packages = packages.parent()?.to_owned();
    let central = site::start_with(site::TCP);
    let [port] = central.ports();
    Some((central, port, packages))
}

#[track_caller]
fn ask(central: &Livestatusd, packages: &Path, port: u16, what: &str) -> Value {
    let python = client("python3", "nagstamon")
        // Where it keeps its configuration.
        .env("HOME", central.site.directory())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(driver("nagstamon.py"))
        .arg(packages);
    report(python.arg(port.to_string()).arg(what))
}

const SERVICE_STATES: [&str; 4] = ["OK", "WARNING", "CRITICAL", "UNKNOWN"];

fn problem(name: &str, status: &str, output: &str, acknowledged: bool) -> Value {
    json!({
        "name": name,
        "status": status,
        "status_information": output,
        "status_type": "hard",
        "attempt": 1,
        "acknowledged": acknowledged,
        "scheduled_downtime": false,
        "flapping": false,
        "notifications_disabled": false,
        "server": "zentrale",
    })
}

/// What Nagstamon should show: hosts with a problem of their own or of a service.
fn problems(acknowledged: bool) -> Value {
    let mut hosts = serde_json::Map::new();
    for host in site::HOSTS {
        let services: serde_json::Map<_, _> = site::SERVICES
            .iter()
            .filter(|s| s.host == host.name && s.state.unwrap_or(0) != 0)
            .filter(|s| acknowledged || !s.acknowledged)
            .map(|s| {
                let status = SERVICE_STATES[usize::from(s.state.unwrap_or(0))];
                let name = s.description.to_owned();
                (
                    name,
                    problem(s.description, status, s.output, s.acknowledged),
                )
            })
            .collect();
        let down = host.state == Some(1);
        if down || !services.is_empty() {
            let status = if down { "DOWN" } else { "UP" };
            let host_row = problem(host.name, status, host.output, false);
            hosts.insert(
                host.name.to_owned(),
                json!({"host": host_row, "services": services}),
            );
        }
    }
    Value::Object(hosts)
}

#[test]
fn nagstamon_shows_problems() {
    let Some((central, port, packages)) = start() else {
        return;
    };
    let report = ask(&central, &packages, port, "problems");
    assert_eq!(report["everything"], problems(true));
    assert_eq!(report["unacknowledged"], problems(false));
    assert_eq!(report["nothing"], json!([]));
    assert!(
        report["columns"].as_u64() > Some(150),
        "{}",
        report["columns"]
    );
}

#[test]
fn nagstamon_acknowledges() {
    let Some((central, port, packages)) = start() else {
        return;
    };
    site::own_result(&central, "Temperatur");
    ask(&central, &packages, port, "acknowledge");
    wait_until("nothing but the acknowledged service is left out", || {
        let report = ask(&central, &packages, port, "problems");
        report["everything"]["kühlhaus-süd"]["services"]["Temperatur"]["acknowledged"]
            == json!(true)
            && report["unacknowledged"].get("kühlhaus-süd").is_none()
    });
}
