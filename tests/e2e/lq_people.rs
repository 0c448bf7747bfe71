//! What lq shows people of a real Icinga 2, and of the centre that has its dump.

use std::path::Path;

use harness::livestatus::rows;
use harness::program::Outcome;
use harness::{Icinga2, Livestatusd, Program, Site, wait_until};

const OBJECTS: &str = r#"
object Host "db1" { import "quiet", max_check_attempts = 1 }
object Host "new" { import "quiet" }
object Service "Disk" { import "quiet", host_name = "db1", max_check_attempts = 1 }
object Service "Load" { import "quiet", host_name = "db1", max_check_attempts = 1 }
object Service "Waits" { import "quiet", host_name = "db1" }
"#;

fn lq(socket: &Path, arguments: &[&str]) -> Outcome {
    Program::new("lq")
        .arg("-s")
        .arg(socket)
        .args(arguments)
        .env("TZ", "UTC")
        .run()
}

/// The rows of a table as words, without the ages, which go on.
fn shown(socket: &Path, arguments: &[&str]) -> Vec<Vec<String>> {
    let text = lq(socket, arguments).success().text();
    let age = |cell: &&str| !(*cell == "-" || cell.ends_with(" s") || cell.ends_with(" min"));
    text.lines()
        .skip(1)
        .map(|line| {
            let cells = line
                .split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty());
            cells.filter(age).map(str::to_owned).collect()
        })
        .collect()
}

#[test]
fn people_see_the_same_of_icinga_and_at_the_centre() {
    let Some(icinga) = Icinga2::start("kunde1", OBJECTS, &[]) else {
        return;
    };
    icinga.command([
        "PROCESS_HOST_CHECK_RESULT;db1;1;nobody there",
        "PROCESS_SERVICE_CHECK_RESULT;db1;Disk;2;/ is full",
        "PROCESS_SERVICE_CHECK_RESULT;db1;Load;1;load 9",
    ]);
    icinga.wait_for_rows(
        "services",
        &["Filter: state_type = 1", "Filter: has_been_checked = 1"],
        2,
    );
    icinga.command(["ACKNOWLEDGE_SVC_PROBLEM;db1;Load;1;0;1;admin;seen"]);
    icinga.wait_for_rows("services", &["Filter: acknowledged = 1"], 1);
    icinga.wait_for_rows("hosts", &["Filter: has_been_checked = 1"], 1);

    let history = Site::new("history");
    let more = format!("history = \"{}\"", history.directory().display());
    let central = Livestatusd::start_with(&["kunde1"], &more);
    let configuration = Program::new("cmcdump")
        .args(["-C", "--site", "kunde1", "-s"])
        .arg(icinga.live())
        .run()
        .success();
    central.configure("kunde1", &configuration.stdout);
    wait_until("the configuration is in force", || {
        rows(&central.merged(), "hosts", &["name"], &[]).len() == 2
    });
    let carried = Program::bash(&format!(
        "set -o pipefail; cmcdump --site kunde1 -s {} | unixcat {}",
        icinga.live().display(),
        central.ingest("kunde1").display()
    ));
    carried.run().success();

    for (arguments, want) in [
        (
            &["hosts"][..],
            &[&["db1", "DOWN", "nobody there"][..], &["new", "PENDING"]][..],
        ),
        (&["hosts", "--problems", "^new"], &[]),
        (
            &["services", "--problems", "--host", "DB"],
            &[
                &["db1", "Disk", "CRITICAL", "/ is full"],
                &["db1", "Load", "WARNING", "acknowledged", "load 9"],
            ],
        ),
        (&["services", "wait"], &[&["db1", "Waits", "PENDING"]]),
        (
            &[
                "services",
                "disk",
                "--columns",
                "state,host_state,description",
            ],
            &[&["CRITICAL", "DOWN", "Disk"]],
        ),
    ] {
        assert_eq!(shown(&icinga.live(), arguments), want, "{arguments:?}");
        let mut at_centre = shown(&central.merged(), arguments);
        if !arguments.contains(&"--columns") {
            for row in &mut at_centre {
                assert_eq!(row.remove(0), "kunde1");
            }
        }
        assert_eq!(at_centre, want, "{arguments:?} at the centre");
    }

    let stats = ["--nagios", "-c", "0", "GET services", "Stats: state = 2"];
    for socket in [icinga.live(), central.merged()] {
        let want = "CRITICAL: services 1 (range 0) | services=1;;0\n";
        assert_eq!(lq(&socket, &stats).expect(2).text(), want);
        let python = lq(
            &socket,
            &["hosts", "--columns", "name,state", "--format", "python"],
        );
        let mut lines: Vec<_> = python.success().text().lines().map(str::to_owned).collect();
        lines.sort();
        assert!(
            lines.iter().any(|line| line.contains("['db1', 1]")),
            "{lines:?}"
        );
    }
    let log = shown(&central.merged(), &["log", "--host", "^db1$", "disk"]);
    let [line] = &log[..] else { panic!("{log:?}") };
    let want = ["SERVICE ALERT", "db1", "Disk", "CRITICAL", "/ is full"];
    assert_eq!(
        (&*line[0], &line[2..]),
        ("kunde1", &want.map(String::from)[..])
    );
    // Icinga 2 has no sites, and as it is started here no log.
    let refused = lq(&icinga.live(), &["sites"]).expect(1).errors();
    assert!(refused.contains("has no table of sites"), "{refused}");
    let refused = lq(&icinga.live(), &["hosts", "--site", "a"]).expect(1);
    assert!(
        refused.errors().contains("Icinga 2 does not tell sites"),
        "{}",
        refused.errors()
    );
}
