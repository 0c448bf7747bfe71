//! The program with receivers that behave well and badly.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;

use livestatus::dump::DumpWriter;
use objects::{DumpBegin, DumpContent, DumpMode, ShadowState, SiteId, UnixTime};

fn dump(sequence: u64, mode: DumpMode) -> Vec<u8> {
    let begin = DumpBegin {
        site: SiteId::new("a").unwrap(),
        content: DumpContent::State,
        epoch: 0,
        sequence,
        mode,
        time: UnixTime::from_secs(1_795_000_000),
        config_hash: None,
    };
    let mut out = Vec::new();
    let mut writer = DumpWriter::begin(&begin, &mut out);
    writer
        .host(b"web", &ShadowState::default(), &mut out)
        .unwrap();
    writer
        .service(b"web", b"Disk C:\\; D", &ShadowState::default(), &mut out)
        .unwrap();
    writer.end(&mut out);
    out
}

/// Takes one connection, and answers what it is told to.
struct Receiver {
    socket: PathBuf,
    thread: JoinHandle<Vec<u8>>,
    _directory: tempfile::TempDir,
}

impl Receiver {
    fn start(answer: &'static str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("live");
        let listener = UnixListener::bind(&socket).unwrap();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut got = Vec::new();
            stream.read_to_end(&mut got).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            got
        });
        Self {
            socket,
            thread,
            _directory: directory,
        }
    }
}

fn cmcload(args: &[&str], socket: Option<&Path>, input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cmcload"));
    command.args(args).env_remove("OMD_ROOT");
    if let Some(socket) = socket {
        command.arg("--socket").arg(socket);
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may refuse before it has read all.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_dump_is_handed_on_as_it_is_and_the_answer_counts() {
    for (answer, want, said) in [
        (
            "taken 2, unknown 0, refused 0\n",
            0,
            "taken 2, unknown 0, refused 0\n",
        ),
        ("", 0, "sent 2, refused 0\n"),
        (
            "incomplete: x; taken 1, unknown 0, refused 1\n",
            3,
            "incomplete: x; taken 1, unknown 0, refused 1\n",
        ),
        (
            "refused: older than the dump\n",
            3,
            "refused: older than the dump\n",
        ),
        (
            "refused: another dump of this site is being received\n",
            75,
            "refused: another dump of this site is being received\n",
        ),
        ("400: no\n", 1, "400: no\n"),
    ] {
        let receiver = Receiver::start(answer);
        let input = dump(7, DumpMode::Full);
        let output = cmcload(&["--site", "a"], Some(&receiver.socket), &input);
        assert_eq!(
            code(&output),
            Some(want),
            "{answer}: {}",
            text(&output.stderr)
        );
        assert_eq!(text(&output.stdout), said);
        assert_eq!(receiver.thread.join().unwrap(), input);
    }
}

#[test]
fn what_is_no_record_is_not_handed_on() {
    let whole = text(&dump(7, DumpMode::Full));
    let (head, tail) = whole
        .split_once("COMMAND [1795000000] SITEWIRE_END")
        .unwrap();
    for hostile in [
        "COMMAND [1] SHUTDOWN_PROGRAM\n\n",
        "COMMAND [1] PROCESS_SERVICE_CHECK_RESULT;web;x;0;y\n\n",
        "GET hosts\n\n",
    ] {
        let receiver =
            Receiver::start("incomplete: end mark missing; taken 2, unknown 0, refused 0\n");
        let input = format!("{head}{hostile}COMMAND [1795000000] SITEWIRE_END{tail}");
        let output = cmcload(&[], Some(&receiver.socket), input.as_bytes());
        assert_eq!(code(&output), Some(3), "{hostile}");
        let got = text(&receiver.thread.join().unwrap());
        assert_eq!(got, head, "neither the line nor the end mark");
    }
}

#[test]
fn what_must_not_come_in_reaches_nobody() {
    let unmarked = b"COMMAND [1] UPDATE_SHADOW_HOST_STATE;h;1;0;1;1;0;0;0;;;0;;0;0;0;;out;;\n\n";
    for (args, input, want, why) in [
        (
            &["--site", "b"][..],
            dump(7, DumpMode::Full),
            1,
            "from site a, not from b",
        ),
        (&[], unmarked.to_vec(), 1, "no begin mark"),
        (&[], b"GET hosts\n\n".to_vec(), 1, "not a dump"),
        (&[], b"COMMAND [1] SITEW".to_vec(), 3, "before a dump began"),
        (&[], Vec::new(), 3, "before a dump began"),
    ] {
        let output = cmcload(args, Some(Path::new("/nowhere/live")), &input);
        let errors = text(&output.stderr);
        assert_eq!(code(&output), Some(want), "{errors}");
        assert!(errors.contains(why), "{errors}");
    }
    let output = cmcload(
        &[],
        Some(Path::new("/nowhere/live")),
        &dump(7, DumpMode::Full),
    );
    assert_eq!(code(&output), Some(75), "{}", text(&output.stderr));
}

#[test]
fn the_ledger_keeps_the_order_and_the_bases() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = directory.path().display().to_string();
    for (sequence, mode, answer, want) in [
        (10, DumpMode::Full, "taken 2, unknown 0, refused 0\n", Ok(0)),
        (
            9,
            DumpMode::Full,
            "",
            Err("is older than what was taken in"),
        ),
        (
            12,
            DumpMode::Delta { base: 9 },
            "",
            Err("builds upon sequence 9"),
        ),
        (
            12,
            DumpMode::Delta { base: 10 },
            "taken 2, unknown 0, refused 0\n",
            Ok(0),
        ),
        (
            13,
            DumpMode::Full,
            "incomplete: x; taken 1, unknown 0, refused 0\n",
            Ok(3),
        ),
        (
            14,
            DumpMode::Delta { base: 13 },
            "",
            Err("builds upon sequence 13"),
        ),
    ] {
        let input = dump(sequence, mode);
        let args = ["--ledger", &ledger];
        match want {
            Ok(status) => {
                let receiver = Receiver::start(answer);
                let output = cmcload(&args, Some(&receiver.socket), &input);
                assert_eq!(
                    code(&output),
                    Some(status),
                    "{sequence}: {}",
                    text(&output.stderr)
                );
                receiver.thread.join().unwrap();
            }
            Err(why) => {
                let output = cmcload(&args, Some(Path::new("/nowhere/live")), &input);
                let errors = text(&output.stderr);
                assert_eq!(
                    (code(&output), errors.contains(why)),
                    (Some(3), true),
                    "{errors}"
                );
            }
        }
    }
}

#[test]
fn a_configuration_is_printed_anew_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().display().to_string();
    let log = directory.path().join("log");
    let reload = format!("echo reloaded >> {}", log.display());
    let args = [
        "--site",
        "a",
        "--allow-unmarked",
        "-d",
        &path,
        "--reload-command",
        &reload,
    ];
    let input = b"shadow_hosts = {u\"h\": {'services': {'s': {}}, 'unknown': [1]}}\n";
    for word in ["taken", "unchanged"] {
        let output = cmcload(&args, None, input);
        assert_eq!(
            text(&output.stdout),
            format!("{word}: 1 hosts, 1 services\n"),
            "{}",
            text(&output.stderr)
        );
    }
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "reloaded\n");
    let written = std::fs::read_to_string(directory.path().join("a.mk")).unwrap();
    assert!(
        !written.contains("unknown") && written.contains("# sitewire-end"),
        "{written}"
    );
    for (hostile, why) in [
        (&b"import os\nshadow_hosts = {}\n"[..], "import"),
        (b"shadow_hosts = {'h': __import__('os')}\n", "__import__"),
    ] {
        let output = cmcload(&args, None, hostile);
        let errors = text(&output.stderr);
        assert_eq!(
            (code(&output), errors.contains(why)),
            (Some(1), true),
            "{errors}"
        );
    }
    assert_eq!(
        std::fs::read_to_string(directory.path().join("a.mk")).unwrap(),
        written
    );
}

#[test]
fn verify_says_what_is_in_it() {
    let output = cmcload(&["--verify"], None, &dump(7, DumpMode::Delta { base: 6 }));
    let want = "site a, epoch 0, sequence 7, delta upon 6, complete: \
                1 hosts, 1 services, 0 other records, refused 0\n";
    assert_eq!(
        (code(&output), text(&output.stdout).as_str()),
        (Some(0), want)
    );
    let whole = dump(7, DumpMode::Full);
    let output = cmcload(&["--verify"], None, &whole[..whole.len() - 20]);
    assert_eq!(code(&output), Some(3));
    assert!(
        text(&output.stdout).contains("incomplete"),
        "{}",
        text(&output.stdout)
    );
}

#[test]
fn a_map_lays_states_out_otherwise() {
    let directory = tempfile::tempdir().unwrap();
    let map = directory.path().join("map");
    std::fs::write(
        &map,
        "host_command H # theirs\nservice_command S\nfields state - plugin_output\nframe no\n",
    )
    .unwrap();
    let receiver = Receiver::start("");
    let map = map.display().to_string();
    let output = cmcload(
        &["--field-map", &map],
        Some(&receiver.socket),
        &dump(7, DumpMode::Full),
    );
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    let want =
        "COMMAND [1795000000] H;web;0;;\n\nCOMMAND [1795000000] S;web;Disk C:\\\\\\s D;0;;\n\n";
    assert_eq!(text(&receiver.thread.join().unwrap()), want);
}
