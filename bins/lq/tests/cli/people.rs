//! The questions of people: hosts, services, sites, log.

use crate::server::{Server, answer, failed, lq, ok, said};

const NAEMON: &str = "[[\"1.5.2\",\"1.5.1-naemon\"]]\n";
const ICINGA2: &str = "[[\"r2.13.6-1-icinga2\",\"r2.13.6-1\"]]";
const LIVESTATUSD: &str = "[[\"sitewire-livestatusd 0.1.0\",\"1.5.0-sitewire\"]]\n";

fn server(answers: &[&str]) -> Server {
    let answers: Vec<Vec<u8>> = answers.iter().map(|body| answer(body)).collect();
    let answers: Vec<&[u8]> = answers.iter().map(Vec::as_slice).collect();
    Server::start(&answers)
}

const SERVER_ASKED: &str = "GET status\nResponseHeader: fixed16\n\
    Columns: program_version livestatus_version\nOutputFormat: json\n\n";
const HOST_COLUMNS: &str = "name state has_been_checked state_type current_attempt \
    max_check_attempts acknowledged scheduled_downtime_depth is_flapping last_state_change \
    plugin_output";

/// A table without the ages, which go on.
fn without_ages(table: &str) -> String {
    let age = |word: &str| word.ends_with(" h") || word.ends_with(" min");
    let lines = table.lines().map(|line| {
        let cells: Vec<&str> = line
            .split("  ")
            .map(str::trim)
            .filter(|cell| !cell.is_empty() && !age(cell))
            .collect();
        cells.join(" | ") + "\n"
    });
    lines.collect()
}

#[test]
fn hosts_have_states_in_words() {
    let rows = "[[\"web\",0,1,1,1,3,0,0,0,1000,\"PING ok\"],\n\
        [\"db1\",1,1,0,2,3,1,2,0,1000,\"PING; lost\"],\n\
        [\"new\",1,0,0,1,3,0,0,0,0,\"\"],\n\
        [\"far\",2,1,1,1,3,0,0,1,1000,\"\"]]\n";
    let server = server(&[NAEMON, rows]);
    let (status, stdout, stderr) = said(&server.lq(&["hosts"]));
    assert_eq!((status, stderr.as_str()), (0, ""));
    assert_eq!(
        without_ages(&stdout),
        "HOST | STATE | FOR | NOTE | OUTPUT\n\
         db1 | DOWN | soft 2/3, acknowledged, downtime | PING; lost\n\
         far | UNREACHABLE | flapping\n\
         new | PENDING | -\n\
         web | UP | PING ok\n"
    );
    let asked = format!(
        "GET hosts\nResponseHeader: fixed16\nColumns: {HOST_COLUMNS}\nOutputFormat: json\n\n"
    );
    assert_eq!(server.requests(), [SERVER_ASKED, &asked]);
}

#[test]
fn problems_come_worst_first_and_pending_is_none() {
    let rows = "[[\"A\",1,1,1,1,3,false,0,false,1000,\"a\",\"h1\"], \
        [\"B\",3,1,1,1,3,true,0,false,1000,\"b\",\"h1\"], \
        [\"C\",2,1,1,1,3,false,0,false,1000,\"c\",\"h2\"]]";
    let server = server(&[ICINGA2, rows]);
    let (status, stdout, _) = said(&server.lq(&["services", "--problems", "--host", "^h", "CPU"]));
    assert_eq!(status, 0);
    assert_eq!(
        without_ages(&stdout),
        "HOST | SERVICE | STATE | FOR | NOTE | OUTPUT\n\
         h2 | C | CRITICAL | c\n\
         h1 | B | UNKNOWN | acknowledged | b\n\
         h1 | A | WARNING | a\n"
    );
    let request = server.requests().remove(1);
    let filters = "\nFilter: has_been_checked = 1\nFilter: state > 0\n\
        Filter: host_name ~~ ^h\nFilter: description ~~ CPU\nOutputFormat: json\n\n";
    assert!(request.ends_with(filters), "{request}");
    assert!(!request.contains("site"), "{request}");
}

#[test]
fn livestatusd_tells_sites_apart() {
    let rows = "[[\"db1\",0,1,1,1,3,0,0,0,1000,\"ok\",\"remote2\"],\n\
        [\"db1\",1,1,1,1,3,0,0,0,1000,\"lost\",\"remote1\"]]\n";
    let server = server(&[LIVESTATUSD, rows]);
    let (_, stdout, _) = said(&server.lq(&["hosts", "--site", "remote1", "db"]));
    assert_eq!(
        without_ages(&stdout),
        "SITE | HOST | STATE | FOR | NOTE | OUTPUT\n\
         remote1 | db1 | DOWN | lost\n\
         remote2 | db1 | UP | ok\n"
    );
    let request = server.requests().remove(1);
    assert!(request.contains("plugin_output site\n"), "{request}");
    let filters = "\nFilter: name ~~ db\nFilter: site = remote1\nOutputFormat: json\n\n";
    assert!(request.ends_with(filters), "{request}");
}

#[test]
fn a_site_can_be_asked_for_only_where_there_are_some() {
    let server = server(&[NAEMON]);
    assert_eq!(
        said(&server.lq(&["hosts", "--site", "a"])),
        failed(
            1,
            "lq: Naemon does not tell sites apart: --site is for livestatusd\n"
        )
    );
}

#[test]
fn columns_can_be_chosen() {
    let rows = "[[2,\"CPU\",0,1,1],\n[0,\"new\",1795217983,0,1]]\n";
    let server = server(&[rows]);
    let output = server.lq(&[
        "services",
        "--columns",
        "state,description,last_check",
        "--color",
        "always",
    ]);
    assert_eq!(
        said(&output),
        ok(
            "\x1b[1mstate\x1b[0m     \x1b[1mdescription\x1b[0m  \x1b[1mlast_check\x1b[0m\n\
            \x1b[31mCRITICAL\x1b[0m  CPU          never\n\
            \x1b[36mPENDING\x1b[0m   new          2026-11-20 23:39:43 +00:00\n"
        )
    );
    assert_eq!(
        server.requests(),
        ["GET services\nResponseHeader: fixed16\n\
          Columns: state description last_check has_been_checked\nOutputFormat: json\n\n"]
    );
}

#[test]
fn scripts_get_names_and_the_same_columns() {
    let csv = "name;state\nweb;0\n";
    let server = server(&[csv, NAEMON, "[]"]);
    let chosen = ["hosts", "--columns", "name,state", "--format", "csv"];
    assert_eq!(said(&server.lq(&chosen)), ok(csv));
    assert_eq!(
        said(&server.lq(&["--format", "python", "hosts"])),
        ok("[]\n")
    );
    let requests = server.requests();
    assert_eq!(
        requests[0],
        "GET hosts\nResponseHeader: fixed16\nColumns: name state\nOutputFormat: csv\nColumnHeaders: on\n\n"
    );
    assert_eq!(
        requests[2],
        format!(
            "GET hosts\nResponseHeader: fixed16\nColumns: {HOST_COLUMNS}\nOutputFormat: json\nColumnHeaders: on\n\n"
        )
    );
}

#[test]
fn the_log_is_told_from_the_oldest() {
    let rows = "[[1795217984,7,1,\"SERVICE ALERT\",\"db1\",\"CPU\",2,\"load 9\",\"[1] x\"],\n\
        [1795217983,6,1,\"HOST ALERT\",\"db1\",\"\",1,\"lost\",\"[1] y\"],\n\
        [1795217983,5,2,\"\",\"\",\"\",0,\"\",\"[1] started\"]]\n";
    let server = server(&[NAEMON, rows]);
    let output = server.lq(&["log", "--since", "2h", "--host", "db", "CPU"]);
    let (status, stdout, _) = said(&output);
    assert_eq!(status, 0);
    assert_eq!(
        without_ages(&stdout),
        "TIME | TYPE | HOST | SERVICE | STATE | TEXT\n\
         2026-11-20 23:39:43 +00:00 | [1] started\n\
         2026-11-20 23:39:43 +00:00 | HOST ALERT | db1 | DOWN | lost\n\
         2026-11-20 23:39:44 +00:00 | SERVICE ALERT | db1 | CPU | CRITICAL | load 9\n"
    );
    let request = server.requests().remove(1);
    let (_, from) = request.split_once("\nFilter: time >= ").unwrap();
    let (from, rest) = from.split_once('\n').unwrap();
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let ago = now.as_secs() - from.parse::<u64>().unwrap();
    assert!((7200..7300).contains(&ago), "{ago}");
    let filters = "Filter: host_name ~~ db\nFilter: message ~~ CPU\nOutputFormat: json\n\n";
    assert_eq!(rest, filters);
}

#[test]
fn a_table_that_is_not_there_is_said_to_be_missing() {
    let refusal = b"404          28\nTable 'log' does not exist.\n";
    let status = answer(ICINGA2);
    let server = Server::start(&[&status, refusal, b"404           5\nnone\n"]);
    assert_eq!(
        said(&server.lq(&["log"])),
        failed(
            1,
            "lq: the server has no table of log: it says 404: Table 'log' does not exist.\n"
        )
    );
    assert_eq!(
        said(&server.lq(&["sites"])),
        failed(
            1,
            "lq: the server has no table of sites: it says 404: none\n"
        )
    );
}

#[test]
fn what_cannot_be_asked_is_a_wrong_use() {
    let nowhere = std::path::Path::new("/nowhere/live");
    for arguments in [
        &["hosts", "a\nFilter: b"][..],
        &["hosts", " a"],
        &["hosts", ""],
        &["services", "--host", "a\r"],
        &["hosts", "--site", "a\nb"],
        &["hosts", "--columns", "a b"],
        &["hosts", "--columns", "a,,b"],
        &["hosts", "a", "b"],
        &["-f", "x", "hosts"],
        &["log", "--since", "yesterday"],
        &["--watch", "0", "hosts"],
        &["--watch", "1", "COMMAND [1] X"],
        &["-w", "1", "GET hosts"],
    ] {
        let output = lq(nowhere).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}
