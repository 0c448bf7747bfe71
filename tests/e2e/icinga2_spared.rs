//! What our clients ask of a real Icinga 2, and how. Each open connection takes
//! one of its few threads away from the checks.

use harness::{Icinga2, Program, Tap, peer, ports, wait_until};

const OBJECTS: &str = r#"
object UserGroup "ops" { }
object User "joe" { groups = [ "ops" ] }
object HostGroup "web" { }
object ServiceGroup "disks" { }
object Host "db1" { import "quiet", groups = [ "web" ] }
object Service "Disk" { import "quiet", host_name = "db1", groups = [ "disks" ] }
"#;

/// Headers that are not to be sent to Icinga 2, or to nobody.
const UNWANTED: &[&str] = &[
    "KeepAlive",
    "Localtime",
    "AuthUser",
    "Stats",
    "Sort",
    "ColumnHeaders: on",
];

fn icinga() -> Option<Icinga2> {
    let icinga = Icinga2::start("kunde1", OBJECTS, &[])?;
    icinga.command(["PROCESS_SERVICE_CHECK_RESULT;db1;Disk;2;full"]);
    icinga.wait_for_rows("services", &["Filter: has_been_checked = 1"], 1);
    Some(icinga)
}

/// Fails unless every request is one query in the form that all servers read.
#[track_caller]
fn assert_plain(requests: &[String]) {
    for request in requests {
        let lines: Vec<_> = request.lines().collect();
        assert!(lines[0].starts_with("GET "), "{request}");
        assert_eq!(lines[1], "ResponseHeader: fixed16", "{request}");
        assert!(
            request.ends_with("\n\n") && !request.ends_with("\n\n\n"),
            "{request}"
        );
        assert_eq!(request.matches("\n\n").count(), 1, "{request}");
        for header in UNWANTED {
            assert!(!request.contains(&format!("\n{header}")), "{request}");
        }
    }
}

#[test]
fn cmcdump_holds_one_connection_at_most_and_asks_for_no_comments() {
    let Some(icinga) = icinga() else { return };
    for (arguments, tables) in [
        (&[][..], &["status", "hosts", "services"][..]),
        (
            &["-C"],
            &[
                "status",
                "hosts",
                "services",
                "hostgroups",
                "servicegroups",
                "contacts",
                "contactgroups",
            ],
        ),
    ] {
        let tap = Tap::new(&icinga.live());
        let dump = Program::new("cmcdump")
            .args(["--site", "kunde1", "-s"])
            .arg(tap.socket())
            .args(arguments)
            .run()
            .success();
        assert_eq!(dump.errors(), "");
        let requests = tap.requests();
        let asked: Vec<_> = requests
            .iter()
            .map(|request| {
                request
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .replace("GET ", "")
            })
            .collect();
        assert_eq!(asked, tables, "one connection for each, nothing twice");
        assert_plain(&requests);
        for request in &requests {
            let columns = request.lines().find(|line| line.starts_with("Columns: "));
            for column in columns.expect("always given").split(' ') {
                let per_object = [
                    "comments",
                    "downtimes",
                    "_with_info",
                    "_with_state",
                    "services_with",
                ];
                assert!(
                    !per_object.iter().any(|part| column.contains(part)),
                    "{request}"
                );
            }
        }
        assert_eq!((tap.most(), tap.open()), (1, 0), "{arguments:?}");
    }
}

#[test]
fn lq_holds_one_connection_at_most_and_none_between_rounds() {
    let Some(icinga) = icinga() else { return };
    let tap = Tap::new(&icinga.live());
    let lq = |arguments: &[&str]| {
        let outcome = Program::new("lq")
            .arg("-s")
            .arg(tap.socket())
            .args(arguments)
            .run()
            .success();
        assert_eq!(outcome.errors(), "", "{arguments:?}");
        assert_eq!((tap.most(), tap.open()), (1, 0), "{arguments:?}");
    };
    lq(&["hosts"]);
    lq(&["services", "--problems"]);
    lq(&["--format", "table", "GET hosts", "Columns: name state"]);
    lq(&[
        "--format",
        "csv",
        "GET hosts\nColumns: name\n\nGET services\nColumns: description\n",
    ]);
    for request in tap.requests() {
        assert!(!request.contains("KeepAlive"), "{request}");
        assert!(request.contains("\nResponseHeader: fixed16\n"), "{request}");
        assert!(
            request.ends_with("\n\n") && !request.ends_with("\n\n\n"),
            "{request}"
        );
    }

    let before = tap.requests().len();
    let watch = Program::new("lq")
        .arg("-s")
        .arg(tap.socket())
        .args(["hosts", "--watch", "1h"])
        .start();
    // It has asked, and sleeps for an hour without holding anything.
    wait_until("lq has asked and closed", || {
        tap.requests().len() > before && tap.open() == 0
    });
    drop(watch);
    assert_eq!(tap.most(), 1);
}

/// Where the header of an answer comes in a packet of its own, as from Icinga 2,
/// the rest waits for its acknowledgement; so each read asks to send it at once.
#[test]
fn every_read_over_tcp_asks_for_quick_acknowledgement() {
    if !peer::available("strace", "strace") {
        return;
    }
    let port = ports::free();
    let listener = format!(
        "object LivestatusListener \"tcp\" {{ socket_type = \"tcp\", bind_host = \"127.0.0.1\", bind_port = {port} }}\n"
    );
    let Some(_icinga) = Icinga2::start("kunde1", &(listener + OBJECTS), &[]) else {
        return;
    };
    let site = harness::Site::new("tracer");
    for (program, arguments) in [
        ("cmcdump", &["--site", "kunde1", "-C"][..]),
        ("lq", &["GET hosts"]),
    ] {
        let trace = site.path("var").join(program);
        Program::foreign("strace", "strace")
            .args([
                "-f",
                "-y",
                "-e",
                "trace=socket,connect,setsockopt,read,recvfrom,write,sendto,close,shutdown",
                "-o",
            ])
            .arg(&trace)
            .arg(harness::program::built(program))
            .args(["-s", &format!("tcp:127.0.0.1:{port}")])
            .args(arguments)
            .run()
            .success();
        let trace = std::fs::read_to_string(&trace).expect("strace wrote it");
        let mut open = 0;
        let mut sent = 0;
        let mut before = "";
        let mut reads = 0;
        for call in trace
            .lines()
            .filter(|line| line.contains("<TCP:") || line.contains("<socket:"))
        {
            let call = call
                .split_once(' ')
                .map_or(call, |(_, call)| call.trim_start());
            let name = call.split('(').next().unwrap_or_default();
            match name {
                "connect" => {
                    assert_eq!(open, 0, "a second connection: {trace}");
                    (open, sent) = (1, 0);
                }
                "close" => open = 0,
                "write" | "sendto" => {
                    sent += 1;
                    assert_eq!(sent, 1, "a request leaves in one write: {trace}");
                }
                "read" | "recvfrom" => {
                    reads += 1;
                    assert!(before.contains("TCP_QUICKACK, [1]"), "{before}\n{call}");
                }
                _ => {}
            }
            before = call;
        }
        assert!(reads > 0 && open == 0, "{trace}");
    }
}
