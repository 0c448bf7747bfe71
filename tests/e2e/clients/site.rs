//! The site that the clients look at. Its names and outputs hold what has
//! broken clients and servers before.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use harness::livestatus::{command, rows, talk};
use harness::{Livestatusd, wait_until};
use serde_json::{Value, json};

/// A host, and what was found out about it.
pub(super) struct Host {
    pub(super) name: &'static str,
    pub(super) alias: &'static str,
    pub(super) address: &'static str,
    pub(super) group: &'static str,
    pub(super) parent: &'static str,
    pub(super) state: Option<u8>,
    pub(super) output: &'static str,
}

/// A service, and what was found out about it.
pub(super) struct Service {
    pub(super) host: &'static str,
    pub(super) description: &'static str,
    pub(super) state: Option<u8>,
    pub(super) output: &'static str,
    pub(super) perf_data: &'static str,
    pub(super) acknowledged: bool,
}

pub(super) const HOSTS: &[Host] = &[
    Host {
        name: "db1",
        alias: "Datenbank \"eins\"",
        address: "10.1.1.5",
        group: "linux",
        parent: "router",
        state: Some(0),
        output: "UP - rta 0.4 ms",
    },
    Host {
        name: "kühlhaus-süd",
        alias: "Kühlhaus 🧊 Süd",
        address: "2001:db8::5",
        group: "räume",
        parent: "router",
        state: Some(0),
        output: "UP",
    },
    Host {
        name: "router",
        alias: "O'Reilly's router",
        address: "10.1.1.1",
        group: "linux",
        parent: "",
        state: Some(1),
        output: "DOWN - no route; last hop: \"gw\\core\" 💥",
    },
    Host {
        name: "neu",
        alias: "neu",
        address: "10.1.1.9",
        group: "linux",
        parent: "router",
        state: None,
        output: "",
    },
];

pub(super) const SERVICES: &[Service] = &[
    Service {
        host: "db1",
        description: "CPU load",
        state: Some(2),
        output: "CRIT - load 17; was 3",
        perf_data: "load1=17;8;16;0 load5=9;8;16;0",
        acknowledged: true,
    },
    Service {
        host: "db1",
        description: "Disk /",
        state: Some(0),
        output: "OK - 40% used of \"/dev/sda1\"",
        perf_data: "/=40%;80;90;0;100",
        acknowledged: false,
    },
    Service {
        host: "db1",
        description: "Größe \"Tabellen\" 🐘",
        state: Some(1),
        output: "WARN - größte: 'kunden' & <b>12 GB</b> 😀",
        perf_data: "'größte tabelle'=12GB",
        acknowledged: false,
    },
    Service {
        host: "db1",
        description: "Log C:\\new",
        state: Some(3),
        output: "UNKNOWN - C:\\new\\table.log: [1] {2} $3$ #4\ttab",
        perf_data: "",
        acknowledged: false,
    },
    Service {
        host: "kühlhaus-süd",
        description: "Temperatur",
        state: Some(2),
        output: "CRIT - 9 °C",
        perf_data: "temp=9",
        acknowledged: false,
    },
    Service {
        host: "neu",
        description: "Ping",
        state: None,
        output: "",
        perf_data: "",
        acknowledged: false,
    },
];

/// The long output of every service that has been checked: more than any
/// client or server takes in one read.
fn long_output() -> String {
    (0..2000).fold(String::new(), |text, number| {
        text + &format!("Zeile {number}: größer; \"länger\" \\ → {number:>20}\n")
    })
}

/// The same as Livestatus shows it: on one line.
pub(super) fn long_plugin_output() -> String {
    long_output().replace('\\', "\\\\").replace('\n', "\\n")
}

/// How many services have `state`.
pub(super) fn count(state: u8) -> usize {
    let matches = |service: &&Service| service.state == Some(state);
    SERVICES.iter().filter(matches).count()
}

/// The host of this name.
pub(super) fn host(name: &str) -> &'static Host {
    let mut hosts = HOSTS.iter();
    hosts.find(|host| host.name == name).expect("a host")
}

/// The hosts in the order in which a core lists them.
pub(super) fn sorted_hosts() -> impl Iterator<Item = &'static Host> {
    let mut hosts: Vec<_> = HOSTS.iter().collect();
    hosts.sort_by_key(|host| host.name);
    hosts.into_iter()
}

/// For each service its state and output by `HOST/DESCRIPTION`.
pub(super) fn states(filter: impl Fn(&Service) -> bool) -> BTreeMap<String, (Value, Value)> {
    SERVICES
        .iter()
        .filter(|service| filter(service))
        .map(|service| {
            let name = format!("{}/{}", service.host, service.description);
            let state = json!(service.state.unwrap_or(0));
            (name, (state, json!(service.output)))
        })
        .collect()
}

/// Starts it. All that the clients must see is there when this returns.
pub(super) fn start() -> Livestatusd {
    start_with("")
}

/// The same, with listeners on the network.
pub(super) fn start_with(listeners: &str) -> Livestatusd {
    let settings = format!("allow_unmarked = true\n{listeners}");
    let central = Livestatusd::start_with(&["remote1"], &settings);
    central.configure("remote1", configuration().as_bytes());
    let live = central.live("remote1");
    wait_until("all services are there", || {
        rows(&live, "services", &["description"], &[]).len() == SERVICES.len()
    });
    let answer = talk(&central.ingest("remote1"), dump().as_bytes()).expect("a socket");
    let checked = dump().matches("COMMAND").count();
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.contains(&format!("taken {checked}, unknown 0, refused 0")),
        "{answer}"
    );
    central
}

/// A listener on a TCP port of this machine.
pub(super) const TCP: &str = "[[listen]]\naddress = \"tcp:127.0.0.1:0\"\n";

/// A passive result makes a service of `kühlhaus-süd` the centre's own, so that
/// it takes comments and downtimes.
pub(super) fn own_result(central: &Livestatusd, description: &str) {
    let live = central.live("remote1");
    command(
        &live,
        [format!(
            "PROCESS_SERVICE_CHECK_RESULT;kühlhaus-süd;{description};2;CRIT - 10 °C"
        )],
    );
    wait_until("the result is in", || {
        let filter = "Filter: plugin_output = CRIT - 10 °C";
        rows(&live, "services", &["description"], &[filter]).len() == 1
    });
}

/// A downtime of the same service, from now on.
pub(super) fn own_downtime(central: &Livestatusd, description: &str) {
    let (start, end) = (now() - 10, now() + 3600);
    command(
        &central.live("remote1"),
        [format!(
            "SCHEDULE_SVC_DOWNTIME;kühlhaus-süd;{description};{start};{end};1;0;3600;müller;Umbau; \"Ost\" 🚧"
        )],
    );
}

/// Now, in seconds.
pub(super) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("after 1970").as_secs()
}

fn configuration() -> String {
    let mut text = "shadow_hosts.update({\n".to_owned();
    for host in HOSTS {
        text += &format!(
            "{}: {{'address': {}, 'alias': {}, 'check_command': 'check-mk-host-ping', 'groups': [{}], \
             'notes': 'Raum 7, \"Ost\"', 'custom_variables': {{'LAT': '48.1', 'LONG': '11.5'}}, \
             'contacts': [{}], 'max_check_attempts': 3, 'parents': [{}], \
             'services': {{",
            python(host.name),
            python(host.address),
            python(host.alias),
            python(host.group),
            // Nobody cares for the new one yet.
            host.state.map_or("", |_| "'müller'"),
            Some(host.parent)
                .filter(|parent| !parent.is_empty())
                .map_or(String::new(), python),
        );
        for service in SERVICES.iter().filter(|s| s.host == host.name) {
            text += &format!(
                "{}: {{'check_command': 'check_mk-x', 'groups': ['alle dienste'], 'max_check_attempts': 1}}, ",
                python(service.description)
            );
        }
        text += "}},\n";
    }
    text + "})\n"
}

fn python(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A dump without marks; times are of just now, so that nothing is stale.
fn dump() -> String {
    let now = now();
    let long = long_plugin_output().replace(';', "\\s");
    let mut text = String::new();
    for host in HOSTS {
        if let Some(state) = host.state {
            text += &format!(
                "COMMAND [{now}] UPDATE_SHADOW_HOST_STATE;{};1;{state};1;1;{now};{};{};0.1;0.2;0;0;0;0;0;0;{};;rta=0.4ms\n\n",
                host.name,
                now - 3600,
                now - 3600,
                escaped(host.output),
            );
        }
    }
    for service in SERVICES {
        if let Some(state) = service.state {
            let acknowledged = u8::from(service.acknowledged);
            text += &format!(
                "COMMAND [{now}] UPDATE_SHADOW_SERVICE_STATE;{};{};1;{state};1;1;{now};{};{};0.1;0.2;0;0;{acknowledged};{acknowledged};0;0;{};{long};{}\n\n",
                service.host,
                escaped(service.description),
                now - 600,
                now - 600,
                escaped(service.output),
                escaped(service.perf_data),
            );
        }
    }
    text
}

fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    text.replace(';', "\\s")
}
