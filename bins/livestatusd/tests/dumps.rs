//! What the ingest sockets take.

mod support;

use std::io::Write;

use bstr::ByteSlice;
use objects::{DumpBegin, DumpMode, Host};
use support::{Daemon, Line, begin, dump, host};

const LINES: [Line<'_>; 5] = [
    ("h1", None, 0, "up"),
    ("h1", Some("cpu"), 1, "busy; very"),
    ("h1", Some("disk"), 2, "full\\"),
    ("h2", None, 1, "down"),
    ("h2", Some("cpu"), 3, "no idea"),
];

fn hosts() -> [(&'static str, Host); 2] {
    [("h1", host(&["cpu", "disk"])), ("h2", host(&["cpu"]))]
}

fn daemon() -> Daemon {
    Daemon::running(&[("a", &hosts()), ("b", &hosts())])
}

/// Outputs of all five objects of site a, `-` while pending.
fn outputs(daemon: &Daemon) -> Vec<String> {
    let columns = "has_been_checked plugin_output\nFilter: site = a\nSeparators: 10 9 44 124\n";
    let mut outputs = Vec::new();
    for (table, filter) in [
        ("hosts", "name = h1"),
        ("services", "host_name = h1"),
        ("hosts", "name = h2"),
        ("services", "host_name = h2"),
    ] {
        let answer = daemon.text(
            "live",
            format!("GET {table}\nColumns: {columns}Filter: {filter}\n"),
        );
        outputs.extend(answer.lines().map(|line| match line.split_once('\t') {
            Some(("1", output)) => output.to_owned(),
            _ => "-".to_owned(),
        }));
    }
    outputs
}

#[test]
fn the_services_of_a_host_change_together() {
    let daemon = daemon();
    let bytes = dump(&begin("a", 7), &LINES);
    let starts: Vec<usize> = bytes.find_iter("COMMAND").collect();
    let mut stream = daemon.connect("ingest.d/a");
    // As far as the first service of h1, and a bit of the second.
    let cut = starts[3] + 10;
    stream.write_all(&bytes[..cut]).unwrap();
    daemon.wait_for("the service to arrive", || {
        daemon.cell("live", "GET status\nColumns: service_checks\n") == "1"
    });
    assert_eq!(outputs(&daemon), ["up", "-", "-", "-", "-"]);
    // As far as the host h2, before its service.
    stream.write_all(&bytes[cut..starts[5]]).unwrap();
    daemon.wait_for("the next host to arrive", || outputs(&daemon)[3] == "down");
    assert_eq!(
        outputs(&daemon),
        ["up", "busy; very", "full\\", "down", "-"]
    );
    // What was gathered when the sender went away is taken, too.
    stream.write_all(&bytes[starts[5]..starts[6]]).unwrap();
    drop(stream);
    daemon.wait_for("the last service to arrive", || {
        outputs(&daemon)[4] == "no idea"
    });
}

#[test]
fn a_whole_dump_is_taken() {
    let daemon = daemon();
    assert_eq!(
        daemon.text("ingest.d/a", dump(&begin("a", 7), &LINES)),
        "taken 5, unknown 0, refused 0\n"
    );
    assert_eq!(
        outputs(&daemon),
        ["up", "busy; very", "full\\", "down", "no idea"]
    );
    assert_eq!(
        daemon.site("a", "state_complete state_reason state_records state_unknown state_missing claimed_site state_time"),
        "1;;5;0;0;a;1795217983"
    );
    let age: f64 = daemon.site("a", "state_age").parse().unwrap();
    let want = support::now().as_secs_f64() - 1_795_217_983.0;
    assert!((age - want.max(0.0)).abs() < 5.0, "{age}");
    assert_eq!(
        daemon.site("b", "state_complete state_reason state_time state_age"),
        "0;no dump was received;0;"
    );
    assert_eq!(
        daemon.cell(
            "live",
            "GET hosts\nColumns: has_been_checked\nFilter: site = b\n"
        ),
        "0\n0"
    );
}

#[test]
fn a_dump_cut_at_any_byte_leaves_whole_records_and_an_incomplete_site() {
    let daemon = daemon();
    // Every cut comes with new outputs, so that what is there tells which cut it is from.
    let bytes = |round: usize| {
        let texts: Vec<String> = LINES
            .iter()
            .map(|line| format!("{} {round:04}", line.3))
            .collect();
        let lines: Vec<Line<'_>> = LINES
            .iter()
            .zip(&texts)
            .map(|(line, text)| (line.0, line.1, line.2, text.as_str()))
            .collect();
        dump(
            &DumpBegin {
                time: objects::UnixTime::from_secs(1_795_217_983),
                ..begin("a", 1000 + round as u64)
            },
            &lines,
        )
    };
    let whole = bytes(0);
    // The end mark has a fixed width, so it is whole without its line feeds too.
    let end = whole.len() - 2;
    assert!(whole[end..].iter().all(|b| *b == b'\n'));
    let mut seen = vec!["-".to_owned(); 5];
    for cut in 0..whole.len() {
        let bytes = bytes(cut);
        assert_eq!(bytes.len(), whole.len());
        let answer = daemon.text("ingest.d/a", &bytes[..cut]);
        // A record is there once its line feed is.
        let taken = bytes[..cut]
            .split_inclusive(|b| *b == b'\n')
            .filter(|line| {
                line.ends_with(b"\n") && line.windows(14).any(|w| w == b"UPDATE_SHADOW_")
            })
            .count();
        for (index, output) in seen.iter_mut().enumerate().take(taken) {
            *output = format!("{} {cut:04}", LINES[index].3);
        }
        let state = daemon.site("a", "state_complete state_reason state_records");
        if cut < end {
            let counts = format!("taken {taken}, unknown 0, refused 0\n");
            let began = bytes[..cut].contains(&b'\n');
            let reason = if began {
                "end mark missing"
            } else {
                "the stream ended before a dump began"
            };
            assert_eq!(
                answer,
                format!("incomplete: {reason}; {counts}"),
                "cut at {cut}"
            );
            assert_eq!(state, format!("0;{reason};{taken}"), "cut at {cut}");
        } else {
            assert_eq!(answer, "taken 5, unknown 0, refused 0\n", "cut at {cut}");
            assert_eq!(state, "1;;5", "cut at {cut}");
        }
        assert_eq!(outputs(&daemon), seen, "cut at {cut}");
    }
}

#[test]
fn a_changed_byte_is_found() {
    let daemon = daemon();
    let mut bytes = dump(&begin("a", 1), &LINES);
    let at = bytes
        .windows(4)
        .position(|window| window == b"busy")
        .unwrap();
    bytes[at] = b'l';
    assert_eq!(
        daemon.text("ingest.d/a", bytes),
        "incomplete: checksum differs; taken 5, unknown 0, refused 0\n"
    );
    assert_eq!(
        daemon.site("a", "state_complete state_reason"),
        "0;checksum differs"
    );
}

#[test]
fn an_older_dump_never_overwrites_a_newer_one() {
    let daemon = daemon();
    let of = |epoch, sequence, output| {
        dump(
            &DumpBegin {
                epoch,
                ..begin("a", sequence)
            },
            &[("h1", None, 0, output)],
        )
    };
    let older = |epoch, sequence| {
        format!("refused: older than the dump of epoch {epoch}, sequence {sequence}\n")
    };
    assert_eq!(
        daemon.text("ingest.d/a", of(1, 10, "first")),
        "taken 1, unknown 0, refused 0\n"
    );
    assert_eq!(daemon.text("ingest.d/a", of(1, 9, "late")), older(1, 10));
    assert_eq!(
        daemon.text("ingest.d/a", of(0, 99, "of before")),
        older(1, 10)
    );
    assert_eq!(
        daemon.cell(
            "live.d/a",
            "GET hosts\nColumns: plugin_output\nFilter: name = h1\n"
        ),
        "first"
    );
    assert_eq!(
        daemon.site("a", "state_complete"),
        "1",
        "a refused dump changes nothing"
    );
    assert_eq!(
        daemon.text("ingest.d/a", of(1, 10, "again")),
        "taken 1, unknown 0, refused 0\n"
    );
    assert_eq!(
        daemon.text("ingest.d/a", of(2, 1, "rebuilt")),
        "taken 1, unknown 0, refused 0\n"
    );
    assert_eq!(
        daemon.text("ingest.d/a", of(1, 11, "of before")),
        older(2, 1)
    );
    assert_eq!(
        daemon.text("ingest.d/b", of(1, 1, "of b")),
        "taken 1, unknown 0, refused 0\n"
    );
}

#[test]
fn a_delta_builds_upon_the_last_complete_dump() {
    let daemon = daemon();
    let delta = |sequence, base| {
        let begin = DumpBegin {
            mode: DumpMode::Delta { base },
            ..begin("a", sequence)
        };
        dump(&begin, &[("h2", None, 0, "delta")])
    };
    let refused = "refused: it builds upon sequence 1, which is not the last complete dump here\n";
    assert_eq!(daemon.text("ingest.d/a", delta(2, 1)), refused);
    daemon.ask("ingest.d/a", dump(&begin("a", 1), &LINES));
    assert_eq!(
        daemon.text("ingest.d/a", delta(2, 1)),
        "taken 1, unknown 0, refused 0\n"
    );
    assert_eq!(
        outputs(&daemon),
        ["up", "busy; very", "full\\", "delta", "no idea"]
    );
    assert_eq!(
        daemon.site("a", "state_missing"),
        "0",
        "a delta need not name everything"
    );
    assert_eq!(daemon.text("ingest.d/a", delta(3, 1)), refused);
}

#[test]
fn what_is_not_configured_is_unknown_and_what_is_not_named_is_missing() {
    let daemon = daemon();
    daemon.ask("ingest.d/a", dump(&begin("a", 1), &LINES));
    let lines = [
        ("h1", None, 0, "up again"),
        ("h9", None, 0, "stranger"),
        ("h1", Some("net"), 0, "stranger"),
    ];
    assert_eq!(
        daemon.text("ingest.d/a", dump(&begin("a", 2), &lines)),
        "taken 1, unknown 2, refused 0\n"
    );
    assert_eq!(
        daemon.site("a", "state_complete state_unknown state_missing"),
        "1;2;4"
    );
    assert_eq!(
        outputs(&daemon),
        ["up again", "busy; very", "full\\", "down", "no idea"],
        "they keep their last state"
    );
}

#[test]
fn the_site_is_the_sockets_whatever_the_dump_says() {
    let daemon = daemon();
    assert_eq!(
        daemon.text("ingest.d/a", dump(&begin("b", 1), &LINES)),
        "taken 5, unknown 0, refused 0\n"
    );
    assert_eq!(daemon.site("a", "state_complete claimed_site"), "1;b");
    assert_eq!(daemon.site("b", "state_complete"), "0");
}

#[test]
fn several_dumps_may_come_on_one_connection() {
    let daemon = daemon();
    let both = [
        dump(&begin("a", 1), &LINES[..2]),
        dump(&begin("a", 2), &LINES[2..]),
    ]
    .concat();
    assert_eq!(
        daemon.text("ingest.d/a", both),
        "taken 2, unknown 0, refused 0\ntaken 3, unknown 0, refused 0\n"
    );
    assert_eq!(
        outputs(&daemon),
        ["up", "busy; very", "full\\", "down", "no idea"]
    );
}

#[test]
fn two_streams_of_one_site_do_not_mix() {
    let daemon = daemon();
    let bytes = dump(&begin("a", 1), &LINES);
    let mut first = daemon.connect("ingest.d/a");
    first.write_all(&bytes[..bytes.len() / 2]).unwrap();
    daemon.wait_for("the first record", || outputs(&daemon)[0] == "up");
    assert_eq!(
        daemon.text("ingest.d/a", dump(&begin("a", 2), &LINES)),
        "refused: another dump of this site is being received\n"
    );
    assert_eq!(
        daemon.text("ingest.d/b", dump(&begin("b", 2), &LINES)),
        "taken 5, unknown 0, refused 0\n"
    );
    first.write_all(&bytes[bytes.len() / 2..]).unwrap();
    first.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(
        support::read_to_end(&mut first),
        "taken 5, unknown 0, refused 0\n"
    );
    assert_eq!(
        daemon.text("ingest.d/a", dump(&begin("a", 2), &LINES)),
        "taken 5, unknown 0, refused 0\n"
    );
}

#[test]
fn nothing_but_a_dump_is_taken() {
    let daemon = daemon();
    for (sent, want) in [
        (
            "GET hosts\nColumns: name\n\n",
            "refused: this socket takes dumps and answers no queries\n",
        ),
        (
            "COMMAND [1] PROCESS_HOST_CHECK_RESULT;h1;1;x\n\n",
            "refused: this is not a dump: command PROCESS_HOST_CHECK_RESULT is not part of a dump\n",
        ),
        (
            "\u{1}\u{2}\n",
            "refused: this is not a dump: not a line of a dump: '??'\n",
        ),
        (
            "SSH-2.0-x",
            "refused: this is not a dump: line is cut off: 'SSH-2.0-x'\n",
        ),
    ] {
        assert_eq!(daemon.text("ingest.d/a", sent), want, "{sent}");
    }
    daemon.wait_for_log("it begins with '\\u{1}\\u{2}\\n'");
    assert_eq!(outputs(&daemon)[0], "-");
    // A sender that goes on for long gets the refusal all the same, and the next one is served.
    assert_eq!(
        daemon.text("ingest.d/a", vec![b'x'; 8 << 20]),
        "refused: this is not a dump: line of the dump longer than 1048576 bytes\n"
    );
    assert_eq!(
        daemon.text("ingest.d/a", dump(&begin("a", 1), &LINES)),
        "taken 5, unknown 0, refused 0\n"
    );
}

#[test]
fn a_bad_record_is_refused_and_the_others_are_taken() {
    let daemon = daemon();
    let text = String::from_utf8(dump(&begin("a", 1), &LINES)).unwrap();
    let text = text.replacen("STATE;h1;cpu;1;1;", "STATE;h1;cpu;1;7;", 1);
    assert!(text.contains("cpu;1;7;"));
    assert_eq!(
        daemon.text("ingest.d/a", text),
        "incomplete: checksum differs; taken 4, unknown 0, refused 1\n"
    );
    assert_eq!(outputs(&daemon), ["up", "-", "full\\", "down", "no idea"]);
    daemon.wait_for_log("refused a line of a dump");
}

#[test]
fn a_dump_without_a_frame_is_taken_only_where_that_is_allowed() {
    let mut daemon = daemon();
    let framed = String::from_utf8(dump(&begin("a", 1), &LINES)).unwrap();
    let bare: String = framed
        .lines()
        .filter(|line| !line.contains("SITEWIRE_"))
        .map(|line| format!("{line}\n"))
        .collect();
    let answer = daemon.text("ingest.d/a", &bare);
    assert!(
        answer.starts_with("refused: the dump has no begin mark"),
        "{answer}"
    );
    assert_eq!(outputs(&daemon)[0], "-");

    daemon.stop(rustix::process::Signal::TERM);
    daemon.settings("allow_unmarked = true");
    daemon.start();
    let answer = daemon.text("ingest.d/a", &bare);
    assert!(
        answer.starts_with("incomplete: the dump has no marks")
            && answer.ends_with("; taken 5, unknown 0, refused 0\n"),
        "{answer}"
    );
    assert_eq!(outputs(&daemon)[0], "up");
    assert_eq!(daemon.site("a", "state_complete"), "0");
}

#[test]
fn a_silent_sender_is_not_waited_for() {
    let mut daemon = Daemon::new(&[]);
    daemon.settings("idle_timeout = '200ms'");
    daemon.configure("a", &hosts());
    daemon.start();
    let bytes = dump(&begin("a", 1), &LINES);
    let mut stream = daemon.connect("ingest.d/a");
    stream.write_all(&bytes[..bytes.len() / 2]).unwrap();
    let answer = support::read_to_end(&mut stream);
    assert!(
        answer.starts_with(b"incomplete: the sender fell silent; taken "),
        "{answer}"
    );
    assert_eq!(daemon.site("a", "state_reason"), "the sender fell silent");
}

#[test]
fn a_dump_that_is_not_over_when_the_daemon_ends_is_incomplete_ever_after() {
    let mut daemon = daemon();
    let bytes = dump(&begin("a", 1), &LINES);
    let mut stream = daemon.connect("ingest.d/a");
    stream.write_all(&bytes[..bytes.len() / 2]).unwrap();
    daemon.wait_for("the first record", || outputs(&daemon)[0] == "up");
    daemon.stop(rustix::process::Signal::TERM);
    let answer = support::read_to_end(&mut stream);
    assert!(
        answer.starts_with(b"incomplete: livestatusd was stopped; taken "),
        "{answer}"
    );
    daemon.start();
    assert_eq!(
        daemon.site("a", "state_complete state_reason"),
        "0;livestatusd was stopped"
    );
    assert_eq!(outputs(&daemon)[0], "up");

    let mut stream = daemon.connect("ingest.d/a");
    stream
        .write_all(&dump(&begin("a", 2), &LINES)[..bytes.len() / 2])
        .unwrap();
    let received = || daemon.text("live.d/a", "GET status\nColumns: host_checks\n");
    daemon.wait_for("a record", || received() != "0\n");
    daemon.signal(rustix::process::Signal::USR2);
    daemon.wait_for_log("2 sites, 4 hosts, 6 services");
    daemon.stop(rustix::process::Signal::KILL);
    daemon.start();
    assert_eq!(
        daemon.site("a", "state_complete state_reason"),
        "0;livestatusd ended while it received a dump"
    );
}

#[test]
fn a_clock_that_is_ahead_is_told() {
    let daemon = daemon();
    let time = objects::UnixTime::from_secs(support::now().secs() + 1000);
    let begin = DumpBegin {
        time,
        ..begin("a", 1)
    };
    daemon.ask("ingest.d/a", dump(&begin, &LINES));
    daemon.wait_for_log("the clock of the dump's source is ");
}

#[test]
fn output_arrives_as_it_was() {
    let daemon = daemon();
    let output = "all of ; | \\ \\n \" ' \u{e9}\u{1f600}\t";
    let long = "first\nsecond \\n; third";
    let mut bytes = Vec::new();
    let mut writer = livestatus::dump::DumpWriter::begin(&begin("a", 1), &mut bytes);
    let state = objects::ShadowState {
        long_plugin_output: long.into(),
        perf_data: b"a=1;2;3 \xff".into(),
        ..support::shadow(objects::HostState::Up, output)
    };
    writer.host(b"h1", &state, &mut bytes).unwrap();
    writer.end(&mut bytes);
    daemon.ask("ingest.d/a", bytes);
    let query = "Separators: 0 1 2 3\nFilter: name = h1\n";
    let mut want = output.as_bytes().to_vec();
    want.extend(b"\x01first\\nsecond \\\\n; third\x01a=1;2;3 \xff\x00");
    let columns = "plugin_output long_plugin_output perf_data";
    assert_eq!(
        daemon.ask(
            "live.d/a",
            format!("GET hosts\nColumns: {columns}\n{query}")
        ),
        want
    );
    let json = daemon.text(
        "live.d/a",
        "GET hosts\nColumns: perf_data\nOutputFormat: json\nFilter: name = h1\n",
    );
    assert_eq!(json, "[[\"a=1;2;3 \\ufffd\"]]\n");
}
