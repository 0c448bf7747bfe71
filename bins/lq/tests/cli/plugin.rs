//! As a plugin of a monitoring core.

use crate::server::{Server, answer, lq, said};

fn check(body: &str, arguments: &[&str]) -> (i32, String) {
    let answer = answer(body);
    let server = Server::start(&[&answer]);
    let query = ["GET services", "Stats: state = 2", "ColumnHeaders: off"];
    let all = [&["--nagios"], arguments, &query[..]].concat();
    let (status, stdout, stderr) = said(&server.lq(&all));
    assert_eq!(stderr, "");
    let want = "GET services\nResponseHeader: fixed16\nStats: state = 2\nColumnHeaders: off\n\
        OutputFormat: json\n\n";
    assert_eq!(server.requests(), [want]);
    (status, stdout)
}

#[test]
fn the_number_is_held_against_the_ranges() {
    for (arguments, body, code, line) in [
        (&[][..], "[[7]]", 0, "OK: services 7 | services=7\n"),
        (
            &["-w", "5", "-c", "10"],
            "[[5]]",
            0,
            "OK: services 5 | services=5;5;10\n",
        ),
        (
            &["-w", "5", "-c", "10"],
            "[[6],[99]]",
            1,
            "WARNING: services 6 (range 5) | services=6;5;10\n",
        ),
        (
            &["-w", "5", "-c", "10"],
            "[[\"db1\",11]]",
            2,
            "CRITICAL: services 11 (range 10) | services=11;5;10\n",
        ),
        (
            &["--critical", "3:"],
            "[[2.5]]",
            2,
            "CRITICAL: services 2.5 (range 3:) | services=2.5;;3:\n",
        ),
        (
            &["--warning", "@1:2"],
            "[[2]]",
            1,
            "WARNING: services 2 (range @1:2) | services=2;@1:2\n",
        ),
        (&[], "[]", 3, "UNKNOWN: the answer has no rows\n"),
        (
            &[],
            "[[\"db1\",null]]",
            3,
            "UNKNOWN: the first row of the answer has no number\n",
        ),
    ] {
        assert_eq!(check(body, arguments), (code, line.to_owned()), "{line}");
    }
}

#[test]
fn whatever_goes_wrong_is_unknown() {
    for (answer, want) in [
        (
            &b""[..],
            "UNKNOWN: the connection was closed without an answer\n",
        ),
        (
            b"400          17\nno column 'a|b'.\n",
            "UNKNOWN: the server says 400: no column 'a/b'.\n",
        ),
        (
            b"200          17\n[[7]",
            "UNKNOWN: the answer was cut off, 13 bytes are missing\n",
        ),
    ] {
        let server = Server::start(&[answer]);
        let (status, stdout, stderr) = said(&server.lq(&["--nagios", "GET services"]));
        assert_eq!((status, stderr.as_str()), (3, ""));
        assert_eq!(stdout, want);
    }
    let nowhere = std::path::Path::new("/nowhere/live");
    for (arguments, want) in [
        (
            &["--nagios", "GET hosts"][..],
            "UNKNOWN: cannot connect to /nowhere/live: ",
        ),
        (&["--nagios"], "UNKNOWN: there is no query"),
        (&["--nagios", "hosts"], "UNKNOWN: --nagios checks a query"),
        (
            &["--nagios", "COMMAND [1] X"],
            "UNKNOWN: --nagios checks one query",
        ),
        (
            &["--nagios", "-w", "five", "GET hosts"],
            "UNKNOWN: invalid value 'five' for '--warning <RANGE>'",
        ),
        (
            &["--nagios", "--nosuch", "GET hosts"],
            "UNKNOWN: unexpected argument '--nosuch'",
        ),
        (
            &["--nagios", "--watch", "1", "GET hosts"],
            "UNKNOWN: the argument '--nagios' cannot be used with '--watch <SECS>'",
        ),
    ] {
        let output = lq(nowhere).args(arguments).output().unwrap();
        let (status, stdout, stderr) = said(&output);
        assert_eq!((status, stderr.as_str()), (3, ""), "{arguments:?}");
        assert!(stdout.starts_with(want), "{stdout}");
        assert_eq!(stdout.lines().count(), 1);
    }
    let output = lq(nowhere).args(["--nagios", "--help"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
}
