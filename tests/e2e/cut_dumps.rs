//! Dumps that break off on their way, at every place: nothing is taken of them,
//! or the records before the cut, and it is always told.

use std::fs;
use std::path::Path;

use harness::livestatus::{command, rows, talk};
use harness::{Livestatusd, Outcome, Program, Site, wait_until};
use serde_json::Value;

use crate::remote_site;

/// Each byte would be as good; this many are enough to meet all that there is to
/// a line.
const STEP: usize = 11;

/// Places to cut at: the first and the last ones, the ends of lines, and some
/// between them. Without its last byte, a line feed, a dump is still whole.
fn cuts(dump: &[u8]) -> Vec<usize> {
    let last = dump.len() - 2;
    let near_line_end = |cut: &usize| dump[cut - 1] == b'\n' || dump[*cut] == b'\n';
    let is_chosen = |cut: &usize| *cut < 8 || *cut + 8 > last || cut.is_multiple_of(STEP);
    let chosen = (1..=last).filter(|cut| is_chosen(cut) || near_line_end(cut));
    chosen.collect()
}

fn dump(program: &str, remote: &Livestatusd, options: &[&str]) -> Vec<u8> {
    Program::new(program)
        .args(["--site", "remote1", "-s"])
        .arg(remote.live("remote1"))
        .args(options)
        .run()
        .success()
        .stdout
}

fn liveload(at: &Site, options: &[&str], input: &[u8]) -> Outcome {
    Program::new("liveload")
        .args(["--site", "remote1", "--wait", "0s", "--ledger"])
        .arg(at.path("var/ledger"))
        .args(options)
        .input(input)
        .run()
}

/// The records in a spool, in the order in which they were written, which the
/// times of files do not tell: there is one file.
fn spooled(spool: &Path) -> Vec<String> {
    let files: Vec<_> = fs::read_dir(spool)
        .expect("it is there")
        .map(|entry| entry.expect("readable").path())
        .collect();
    let mut records = Vec::new();
    for file in &files {
        let name = file.file_name().expect("a name").to_string_lossy();
        if name.len() == 7 && !name.contains('.') {
            assert!(
                file.with_extension("ok").exists(),
                "{name} is not released, or not removed"
            );
            let text = fs::read_to_string(file).expect("readable");
            assert!(text.ends_with("\n\n"), "{text}");
            let whole = text.split_inclusive("\n\n").filter(|text| text.len() > 2);
            let lines = |record: &str| {
                let lines = record.lines().filter(|line| !line.starts_with('#'));
                lines.collect::<Vec<_>>().join("\n")
            };
            records.extend(whole.map(lines));
        }
    }
    assert!(files.len() <= 2, "{files:?}");
    records
}

#[test]
fn states_of_livedump_that_are_cut_give_the_records_before_the_cut() {
    let remote = remote_site::start();
    for full in [&[][..], &["--full"]] {
        let whole = dump("livedump", &remote, full);
        let load = |bytes: &[u8]| {
            let site = Site::new("centre");
            let spool = site.path("tmp/spool");
            fs::create_dir(&spool).expect("cannot make a directory");
            let target = spool.display().to_string();
            let outcome = liveload(&site, &["--target", &target], bytes);
            (outcome, spooled(&spool))
        };
        let (outcome, all) = load(&whole);
        outcome.success();
        assert_eq!(all.len(), remote_site::SERVICES.len() + 1);
        let begin = whole
            .iter()
            .position(|byte| *byte == b'\n')
            .expect("a line");
        for cut in cuts(&whole) {
            let (outcome, taken) = load(&whole[..cut]);
            let complete = String::from_utf8_lossy(&whole[..cut])
                .matches("\n\n")
                .count();
            assert_eq!(taken, all[..complete], "cut at {cut}");
            // Of a dump whose first line is cut nobody knows what it is.
            let code = if cut <= begin { 1 } else { 3 };
            assert_eq!(outcome.code(), Some(code), "cut at {cut}: {outcome:?}");
            let said = outcome.errors();
            let counts = format!("; taken {complete}, unknown 0, refused 0");
            let is_told = said.contains("incomplete: ") && said.contains(&counts);
            assert!(code == 1 || is_told, "cut at {cut}: {said}");
        }
    }
}

#[test]
fn configurations_that_are_cut_are_not_taken() {
    let remote = remote_site::start();
    let nagios = dump("livedump", &remote, &["-C", "-T"]);
    let shadow = dump("cmcdump", &remote, &["-C"]);
    type Load = fn(&Site, &str, &[u8]) -> Outcome;
    let importers: [(&str, &[u8], &str, Load); 3] = [
        (
            "liveload",
            &nagios,
            "sitewire-remote1.cfg",
            |site, at, bytes| liveload(site, &["--config-dir", at], bytes),
        ),
        (
            "liveload for livestatusd",
            &shadow,
            "remote1/sitewire.mk",
            |site, at, bytes| {
                let options = ["--backend", "livestatusd", "--config-dir", at];
                liveload(site, &options, bytes)
            },
        ),
        ("cmcload", &shadow, "remote1.mk", |_, at, bytes| {
            Program::new("cmcload")
                .args(["--site", "remote1", "--directory", at])
                .input(bytes)
                .run()
        }),
    ];
    for (importer, whole, file, load) in importers {
        let site = Site::new("centre");
        let at = site.path("etc").display().to_string();
        // A former one stays as it is.
        let file = site.write(Path::new("etc").join(file), "");
        fs::remove_file(&file).expect("just written");
        for cut in cuts(whole) {
            let outcome = load(&site, &at, &whole[..cut]);
            let code = outcome.code();
            assert!(
                code == Some(1) || code == Some(3),
                "{importer}, {cut}: {outcome:?}"
            );
            assert!(!outcome.errors().is_empty(), "{importer}, cut at {cut}");
            assert!(!file.exists(), "{importer}, cut at {cut}");
        }
        load(&site, &at, whole).success();
        let before = fs::read(&file).expect("it was taken");
        for cut in cuts(whole).into_iter().step_by(5) {
            let outcome = load(&site, &at, &whole[..cut]);
            assert_ne!(outcome.code(), Some(0), "{importer}, cut at {cut}");
            assert_eq!(fs::read(&file).expect("it was taken"), before);
        }
    }
}

/// What a display shows of all objects, and of what was said about them.
fn shown(socket: &Path) -> Vec<Vec<Value>> {
    let columns = [
        "description",
        "state",
        "plugin_output",
        "last_check",
        "acknowledged",
    ];
    let mut all = rows(socket, "services", &columns, &[]);
    all.extend(rows(socket, "hosts", &columns[1..], &[]));
    all.extend(rows(socket, "comments", &["host_name", "comment"], &[]));
    all.sort_by_key(|row| format!("{row:?}"));
    all
}

#[test]
fn a_delta_that_is_cut_changes_what_it_said_and_nothing_else_until_the_next_dump() {
    let remote = remote_site::start();
    let central = Livestatusd::start(&["remote1"]);
    central.configure("remote1", &dump("cmcdump", &remote, &["-C"]));
    let (site, centre) = (remote.live("remote1"), central.live("remote1"));
    wait_until("the configuration is in force", || {
        remote_site::services(&centre).len() == remote_site::SERVICES.len()
    });
    let since = remote.site.path("var/since").display().to_string();
    let delta = || dump("cmcdump", &remote, &["--since-file", &since]);
    let confirm = |answer: &[u8]| {
        Program::new("cmcdump")
            .args(["--confirm", "--since-file", &since])
            .input(answer)
            .run()
            .success();
    };
    let ingest = central.ingest("remote1");
    let load = |bytes: &[u8], with_cmcload: bool| {
        if !with_cmcload {
            let answer = talk(&ingest, bytes).expect("it answers");
            return String::from_utf8(answer).expect("it is text");
        }
        let outcome = Program::new("cmcload")
            .args(["--site", "remote1", "--socket"])
            .arg(&ingest)
            .input(bytes)
            .run();
        let answer = outcome.text();
        let want = if answer.starts_with("taken ") { 0 } else { 3 };
        // Nothing has reached the socket where not even the begin was whole.
        let is_told =
            outcome.code() == Some(want) || answer.is_empty() && outcome.code() == Some(1);
        assert!(is_told, "{outcome:?}");
        match answer.is_empty() {
            true => format!("refused: {}", outcome.errors()),
            false => answer,
        }
    };
    let change = |round: usize| {
        command(
            &site,
            [
                format!(
                    "PROCESS_SERVICE_CHECK_RESULT;localhost;Disk /;{};round {round}",
                    round % 4
                ),
                format!("PROCESS_SERVICE_CHECK_RESULT;localhost;CPU load;2;round {round}"),
                format!("ADD_HOST_COMMENT;localhost;1;bob;round {round}"),
            ],
        );
        let news = format!("Filter: plugin_output = round {round}");
        wait_until("the site knows", || {
            rows(&site, "services", &["state"], &[&news]).len() == 2
        });
    };
    let begin = |round: usize| {
        let full = delta();
        assert!(String::from_utf8_lossy(&full).contains(";full;"), "{round}");
        let answer = load(&full, false);
        assert!(answer.starts_with("taken "), "{answer}");
        confirm(answer.as_bytes());
        assert_eq!(shown(&centre), shown(&site), "{round}");
        change(round);
        delta()
    };
    let places = cuts(&begin(0)).len();
    for round in 1..=places {
        let delta = begin(round);
        let text = String::from_utf8_lossy(&delta).into_owned();
        assert!(text.contains(";delta;"), "{text}");
        // Deltas are of about the same length.
        let Some(cut) = cuts(&delta).get(round - 1).copied() else {
            break;
        };
        let (before, after) = (shown(&centre), shown(&site));
        let answer = load(&delta[..cut], round % 2 == 1);
        let is_whole = answer.starts_with("taken ");
        let reported = ["incomplete: ", "refused: "]
            .iter()
            .any(|word| answer.starts_with(word));
        assert!(reported || is_whole, "cut at {cut}: {answer}");
        for row in shown(&centre) {
            assert!(
                before.contains(&row) || after.contains(&row),
                "cut at {cut}: {row:?}"
            );
        }
        let complete = rows(&central.merged(), "sites", &["state_complete"], &[]);
        // What cmcload refuses by itself has not reached the site.
        let has_arrived = !answer.starts_with("refused: cmcload");
        assert_eq!(
            complete[0][0] == 1,
            is_whole || !has_arrived,
            "cut at {cut}: {answer}"
        );
        // The end mark counts without its line feed, too, if all of it is there.
        assert!(!is_whole || cut + 3 > delta.len(), "cut at {cut}: {answer}");
    }
    let answer = load(&delta(), false);
    assert!(answer.starts_with("taken "), "{answer}");
    assert_eq!(shown(&centre), shown(&site));
}
