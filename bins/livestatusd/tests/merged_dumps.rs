//! Dumps on the merged socket, for those whose sites all belong to one owner;
//! and forgetting what a site sent.

mod support;

use std::io::Write;
use std::net::Shutdown;

use bstr::ByteSlice;
use objects::DumpBegin;
use support::{Daemon, Line, begin, dump, framed, host, read_to_end};

const STATES: [Line<'_>; 2] = [("h", None, 1, "down"), ("h", Some("cpu"), 2, "bad")];
const TAKEN: &str = "taken 2, unknown 0, refused 0\n";

/// Two sites with the same objects.
fn daemon(settings: &str) -> Daemon {
    let mut daemon = Daemon::new(&[]);
    daemon.settings(settings);
    daemon.configure("a", &[("h", host(&["cpu"]))]);
    daemon.configure("b", &[("h", host(&["cpu"]))]);
    daemon.start();
    daemon
}

fn states(daemon: &Daemon) -> String {
    daemon.cell("live", "GET services\nColumns: site state\n")
}

#[test]
fn the_frame_says_the_site_if_that_is_allowed() {
    let daemon = daemon("dumps_on_merged = true");
    assert_eq!(daemon.text("live", dump(&begin("b", 1), &STATES)), TAKEN);
    assert_eq!(states(&daemon), "a;0\nb;2");
    // Several dumps may come one after the other.
    let both = [dump(&begin("a", 1), &STATES), dump(&begin("b", 2), &[])].concat();
    let answer = daemon.text("live", both);
    assert_eq!(answer, format!("{TAKEN}taken 0, unknown 0, refused 0\n"));
    assert_eq!(states(&daemon), "a;2\nb;2");
    assert_eq!(daemon.site("b", "state_missing claimed_site"), "2;b");
    // Queries and commands go on as ever, however they come.
    assert_eq!(
        daemon.text("live", "GET hosts\nColumns: site\n\n"),
        "a\nb\n"
    );
    let query = b"COMMAND [1] LOG;x\n\nGET hosts\nColumns: site\n\n";
    let mut stream = daemon.connect("live");
    for byte in query {
        stream.write_all(&[*byte]).unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut stream), "a\nb\n");
    assert_eq!(daemon.text("live", "COMM"), "");
    assert_eq!(daemon.text("live", ""), "");
    // A site's own sockets are what they were.
    let answer = daemon.text("live.d/b", dump(&begin("b", 3), &STATES));
    assert!(answer.starts_with("400: "), "{answer}");
    let answer = daemon.text("ingest.d/a", dump(&begin("b", 3), &STATES));
    assert_eq!(answer, TAKEN);
    assert_eq!(daemon.site("a", "claimed_site"), "b");
}

#[test]
fn a_dump_may_come_byte_by_byte() {
    let daemon = daemon("dumps_on_merged = true");
    let mut stream = daemon.connect("live");
    for byte in dump(&begin("b", 1), &STATES) {
        stream.write_all(&[byte]).unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut stream), TAKEN);
}

#[test]
fn a_dump_of_a_site_that_is_not_configured_is_refused_and_counted() {
    let daemon = daemon("dumps_on_merged = true\nallow_unmarked = true");
    let refused = "refused: site c is not configured here\n";
    assert_eq!(daemon.text("live", dump(&begin("c", 1), &STATES)), refused);
    daemon.wait_for_log("refused a dump on the merged socket: site c is not configured here");
    assert!(!support::exists(&daemon.path("live.d/c")));
    let refusals = "GET status\nColumns: refused_commands\n";
    assert_eq!(daemon.cell("live", refusals), "1");
    let second = [dump(&begin("a", 1), &[]), dump(&begin("c", 1), &STATES)].concat();
    let answer = daemon.text("live", second);
    assert_eq!(answer, format!("taken 0, unknown 0, refused 0\n{refused}"));
    // Without a mark nobody knows whose it is, whatever else is allowed.
    let marked = dump(&begin("a", 2), &STATES);
    let begins = marked.windows(2).position(|two| two == b"\n\n").unwrap() + 2;
    let answer = daemon.text("live", &marked[begins..]);
    assert!(
        answer.starts_with("400: SITEWIRE_END is not taken here"),
        "{answer}"
    );
    let answer = daemon.text("live", [&marked[..], &marked[begins..]].concat());
    assert!(
        answer.starts_with(TAKEN) && answer.contains("refused: "),
        "{answer}"
    );
    assert_eq!(states(&daemon), "a;2\nb;0");
}

#[test]
fn without_the_option_dumps_are_refused_logged_and_counted() {
    let daemon = daemon("");
    let answer = daemon.text("live", dump(&begin("b", 1), &STATES));
    assert!(
        answer.starts_with("400: SITEWIRE_END is not taken here"),
        "{answer}"
    );
    daemon.wait_for_log(
        "command refused: SITEWIRE_BEGIN is not taken here: dumps go to the ingest socket",
    );
    // Begin, end, and a record of each object.
    let refusals = "GET status\nColumns: refused_commands\n";
    assert_eq!(daemon.cell("live", refusals), "4");
    assert_eq!(states(&daemon), "a;0\nb;0");
}

#[test]
fn a_dump_on_the_merged_socket_and_one_on_the_ingest_socket_do_not_mix() {
    let daemon = daemon("dumps_on_merged = true");
    let bytes = dump(&begin("a", 1), &STATES);
    // Up to the host's record.
    let service = bytes
        .find("COMMAND [1795217983] UPDATE_SHADOW_SERVICE")
        .unwrap();
    let (head, tail) = bytes.split_at(service);
    let mut stream = daemon.connect("live");
    stream.write_all(head).unwrap();
    daemon.wait_for("the dump to begin", || {
        daemon.cell("live.d/a", "GET hosts\nColumns: state\n") == "1"
    });
    assert_eq!(
        daemon.text("ingest.d/a", dump(&begin("a", 2), &STATES)),
        "refused: another dump of this site is being received\n"
    );
    stream.write_all(tail).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut stream), TAKEN);
}

#[test]
fn a_site_that_locked_itself_out_is_let_in_again() {
    let mut daemon = daemon("");
    let far = DumpBegin {
        epoch: u64::MAX,
        sequence: u64::MAX,
        ..begin("a", 0)
    };
    assert_eq!(
        daemon.text("ingest.d/a", dump(&far, &[])),
        "taken 0, unknown 0, refused 0\n"
    );
    let own = dump(&begin("a", 7), &STATES);
    let refused = daemon.text("ingest.d/a", &own);
    assert!(refused.starts_with("refused: older than"), "{refused}");

    // Only who sees all sites may do it, and must name one that there is.
    let forget = |site: &str| format!("COMMAND [1] SITEWIRE_FORGET_ORDER;{site}\n");
    for (socket, command, want) in [
        (
            "live.d/a",
            forget("a"),
            "SITEWIRE_FORGET_ORDER is taken where all sites are shown only",
        ),
        ("live", forget("c"), "site 'c' is not configured"),
        ("live", forget(""), "site '' is not configured"),
        ("live", forget("a;b"), "site 'a;b' is not configured"),
    ] {
        assert_eq!(daemon.text(socket, command), format!("400: {want}\n"));
    }
    let refused = daemon.text("ingest.d/a", forget("a"));
    assert!(refused.starts_with("refused: "), "{refused}");
    let refused = daemon.text("ingest.d/a", &own);
    assert!(refused.starts_with("refused: older than"), "{refused}");

    let command = format!("{}ResponseHeader: fixed16\n\n", forget("a"));
    assert_eq!(daemon.text("live", command), framed(200, ""));
    daemon.wait_for_log("forgot the order of dumps on request");
    // That it forgot is remembered.
    assert!(daemon.stop(rustix::process::Signal::TERM).success());
    daemon.start();
    assert_eq!(daemon.text("ingest.d/a", &own), TAKEN);
    let older = daemon.text("ingest.d/a", dump(&begin("a", 6), &STATES));
    assert!(older.starts_with("refused: older than"), "{older}");
}
