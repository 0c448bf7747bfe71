//! What livedump writes of a real Icinga 2 is read by an unmodified Nagios, and
//! Nagios then knows what Icinga 2 knows.

use std::collections::BTreeMap;

use harness::livestatus::rows;
use harness::nagios::{Block, Name};
use harness::{Icinga2, Nagios, Program, wait_for};
use serde_json::Value;

/// Names of services, what their plugin says, and its code.
const SERVICES: &[(&str, &[u8], u8)] = &[
    (
        "Disk /",
        b"DISK OK - free space: / 9 GiB|/=40%;80;90;0;100 'in odes'=3",
        0,
    ),
    ("Umlaute äöüß", "Kühlraum 9 °C, Öffnung zu".as_bytes(), 1),
    ("Semikolon; in; name", b"a;b;c - one; two|x=1;2;3;;", 2),
    ("Load (1 min)", b"left\\|right | t=1s", 0),
    ("Backslash \\ in name", b"C:\\new\\temp\\", 3),
    ("Backslash at end \\", b"\\", 2),
    ("Quotes ' and \"", b"it's \"quoted\"", 1),
    (
        "Many lines",
        b"first\nsecond \\n line\nC:\\\nwith \"quotes\"|a=1\nb=2",
        0,
    ),
    ("Perf ends", b"fine|'C:\\'=1 D:\\", 0),
    ("Not UTF-8", b"Temperatur \xfc\xff", 2),
    ("Blanks  kept ", b"two  blanks", 0),
    ("Percent %20 $dollar$", b"$USER1$ 100%", 0),
    ("Braces {}", b"} define host {", 0),
    ("#hash", b"# comment", 1),
];

const HOSTS: &[&str] = &["localhost", "db-1", "Küche 2", "back\\slash\\"];

/// What names become where Nagios does not take them.
pub(crate) fn name_at_centre(name: &str) -> String {
    name.trim().replace(['(', ')', '\'', '"', '%', '$'], "_")
}

fn quoted(name: &str) -> String {
    name.replace('\\', "\\\\").replace('"', "\\\"")
}

/// The same objects at a centre that is an Icinga 2, too: nothing is checked
/// there.
pub(crate) fn objects_at_centre() -> String {
    let mut text = String::new();
    for host in HOSTS {
        let name = quoted(&name_at_centre(host));
        text.push_str(&format!(
            "object Host \"{name}\" {{ import \"quiet\", max_check_attempts = 1 }}\n"
        ));
    }
    for (service, ..) in SERVICES {
        let name = quoted(&name_at_centre(service));
        text.push_str(&format!(
            "apply Service \"{name}\" {{ import \"quiet\", max_check_attempts = 3\n\
             assign where true }}\n"
        ));
    }
    text
}

fn objects() -> String {
    let mut text = String::from(
        "object HostGroup \"Räume\" { }\nobject ServiceGroup \"disks\" { }\n\
         object UserGroup \"ops\" { }\nobject User \"alice\" { groups = [ \"ops\" ] }\n",
    );
    for (number, host) in HOSTS.iter().enumerate() {
        text.push_str(&format!(
            "object Host \"{}\" {{ import \"quiet\", enable_active_checks = true, check_interval = 1, retry_interval = 1,\n\
             address = \"10.0.0.{number}\", groups = [ \"Räume\" ], max_check_attempts = 1,\n\
             vars.file = \"@/etc/says/host\", vars.code = {} }}\n",
            quoted(host),
            if number == 1 { 2 } else { 0 },
        ));
    }
    text.push_str("object Host \"pending\" { import \"quiet\" }\n");
    for (number, (service, _, code)) in SERVICES.iter().enumerate() {
        text.push_str(&format!(
            "apply Service \"{}\" {{ import \"quiet\", enable_active_checks = true, check_interval = 1, retry_interval = 1,\n\
             max_check_attempts = 3, groups = [ \"disks\" ], vars.file = \"@/etc/says/{number}\", vars.code = {code}\n\
             assign where host.name != \"pending\" }}\n",
            quoted(service),
        ));
    }
    text + "object Service \"waits\" { import \"quiet\", host_name = \"pending\" }\n\
            object Notification \"n\" { host_name = \"localhost\", users = [ \"alice\" ], command = \"none\" }\n\
            object NotificationCommand \"none\" { command = \"/bin/true\" }\n"
}

pub(crate) fn start_source() -> Option<Icinga2> {
    let names: Vec<_> = (0..SERVICES.len()).map(|n| n.to_string()).collect();
    let mut files = vec![("host", &b"answers|rta=1ms"[..])];
    files.extend(
        names
            .iter()
            .zip(SERVICES)
            .map(|(name, (_, says, _))| (name.as_str(), *says)),
    );
    let icinga = Icinga2::start("remote1", &objects(), &files)?;
    let checked = ["Filter: has_been_checked = 1", "Filter: state_type = 1"];
    icinga.wait_for_rows("hosts", &checked, HOSTS.len());
    icinga.wait_for_rows("services", &checked, HOSTS.len() * SERVICES.len());
    icinga.command(["STOP_EXECUTING_HOST_CHECKS", "STOP_EXECUTING_SVC_CHECKS"]);
    Some(icinga)
}

pub(crate) fn livedump(icinga: &Icinga2, args: &[&str]) -> Vec<u8> {
    let dump = Program::new("livedump")
        .args(["--site", "remote1", "-s"])
        .arg(icinga.live());
    dump.args(args).run().success().stdout
}

/// What Icinga 2 says of all that has been checked, by the names at the centre.
pub(crate) fn source_states(icinga: &Icinga2) -> BTreeMap<Name, [String; 5]> {
    let columns = [
        "state",
        "plugin_output",
        "long_plugin_output",
        "perf_data",
        "last_check",
    ];
    let of = |table: &str, names: &[&str]| {
        let all: Vec<&str> = names.iter().chain(&columns).copied().collect();
        let rows = rows(
            &icinga.live(),
            table,
            &all,
            &["Filter: has_been_checked = 1"],
        );
        rows.into_iter()
            .map(|row| row.iter().map(word).collect::<Vec<_>>())
            .collect::<Vec<_>>()
    };
    let hosts = of("hosts", &["name"]).into_iter().map(|row| {
        let values: [String; 5] = row[1..].to_vec().try_into().unwrap();
        ((name_at_centre(&row[0]), None), values)
    });
    let services = of("services", &["host_name", "description"])
        .into_iter()
        .map(|row| {
            let values: [String; 5] = row[2..].to_vec().try_into().unwrap();
            (
                (name_at_centre(&row[0]), Some(name_at_centre(&row[1]))),
                values,
            )
        });
    hosts.chain(services).collect()
}

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What Nagios makes of an output: it trims it, has colons for semicolons, and
/// words of its own for nothing.
fn as_nagios_shows(output: &str) -> String {
    match output.trim() {
        "" => "(No output returned from plugin)".to_owned(),
        output => output.replace(';', ":"),
    }
}

#[test]
fn nagios_knows_what_icinga_knows() {
    let Some(icinga) = start_source() else { return };
    let Some(mut nagios) = Nagios::new("central") else {
        return;
    };

    // The configuration is taken as it is, twice the same. There is an alice at
    // the centre already.
    let flags = ["-C", "-T", "--define-missing", "--group-prefix", "r1-"];
    let configuration = livedump(&icinga, &flags);
    let again = livedump(&icinga, &flags);
    let body = |dump: &[u8]| {
        String::from_utf8_lossy(dump)
            .split_once('\n')
            .unwrap()
            .1
            .to_owned()
    };
    assert_eq!(body(&configuration), body(&again));
    nagios.configure("remote1.cfg", &configuration);
    nagios.check().success();
    nagios.run();
    assert_eq!(
        nagios.states().len(),
        (HOSTS.len() + 1) + HOSTS.len() * SERVICES.len() + 1
    );

    // Checks that were under way may still come to an end.
    let (dump, source) = wait_for("the source is quiet", || {
        let before = source_states(&icinga);
        let dump = livedump(&icinga, &[]);
        (source_states(&icinga) == before).then_some((dump, before))
    });
    nagios.take(&dump);
    nagios.wait_for_states("all states are there", |states| {
        states
            .values()
            .filter(|state| state["has_been_checked"] == "1")
            .count()
            == source.len()
    });
    assert_same(&source, &nagios.states());

    // What a complete dump says beyond check results is nothing to Nagios.
    nagios.take(&livedump(&icinga, &["--full"]));
    nagios.take(b"host_name=central\nstart_time=1700000000.000000\nreturn_code=0\noutput=read\n\n");
    let states = nagios.states();
    assert_same(&source, &states);
    for name in [("pending", None), ("pending", Some("waits"))] {
        let state = &states[&(name.0.to_owned(), name.1.map(str::to_owned))];
        assert_eq!(state["has_been_checked"], "0", "{name:?}");
    }
    assert!(!nagios.log().contains("Error"), "{}", nagios.log());
}

#[track_caller]
pub(crate) fn assert_same(source: &BTreeMap<Name, [String; 5]>, states: &BTreeMap<Name, Block>) {
    let mut differences = Vec::new();
    for (name, [state, output, long, perf, time]) in source {
        let here = &states[name];
        for (what, there, here) in [
            ("state", state.clone(), &here["current_state"]),
            ("output", as_nagios_shows(output), &here["plugin_output"]),
            // Nagios doubles backslashes in this one, Icinga 2 does not.
            (
                "long output",
                long.replace('\\', "\\\\").replace("\\\\n", "\\n"),
                &here["long_plugin_output"],
            ),
            (
                "perf data",
                perf.trim().to_owned(),
                &here["performance_data"],
            ),
            ("time", time.clone(), &here["last_check"]),
        ] {
            if there != *here {
                differences.push(format!("{name:?} {what}: {there:?} there, {here:?} here"));
            }
        }
    }
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}

#[test]
fn two_sites_with_the_same_hosts_fit_into_one_nagios() {
    let Some(icinga) = start_source() else { return };
    let Some(nagios) = Nagios::new("central") else {
        return;
    };
    for site in ["r1", "r2"] {
        let prefix = format!("{site}-");
        let dump = Program::new("livedump")
            .args(["-C", "-T", "--define-missing", "--site", site])
            .args(["-p", &prefix, "--group-prefix", &prefix, "-s"])
            .arg(icinga.live())
            .run()
            .success();
        nagios.configure(&format!("{site}.cfg"), &dump.stdout);
    }
    nagios.check().success();

    // Without prefixes the core refuses all of it.
    let dump = livedump(&icinga, &["-C", "-T", "--no-groups", "--no-contacts"]);
    nagios.configure("r1.cfg", &dump);
    nagios.check().success();
    nagios.configure("r2.cfg", &dump);
    assert_eq!(nagios.check().code(), Some(1));
}
