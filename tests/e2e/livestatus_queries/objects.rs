//! The same objects in an Icinga 2 and in `livestatusd`.

use std::collections::BTreeSet;
use std::path::Path;

use harness::{Icinga2, Livestatusd, Program, livestatus, wait_until};

/// The site whose states come from a dump.
pub(super) const DUMPED: &str = "dumped";
/// The site that was told the same as Icinga 2, command by command, so that
/// it may have comments and downtimes of its own.
pub(super) const TOLD: &str = "told";

/// Name, and what stands in its definition.
const HOSTS: &[(&str, &str)] = &[
    (
        "localhost",
        "display_name = \"Here\", address = \"127.0.0.1\", groups = [ \"linux\" ], vars.team = \"ops\", vars.TAGS = \"/wan/ prod\", notes = \"first\"",
    ),
    (
        "db-1",
        "address = \"10.0.0.1\", groups = [ \"linux\", \"Räume\" ], vars.team = \"ops\", max_check_attempts = 1",
    ),
    (
        "db-2",
        "address = \"10.0.0.2\", groups = [ \"linux\" ], vars.team = \"dev\", icon_image = \"db.png\"",
    ),
    (
        "switch",
        "address = \"10.0.0.254\", display_name = \"Switch ß\"",
    ),
    (
        "Küche 2",
        "groups = [ \"Räume\" ], vars.SITE = \"berlin-7\", notes = \"second; floor\"",
    ),
    ("back\\\\slash", "check_interval = 1m"),
    ("spare", "address = \"10.0.0.9\""),
];

/// Name, and what stands in its definition. Every service is on every host.
const SERVICES: &[(&str, &str)] = &[
    (
        "Disk /",
        "groups = [ \"disks\" ], vars.path = \"/\", notes = \"root\"",
    ),
    ("CPU load", "check_interval = 1m, retry_interval = 10s"),
    (
        "Memory",
        "vars.team = \"ops\", groups = [ \"disks\", \"web\" ]",
    ),
    (
        "HTTP",
        "groups = [ \"web\" ], display_name = \"Web server\", icon_image = \"web.png\", max_check_attempts = 1",
    ),
    ("Umlaute äöüß", ""),
    ("Quotes ' and \\\"", "max_check_attempts = 5"),
];

const MORE: &str = r#"
object HostGroup "linux" { display_name = "Linux servers" }
object HostGroup "Räume" { }
object ServiceGroup "disks" { display_name = "Disks" }
object ServiceGroup "web" { }
object TimePeriod "always" { ranges = {
  monday = "00:00-24:00", tuesday = "00:00-24:00", wednesday = "00:00-24:00", thursday = "00:00-24:00",
  friday = "00:00-24:00", saturday = "00:00-24:00", sunday = "00:00-24:00" } }
object UserGroup "ops" { }
object UserGroup "dev" { }
object User "anna" { email = "anna.example", pager = "0815", groups = [ "ops" ], period = "always" }
object User "bert" { groups = [ "ops", "dev" ], email = "bert.example", period = "always" }
object NotificationCommand "nobody" { command = [ "/bin/true" ] }
apply Notification "ops" to Host { command = "nobody", user_groups = [ "ops" ], interval = 0, assign where host.vars.team == "ops" }
apply Notification "ops" to Service { command = "nobody", user_groups = [ "ops" ], interval = 0, assign where service.vars.team == "ops" }
apply Notification "bert" to Service { command = "nobody", users = [ "bert" ], interval = 0, assign where service.name == "HTTP" }
object Dependency "up" { parent_host_name = "switch", child_host_name = "db-2" }
"#;

/// What a site of ours has to be told of them beside the dump, in the form in
/// which Checkmk says it.
const CONTACTS: &str = "\
contacts.update({
'anna': {'alias': 'anna', 'email': 'anna.example', 'pager': '0815', 'contactgroups': ['ops'], 'notification_period': 'always'},
'bert': {'alias': 'bert', 'email': 'bert.example', 'pager': '', 'contactgroups': ['ops', 'dev'], 'notification_period': 'always'},
})
define_hostgroups.update({'linux': 'Linux servers'})
define_servicegroups.update({'disks': 'Disks'})
";

/// Both servers, which know the same.
pub(super) struct Servers {
    pub(super) icinga: Icinga2,
    pub(super) central: Livestatusd,
}

/// Starts both with the same objects, none of which has been checked; or
/// `None` where Icinga 2 is not installed.
pub(super) fn start() -> Option<Servers> {
    let icinga = Icinga2::start("source", &definitions(), &[])?;
    let central = Livestatusd::start(&[DUMPED, TOLD]);
    let configuration = Program::new("cmcdump")
        .args(["-C", "--site", DUMPED, "-s"])
        .arg(icinga.live())
        .run()
        .success();
    for site in [DUMPED, TOLD] {
        let contacts = format!("etc/shadow/{site}/contacts.mk");
        central.site.write(contacts, CONTACTS);
        central.configure(site, &configuration.stdout);
    }
    let told = central.live(TOLD);
    wait_until("the configuration is in force", || {
        livestatus::rows(&told, "hosts", &["name"], &[]).len() == HOSTS.len()
    });
    let servers = Servers { icinga, central };
    servers.dump();
    Some(servers)
}

impl Servers {
    /// Has everything checked and remarked upon, in both.
    pub(super) fn check(&self) {
        let results = results();
        let objects: BTreeSet<_> = results.iter().map(|(object, _)| object).collect();
        assert_eq!(objects.len(), HOSTS.len() * (1 + SERVICES.len()));
        let told = self.central.live(TOLD);
        let results = results.iter().map(|(_, command)| command.as_str());
        let commands: Vec<_> = results.chain(REMARKS.iter().copied()).collect();
        self.icinga.command(&commands);
        livestatus::command(&told, &commands);
        remove_announcements(&told);
        for socket in [&self.icinga.live(), &told] {
            for (table, filter, count) in [
                ("hosts", "has_been_checked = 0", 0),
                ("services", "has_been_checked = 0", 0),
                ("hosts", "acknowledged = 1", 1),
                ("services", "acknowledged = 1", 2),
                ("hosts", "scheduled_downtime_depth = 1", 1),
                ("services", "scheduled_downtime_depth = 1", 1),
            ] {
                wait_until(&format!("{count} {table} with {filter}"), || {
                    let filter = format!("Filter: {filter}");
                    livestatus::rows(socket, table, &["state"], &[&filter]).len() == count
                });
            }
        }
        self.dump();
    }

    fn dump(&self) {
        let carried = Program::bash(&format!(
            "set -o pipefail; cmcdump --site {DUMPED} -s {} | unixcat {}",
            self.icinga.live().display(),
            self.central.ingest(DUMPED).display()
        ));
        let remarks = ["comments", "downtimes"]
            .map(|table| livestatus::rows(&self.icinga.live(), table, &["id"], &[]).len());
        let count = HOSTS.len() * (1 + SERVICES.len()) + remarks.iter().sum::<usize>();
        assert_eq!(
            carried.run().success().text(),
            format!("taken {count}, unknown 0, refused 0\n")
        );
    }
}

fn definitions() -> String {
    let mut text = MORE.to_owned();
    for (name, members) in HOSTS {
        text.push_str(&format!(
            "object Host \"{name}\" {{ import \"quiet\"\n{members} }}\n"
        ));
    }
    for (name, members) in SERVICES {
        text.push_str(&format!(
            "apply Service \"{name}\" {{ import \"quiet\"\n{members}\nassign where true }}\n"
        ));
    }
    text
}

/// What the checks said: the object and the command that tells it.
fn results() -> Vec<(String, String)> {
    let plain = |name: &str| name.replace("\\\\", "\\").replace("\\\"", "\"");
    let mut results = Vec::new();
    for (number, (host, _)) in HOSTS.iter().enumerate() {
        let host = plain(host);
        let state = u8::from(number == 1);
        let command = format!(
            "PROCESS_HOST_CHECK_RESULT;{host};{state};PING - round trip {number} ms|rta={number}.5ms;3000;5000;0 pl={number}%"
        );
        results.push((host.clone(), command));
        for (place, (service, _)) in SERVICES.iter().enumerate() {
            let service = plain(service);
            let state = (number + place) % 4;
            let output = match place {
                0 => format!(
                    "DISK {state} - free space: / {number}9 GiB (40%)|/={number}0%;80;90;0;100"
                ),
                1 => format!(
                    "load average: 0.{number}5, 0.{place}2\\nsecond line\\nthird line|load1={number}.25"
                ),
                2 => format!("Öffnung zu, {number} °C 😀"),
                3 => format!("HTTP OK: \"{state}\" \\\\ done | time={number}.125s size={place}B"),
                4 => String::new(),
                _ => format!("it's {state}; and more"),
            };
            let name = format!("{host};{service}");
            // Some of them are hard, some soft.
            for _ in 0..=number % 3 {
                let command = format!("PROCESS_SERVICE_CHECK_RESULT;{name};{state};{output}");
                results.push((name.clone(), command));
            }
        }
    }
    results
}

/// A downtime makes a comment here, as in Nagios and Naemon, and none in
/// Icinga 2: these go, so that the others can be compared.
fn remove_announcements(told: &Path) {
    let filter = ["Filter: entry_type = 2"];
    let rows = livestatus::rows(told, "comments", &["id", "is_service"], &filter);
    let downtimes = REMARKS
        .iter()
        .filter(|command| command.contains("_DOWNTIME;"));
    assert_eq!(rows.len(), downtimes.count());
    for row in rows {
        let kind = if row[1] == 1 { "SVC" } else { "HOST" };
        let command = format!("DEL_{kind}_COMMENT;{}", row[0]);
        livestatus::command(told, [command.as_str()]);
    }
}

/// What people said about the objects.
const REMARKS: &[&str] = &[
    "ACKNOWLEDGE_HOST_PROBLEM;db-1;2;0;1;admin;known",
    "ACKNOWLEDGE_SVC_PROBLEM;localhost;CPU load;1;0;1;admin;seen; really",
    "ACKNOWLEDGE_SVC_PROBLEM;db-2;CPU load;2;0;0;bert;Öl",
    "SCHEDULE_HOST_DOWNTIME;Küche 2;1;2100000000;1;0;60;admin;cleaning",
    "SCHEDULE_SVC_DOWNTIME;db-1;Disk /;1;2100000000;1;0;60;admin;bigger disk",
    "SCHEDULE_SVC_DOWNTIME;db-1;Memory;2100000000;4000000100;0;0;60;bert;later",
    "ADD_HOST_COMMENT;localhost;1;anna;a host",
    "ADD_SVC_COMMENT;switch;HTTP;1;anna;\"two\" words",
    "ADD_SVC_COMMENT;switch;HTTP;0;bert;a second one",
];
