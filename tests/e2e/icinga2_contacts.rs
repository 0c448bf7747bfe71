//! Contacts and groups of a real Icinga 2 are the same at the centre, and a
//! contact sees there what is its own at the source. A second centre that is
//! given the dump of the first shows the same again.

use std::path::Path;

use harness::livestatus::rows;
use harness::{Icinga2, Livestatusd, Program, wait_until};
use serde_json::Value;

const OBJECTS: &str = r#"
object NotificationCommand "note" { command = [ "/bin/true" ] }
object TimePeriod "workhours" { ranges = { "monday" = "09:00-17:00" } }
object UserGroup "ops" { display_name = "Operators" }
object UserGroup "idle" { display_name = "Nobody's" }
object User "jö" { email = "joe@example.org", pager = "+49 1; 2", groups = [ "ops" ], period = "workhours" }
object User "eve" { display_name = "Eve \"the second\"" }
object User "guest" { }
object HostGroup "web" { display_name = "Webserver, übrig" }
object HostGroup "none" { display_name = "It's empty \\ nobody" }
object ServiceGroup "disks" { display_name = "Disks" }
object ServiceGroup "void" { }
object Host "db1" { import "quiet" }
object Host "web1" { import "quiet", groups = [ "web" ] }
object Host "web2" { import "quiet", groups = [ "web" ] }
object Service "Disk /" { import "quiet", host_name = "db1", groups = [ "disks" ] }
object Service "Load" { import "quiet", host_name = "db1" }
object Service "HTTP" { import "quiet", host_name = "web1" }
object Service "HTTPS" { import "quiet", host_name = "web2" }
apply Notification "ops" to Host { command = "note", user_groups = [ "ops" ], assign where host.name == "web1" }
apply Notification "ops" to Service { command = "note", user_groups = [ "ops" ], assign where service.name == "Load" }
apply Notification "eve" to Service { command = "note", users = [ "eve" ], assign where host.name == "db1" }
"#;

/// Tables with the columns that a dump carries.
const TABLES: &[(&str, &[&str])] = &[
    (
        "contacts",
        &[
            "name",
            "alias",
            "email",
            "pager",
            "host_notification_period",
        ],
    ),
    ("contactgroups", &["name", "alias", "members"]),
    ("hostgroups", &["name", "alias", "members"]),
    ("servicegroups", &["name", "alias", "members"]),
    ("hosts", &["name", "contacts", "contact_groups", "groups"]),
    (
        "services",
        &[
            "host_name",
            "description",
            "contacts",
            "contact_groups",
            "groups",
        ],
    ),
];

/// Rows and lists in one order; what is `null` to Icinga 2 is empty elsewhere.
fn sorted(socket: &Path, table: &str, columns: &[&str], headers: &[&str]) -> Vec<String> {
    let mut found = rows(socket, table, columns, headers);
    for cell in found.iter_mut().flatten() {
        match cell {
            Value::Null => *cell = Value::from(""),
            Value::Array(list) => list.sort_by_key(Value::to_string),
            _ => {}
        }
    }
    let mut texts: Vec<_> = found
        .into_iter()
        .map(|row| Value::from(row).to_string())
        .collect();
    texts.sort();
    texts
}

#[track_caller]
fn carry(from: &Path, to: &Livestatusd) {
    let dump = Program::new("cmcdump")
        .args(["-C", "--site", "kunde1", "-s"])
        .arg(from)
        .run()
        .success();
    assert_eq!(dump.errors(), "");
    to.configure("kunde1", &dump.stdout);
    wait_until("the configuration is in force", || {
        rows(&to.live("kunde1"), "hosts", &["name"], &[]).len() == 3
    });
}

#[test]
fn contacts_and_groups_are_the_same_at_the_centre() {
    let Some(icinga) = Icinga2::start("kunde1", OBJECTS, &[]) else {
        return;
    };
    let first = Livestatusd::start(&["kunde1"]);
    carry(&icinga.live(), &first);
    let second = Livestatusd::start(&["kunde1"]);
    carry(&first.live("kunde1"), &second);

    for centre in [&first, &second] {
        let live = centre.live("kunde1");
        for (table, columns) in TABLES {
            let there = sorted(&icinga.live(), table, columns, &[]);
            assert_eq!(sorted(&live, table, columns, &[]), there, "{table}");
            assert!(there.len() >= 2, "{there:?}");
        }

        // Icinga 2 knows no AuthUser: what a contact would see are the objects
        // that it is a contact of, and the services of such hosts.
        for (user, hosts, services) in [
            ("jö", 1, 2),
            ("eve", 0, 2),
            ("guest", 0, 0),
            ("mallory", 0, 0),
        ] {
            let user_is = format!("AuthUser: {user}");
            for (table, columns, filters, count) in [
                (
                    "hosts",
                    &["name"][..],
                    vec![format!("Filter: contacts >= {user}")],
                    hosts,
                ),
                (
                    "services",
                    &["host_name", "description"],
                    vec![
                        format!("Filter: contacts >= {user}"),
                        format!("Filter: host_contacts >= {user}"),
                        "Or: 2".to_owned(),
                    ],
                    services,
                ),
            ] {
                let filters: Vec<_> = filters.iter().map(String::as_str).collect();
                let own = sorted(&icinga.live(), table, columns, &filters);
                assert_eq!(own.len(), count, "{user}: {own:?}");
                assert_eq!(sorted(&live, table, columns, &[&user_is]), own, "{user}");
                // Who that is on the merged socket nobody has said.
                assert!(rows(&centre.merged(), table, columns, &[&user_is]).is_empty());
            }
        }
    }
}
