//! A real Icinga 2 is dumped, and the centre shows what that Icinga 2 answers.

use std::collections::BTreeMap;
use std::path::Path;

use harness::livestatus::rows;
use harness::{Icinga2, Livestatusd, Program, wait_for, wait_until};
use serde_json::Value;

/// Names of services, what their plugin says, and its code. Every service is
/// on every host but the one that stays pending.
const SERVICES: &[(&str, &[u8], u8)] = &[
    (
        "Disk /",
        b"DISK OK - free space: / 9 GiB|/=40%;80;90;0;100 'in odes'=3",
        0,
    ),
    ("Umlaute äöüß", "Kühlraum 9 °C, Öffnung zu".as_bytes(), 1),
    ("Semikolon; in; name", b"a;b;c - one; two|x=1;2;3;;", 2),
    ("Pipe", b"left\\|right | t=1s", 0),
    ("Backslash \\ in name", b"C:\\new\\temp\\", 3),
    ("Quotes ' and \"", b"it's \"quoted\"", 1),
    ("Many lines", b"first\nsecond \\n line\nthird|a=1\nb=2", 0),
    ("Not UTF-8", b"Temperatur \xfc\xff", 2),
    ("Nothing said", b"", 0),
    ("Blanks  kept ", b"  two leading blanks", 0),
    ("Percent %20 $dollar$", b"$USER1$ 100%", 0),
];

const HOSTS: &[&str] = &["localhost", "db-1", "Küche 2", "back\\slash"];

const HOST_COLUMNS: &[&str] = &[
    "name",
    "alias",
    "display_name",
    "address",
    "groups",
    "state",
    "state_type",
    "has_been_checked",
    "current_attempt",
    "max_check_attempts",
    "plugin_output",
    "long_plugin_output",
    "perf_data",
    "last_check",
    "last_state_change",
    "last_hard_state_change",
    "execution_time",
    "latency",
    "is_flapping",
    "percent_state_change",
    "acknowledged",
    "acknowledgement_type",
    "scheduled_downtime_depth",
];

/// As for hosts, with two columns for the name and without those that only
/// hosts have.
fn service_columns() -> Vec<&'static str> {
    let hosts_only = ["name", "alias", "address"];
    ["host_name", "description"]
        .into_iter()
        .chain(
            HOST_COLUMNS
                .iter()
                .copied()
                .filter(|name| !hosts_only.contains(name)),
        )
        .collect()
}

/// The objects of a site. Checks run every second until they are stopped.
fn objects(site: &str) -> String {
    let mut text = String::from("object HostGroup \"Räume\" { }\n");
    let quoted = |name: &str| name.replace('\\', "\\\\").replace('"', "\\\"");
    for (number, host) in HOSTS.iter().enumerate() {
        text.push_str(&format!(
            "object Host \"{}\" {{ import \"quiet\", enable_active_checks = true, check_interval = 1, retry_interval = 1,\n\
             display_name = \"{site} {}\", address = \"10.0.0.{number}\", groups = [ \"Räume\" ],\n\
             max_check_attempts = 1, vars.file = \"@/etc/says/host\", vars.code = {} }}\n",
            quoted(host),
            quoted(host),
            if number == 1 { 2 } else { 0 },
        ));
    }
    text.push_str("object Host \"pending\" { import \"quiet\" }\n");
    for (number, (service, _, code)) in SERVICES.iter().enumerate() {
        text.push_str(&format!(
            "apply Service \"{}\" {{ import \"quiet\", enable_active_checks = true, check_interval = 1, retry_interval = 1,\n\
             max_check_attempts = {}, vars.file = \"@/etc/says/{number}\", vars.code = {code}\n\
             assign where host.name != \"pending\" }}\n",
            quoted(service),
            if number == 2 { 50_000 } else { 1 },
        ));
    }
    text.push_str(
        "object Service \"waits\" { import \"quiet\", host_name = \"pending\" }\n\
         object Service \"flaps\" { import \"quiet\", host_name = \"localhost\", enable_flapping = true }\n",
    );
    text
}

fn start(site: &str) -> Option<Icinga2> {
    let host = format!("{site} answers|rta=1ms");
    let names: Vec<_> = (0..SERVICES.len())
        .map(|number| number.to_string())
        .collect();
    let mut files = vec![("host", host.as_bytes())];
    files.extend(
        names
            .iter()
            .zip(SERVICES)
            .map(|(name, (_, says, _))| (name.as_str(), *says)),
    );
    let icinga = Icinga2::start(site, &objects(site), &files)?;

    let checked = ["Filter: has_been_checked = 1"];
    icinga.wait_for_rows("hosts", &checked, HOSTS.len());
    icinga.wait_for_rows("services", &checked, HOSTS.len() * SERVICES.len());
    icinga.command(["STOP_EXECUTING_HOST_CHECKS", "STOP_EXECUTING_SVC_CHECKS"]);
    let flips = (0..30).map(|n| {
        let state = n % 2 * 2;
        format!("PROCESS_SERVICE_CHECK_RESULT;localhost;flaps;{state};flip {n}")
    });
    icinga.command(flips);
    icinga.command([
        "ACKNOWLEDGE_HOST_PROBLEM;db-1;2;0;1;admin;known",
        "ACKNOWLEDGE_SVC_PROBLEM;localhost;Umlaute äöüß;1;0;1;admin;seen",
        "SCHEDULE_HOST_DOWNTIME;Küche 2;1;4000000000;1;0;60;admin;cleaning",
        "SCHEDULE_SVC_DOWNTIME;db-1;Disk /;1;4000000000;1;0;60;admin;bigger disk",
    ]);
    for (table, filter, count) in [
        ("hosts", "acknowledged = 1", 1),
        ("services", "acknowledged = 1", 1),
        ("hosts", "scheduled_downtime_depth = 1", 1),
        ("services", "scheduled_downtime_depth = 1", 1),
        ("services", "is_flapping = 1", 1),
    ] {
        icinga.wait_for_rows(table, &[&format!("Filter: {filter}")], count);
    }
    Some(icinga)
}

/// Rows by name, in a form in which both servers say the same thing the same
/// way: Icinga 2 writes some numbers as `true`, and `null` or -1 for what a
/// pending object does not have.
fn normalised(socket: &Path, table: &str, columns: &[&str]) -> BTreeMap<String, Vec<Value>> {
    let place = |column: &str| columns.iter().position(|name| *name == column);
    let checked = place("has_been_checked").expect("asked for");
    let named = if table == "hosts" { 1 } else { 2 };
    rows(socket, table, columns, &[])
        .into_iter()
        .map(|row| {
            let is_pending = number(&row[checked]) == Some(0.0);
            let values = row
                .iter()
                .zip(columns)
                .map(|(value, column)| match *column {
                    "state" | "state_type" | "current_attempt" if is_pending => Value::from(0),
                    "last_check"
                    | "last_state_change"
                    | "last_hard_state_change"
                    | "latency"
                    | "execution_time"
                    | "percent_state_change" => {
                        let number = number(value).unwrap_or(0.0).max(0.0);
                        Value::from((number * 1e3).round() / 1e3)
                    }
                    "groups" => {
                        let mut names = value.as_array().expect("a list").clone();
                        names.sort_by_key(ToString::to_string);
                        Value::from(names)
                    }
                    _ => match (value, number(value)) {
                        (Value::Null, _) => Value::from(""),
                        (_, Some(number)) => Value::from(number),
                        _ => value.clone(),
                    },
                });
            let key = row[..named]
                .iter()
                .map(Value::to_string)
                .collect::<Vec<_>>();
            (key.join(";"), values.collect())
        })
        .collect()
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Bool(yes) => Some(f64::from(u8::from(*yes))),
        _ => value.as_f64(),
    }
}

type Tables = [BTreeMap<String, Vec<Value>>; 2];

fn tables(socket: &Path) -> Tables {
    [
        normalised(socket, "hosts", HOST_COLUMNS),
        normalised(socket, "services", &service_columns()),
    ]
}

fn carry_configuration(icinga: &Icinga2, site: &str, central: &Livestatusd) {
    let dump = Program::new("cmcdump")
        .args(["-C", "--site", site, "-s"])
        .arg(icinga.live())
        .run()
        .success();
    central.configure(site, &dump.stdout);
    let live = central.live(site);
    wait_until("the configuration is in force", || {
        rows(&live, "hosts", &["name"], &[]).len() == HOSTS.len() + 1
    });
}

/// Dumps the state until the source has not changed in between, and returns
/// what the source answered then.
fn carry_state(icinga: &Icinga2, site: &str, central: &Livestatusd) -> Tables {
    wait_for("the source is quiet", || {
        let before = tables(&icinga.live());
        let carried = Program::bash(&format!(
            "set -o pipefail; cmcdump --site {site} -s {} | unixcat {}",
            icinga.live().display(),
            central.ingest(site).display()
        ))
        .run()
        .success();
        let remarks =
            ["comments", "downtimes"].map(|table| rows(&icinga.live(), table, &["id"], &[]).len());
        let count = before[0].len() + before[1].len() + remarks.iter().sum::<usize>();
        assert_eq!(
            carried.text(),
            format!("taken {count}, unknown 0, refused 0\n")
        );
        (tables(&icinga.live()) == before).then_some(before)
    })
}

#[track_caller]
fn assert_same(source: &Tables, shown: &Tables) {
    let columns = [HOST_COLUMNS.to_vec(), service_columns()];
    let mut differences = Vec::new();
    for ((source, shown), columns) in source.iter().zip(shown).zip(columns) {
        let names: Vec<_> = source.keys().collect();
        assert_eq!(names, shown.keys().collect::<Vec<_>>());
        for (name, values) in source {
            for ((theirs, ours), column) in values.iter().zip(&shown[name]).zip(&columns) {
                if theirs != ours {
                    differences.push(format!("{name} {column}: {theirs} there, {ours} here"));
                }
            }
        }
    }
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}

#[test]
fn centre_shows_what_two_icingas_with_the_same_host_names_answer() {
    let Some(first) = start("kunde1") else { return };
    let Some(second) = start("kunde2") else {
        return;
    };
    let central = Livestatusd::start(&["kunde1", "kunde2"]);
    let mut sources = Vec::new();
    for (icinga, site) in [(&first, "kunde1"), (&second, "kunde2")] {
        carry_configuration(icinga, site, &central);
        sources.push(carry_state(icinga, site, &central));
    }
    for (source, site) in sources.iter().zip(["kunde1", "kunde2"]) {
        assert_same(source, &tables(&central.live(site)));
    }
    // On the merged socket both are there, told apart by their site.
    let columns = ["site", "name", "plugin_output"];
    let filter = ["Filter: name = localhost"];
    let mut both = rows(&central.merged(), "hosts", &columns, &filter);
    both.sort_by_key(|row| row[0].to_string());
    assert_eq!(
        both,
        ["kunde1", "kunde2"].map(|site| {
            [site, "localhost", &format!("{site} answers")]
                .map(Value::from)
                .to_vec()
        })
    );

    // And all of it is still there after a restart, before any new dump.
    let central = central.restart();
    for (source, site) in sources.iter().zip(["kunde1", "kunde2"]) {
        assert_same(source, &tables(&central.live(site)));
    }
}
