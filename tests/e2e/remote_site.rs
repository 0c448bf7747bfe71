//! A small remote site without a foreign core: a `livestatusd` with a host and
//! services whose results were handed in.

use harness::livestatus::{command, rows};
use harness::{Clock, Livestatusd, wait_until};

/// Names and outputs are odd on purpose.
pub(crate) const SERVICES: &[(&str, u8, &str)] = &[
    ("Disk /", 0, "OK - 40% used|used=40%;80;90;0;100"),
    ("Kühlraum", 1, "WARN - 9 °C"),
    ("CPU load", 2, "CRIT - load 17|load=17;8;16"),
    ("Backslash \\ path", 3, "UNKNOWN - C:\\new\\temp"),
];

/// Starts the site `remote1`, fed and waiting to be asked at `live("remote1")`.
pub(crate) fn start() -> Livestatusd {
    start_by(None)
}

/// The same with a clock of its own.
pub(crate) fn start_by(clock: Option<&Clock>) -> Livestatusd {
    let remote = Livestatusd::start_by(clock, &["remote1"], "allow_unmarked = true");
    let mut services = String::new();
    for (description, ..) in SERVICES {
        let description = description.replace('\\', "\\\\");
        services.push_str(&format!("'{description}': {{'max_check_attempts': 1}}, "));
    }
    let host = format!(
        "shadow_hosts.update({{\n'localhost': {{'address': '127.0.0.1', 'services': {{{services}}}}},\n}})\n"
    );
    remote.configure("remote1", host.as_bytes());
    let live = remote.live("remote1");
    wait_until("the services of remote1 are there", || {
        rows(&live, "services", &["description"], &[]).len() == SERVICES.len()
    });
    let results = SERVICES.iter().map(|(description, state, output)| {
        let output = output.replace('\\', "\\\\");
        format!("PROCESS_SERVICE_CHECK_RESULT;localhost;{description};{state};{output}")
    });
    command(
        &live,
        ["PROCESS_HOST_CHECK_RESULT;localhost;0;up".to_owned()],
    );
    command(&live, results);
    wait_until("all results are in", || {
        rows(
            &live,
            "services",
            &["state"],
            &["Filter: has_been_checked = 1"],
        )
        .len()
            == SERVICES.len()
    });
    remote
}

/// What a socket of a site shows of its services, in order.
pub(crate) fn services(socket: &std::path::Path) -> Vec<(String, u64, String)> {
    let columns = ["description", "state", "plugin_output"];
    let mut services: Vec<_> = rows(socket, "services", &columns, &[])
        .iter()
        .map(|row| {
            (
                row[0].as_str().unwrap_or_default().to_owned(),
                row[1].as_u64().unwrap_or(99),
                row[2].as_str().unwrap_or_default().to_owned(),
            )
        })
        .collect();
    services.sort();
    services
}
