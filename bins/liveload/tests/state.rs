//! Dumps of states into a spool, and what is remembered of them.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

#[path = "state/silence.rs"]
mod silence;
#[path = "state/stale.rs"]
mod stale;

struct Centre {
    directory: TempDir,
}

impl Centre {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("spool")).unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&self, args: &[&str], input: &[u8]) -> (i32, String) {
        let output = self.output(args, input);
        let code = output.status.code().unwrap();
        (code, String::from_utf8(output.stderr).unwrap())
    }

    fn import(&self, site: &str, more: &[&str], input: &[u8]) -> (i32, String) {
        let spool = self.path("spool");
        let mut args = vec![
            "--site",
            site,
            "--wait",
            "0s",
            "--target",
            spool.to_str().unwrap(),
        ];
        args.extend(more);
        self.run(&args, input)
    }

    fn output(&self, args: &[&str], input: &[u8]) -> Output {
        let (subcommand, rest) = match args {
            [word @ ("status" | "stale"), rest @ ..] => (Some(word), rest),
            rest => (None, rest),
        };
        let mut child = Command::new(env!("CARGO_BIN_EXE_liveload"))
            .args(subcommand)
            .arg("--ledger")
            .arg(self.path("ledger"))
            .args(rest)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let feeder = std::thread::spawn(move || {
            let _ = stdin.write_all(&input);
        });
        let output = child.wait_with_output().unwrap();
        feeder.join().unwrap();
        output
    }

    fn status(&self, args: &[&str]) -> (i32, String) {
        let mut all = vec!["status"];
        all.extend(args);
        let output = self.output(&all, b"");
        let code = output.status.code().unwrap();
        (code, String::from_utf8(output.stdout).unwrap())
    }

    /// What the core would read, and takes it away as the core does.
    fn read_spool(&self) -> Vec<String> {
        let mut texts = Vec::new();
        for file in fs::read_dir(self.path("spool")).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some() && path.extension() != Some("ok".as_ref()) {
                panic!("{} is left", path.display());
            }
            if path.extension().is_none() {
                assert_eq!(path.file_name().unwrap().len(), 7);
                assert!(path.with_extension("ok").exists());
                texts.push(fs::read_to_string(&path).unwrap());
                fs::remove_file(&path).unwrap();
                fs::remove_file(path.with_extension("ok")).unwrap();
            }
        }
        texts
    }
}

fn record(host: &str, service: &str, code: u8, output: &str) -> String {
    let service = match service {
        "" => String::new(),
        service => format!("service_description={service}\n"),
    };
    format!(
        "host_name={host}\n{service}check_type=1\ncheck_options=0\nlatency=0.100000\n\
         start_time=1700000000.250000\nfinish_time=1700000001.250000\nreturn_code={code}\noutput={output}\n\n"
    )
}

fn dump(site: &str, sequence: u64, records: &[String]) -> String {
    let body = records.concat();
    format!(
        "# sitewire 1 state site={site} seq={sequence} epoch=0 mode=full time=1700000002\n{body}\
         # sitewire-end records={} crc32c={:08x}\n",
        records.len(),
        crc32c::crc32c(body.as_bytes())
    )
}

fn usual() -> Vec<String> {
    vec![
        record("web", "", 0, "PING OK|rta=1"),
        record("web", "Disk C:\\\\", 2, "C:\\\\new|a=1\\nfoo"),
    ]
}

#[test]
fn a_dump_goes_into_the_spool_and_is_remembered() {
    let centre = Centre::new();
    let (code, said) = centre.import("remote1", &[], dump("remote1", 7, &usual()).as_bytes());
    assert_eq!((code, said.as_str()), (0, ""));
    let texts = centre.read_spool();
    assert_eq!(texts.len(), 1);
    assert!(texts[0].starts_with("# from site remote1, taken in by liveload"));
    assert!(texts[0].ends_with(&usual().concat()), "{}", texts[0]);
    let (code, json) = centre.status(&["--json"]);
    assert_eq!(code, 0);
    for part in [
        "\"site\":\"remote1\"",
        "\"hosts\":1",
        "\"services\":1",
        "\"sequence\":7",
        "\"complete\":true",
        "\"dump_time\":\"2023-11-14T22:13:22Z\"",
        "\"trouble\":null",
    ] {
        assert!(json.contains(part), "{part} in {json}");
    }
    let (code, text) = centre.status(&["remote1", "--nagios", "-w", "120", "-c", "300"]);
    assert_eq!(code, 2, "{text}");
    assert!(
        text.starts_with("SITES CRITICAL: remote1 state: "),
        "{text}"
    );
    let (code, _) = centre.status(&["--nagios", "-w", "4000000000", "-c", "4000000000"]);
    assert_eq!(code, 0);
}

#[test]
fn a_dump_that_is_cut_anywhere_gives_whole_records_and_is_reported() {
    let whole = dump("remote1", 7, &usual());
    let last = whole.len() - 1;
    for cut in 0..whole.len() {
        let centre = Centre::new();
        let (code, said) = centre.import("remote1", &[], &whole.as_bytes()[..cut]);
        let texts = centre.read_spool().concat();
        let records: String = texts
            .split_inclusive('\n')
            .filter(|line| !line.starts_with('#'))
            .collect();
        let prefixes = [String::new(), usual()[0].clone(), usual().concat()];
        assert!(prefixes.contains(&records), "cut at {cut}: {records}");
        assert!(
            code == 3 || code == 1 && records.is_empty(),
            "cut at {cut} of {last}: {code} {said}"
        );
        assert!(said.starts_with("liveload: "), "cut at {cut}");
    }
}

#[test]
fn older_dumps_and_two_owners_are_refused_with_the_reason() {
    let centre = Centre::new();
    assert_eq!(
        centre.import("a", &[], dump("a", 7, &usual()).as_bytes()).0,
        0
    );
    centre.read_spool();
    let (code, said) = centre.import("a", &[], dump("a", 6, &usual()).as_bytes());
    assert_eq!(code, 3);
    assert!(said.contains("is older than what was taken in"), "{said}");
    assert!(centre.read_spool().is_empty());
    assert!(centre.status(&["a"]).1.contains("1 dumps refused: "));
    assert_eq!(
        centre
            .import("a", &["--allow-older"], dump("a", 6, &usual()).as_bytes())
            .0,
        0
    );
    centre.read_spool();
    let (code, said) = centre.import("b", &[], dump("b", 1, &usual()).as_bytes());
    assert_eq!(code, 3);
    assert!(
        said.contains("host web: sites a and b both have it; a had it first"),
        "{said}"
    );
    assert!(centre.read_spool().is_empty());
    let (code, _) = centre.import("b", &["--prefix", "b-"], dump("b", 2, &usual()).as_bytes());
    assert_eq!(code, 0);
    assert!(centre.read_spool().concat().contains("host_name=b-web\n"));
}

#[test]
fn what_no_dump_should_have_is_refused() {
    let good = record("web", "", 0, "fine");
    for (name, records, args, want) in [
        (
            "another site's host",
            vec![record("db", "", 0, "x")],
            vec!["--allow-hosts", "web*"],
            "host db: site a may not have it",
        ),
        (
            "a code that is none",
            vec![record("web", "", 7, "x")],
            vec![],
            "return_code",
        ),
        (
            "a service without host",
            vec!["service_description=x\noutput=y\n\n".to_owned()],
            vec![],
            "host_name is missing",
        ),
    ] {
        let centre = Centre::new();
        let records = [records, vec![good.clone()]].concat();
        let (code, said) = centre.import("a", &args, dump("a", 1, &records).as_bytes());
        assert_eq!(code, 3, "{name}: {said}");
        assert!(said.contains(want), "{name}: {said}");
        assert!(
            said.contains("taken 1, unknown 0, refused 1"),
            "{name}: {said}"
        );
        assert!(centre.read_spool().concat().ends_with(&good), "{name}");
    }
}

#[test]
fn input_without_a_mark_needs_permission() {
    let centre = Centre::new();
    let (code, said) = centre.import("a", &["--mode", "state"], usual().concat().as_bytes());
    assert_eq!(code, 1);
    assert!(said.contains("--allow-unmarked"), "{said}");
    let marked = format!(
        "\u{feff}status\r\n{}",
        record("web", "", 1, "C:\\new").replace('\n', "\r\n")
    );
    let (code, said) = centre.import("a", &["--allow-unmarked"], marked.as_bytes());
    assert_eq!((code, said.as_str()), (0, ""));
    // As the original writes it: a backslash is a backslash.
    assert!(centre.read_spool().concat().contains("output=C:\\\\new\n"));
}

#[test]
fn while_the_core_does_not_read_one_dump_waits_and_others_come_again_later() {
    let centre = Centre::new();
    let codes: Vec<i32> = (1..=200)
        .map(|sequence| {
            centre
                .import("a", &[], dump("a", sequence, &usual()).as_bytes())
                .0
        })
        .collect();
    assert_eq!(codes[0], 0);
    assert!(codes[1..].iter().all(|code| *code == 75), "{codes:?}");
    assert_eq!(centre.read_spool().len(), 1);
    let (code, said) = centre.import("a", &[], dump("a", 201, &usual()).as_bytes());
    assert_eq!((code, said.as_str()), (0, ""));
}

#[test]
fn objects_that_the_core_has_not_are_counted_and_dropped() {
    let centre = Centre::new();
    let cache = centre.path("objects.cache");
    fs::write(&cache, "define host {\n\thost_name\tweb\n\t}\n").unwrap();
    let (code, said) = centre.import(
        "a",
        &["--objects", cache.to_str().unwrap()],
        dump("a", 1, &usual()).as_bytes(),
    );
    assert_eq!(code, 0);
    assert!(said.contains("taken 1, unknown 1, refused 0"), "{said}");
    assert!(!centre.read_spool().concat().contains("service_description"));
}

#[test]
fn a_large_dump_is_split_and_a_line_without_end_does_not_fill_memory() {
    let centre = Centre::new();
    let records: Vec<String> = (0..12_000)
        .map(|n| record("web", &format!("s{n}"), 0, "ok"))
        .collect();
    assert_eq!(
        centre.import("a", &[], dump("a", 1, &records).as_bytes()).0,
        0
    );
    let texts = centre.read_spool();
    assert_eq!(texts.len(), 3);
    assert!(
        texts
            .iter()
            .all(|text| text.matches("host_name=").count() <= 5000)
    );
    let mut hostile = dump("a", 2, &[])
        .lines()
        .next()
        .unwrap()
        .as_bytes()
        .to_vec();
    hostile.extend_from_slice(b"\nhost_name=");
    hostile.resize(64 << 20, b'x');
    let (code, said) = centre.import("a", &[], &hostile);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("a line of more than"), "{said}");
}

#[test]
fn nothing_is_written_in_a_dry_run_and_sites_that_never_came_are_listed() {
    let centre = Centre::new();
    let (code, said) = centre.import("a", &["-n", "-v"], dump("a", 1, &usual()).as_bytes());
    assert_eq!(code, 0);
    assert!(said.contains("taken 2, unknown 0, refused 0"), "{said}");
    assert!(centre.read_spool().is_empty());
    let ledger: &Path = &centre.path("ledger");
    fs::write(ledger.join("expected"), "silent\n").unwrap();
    assert_eq!(
        centre.status(&[]).1,
        "silent state: never complete; never came\n"
    );
    let (code, text) = centre.status(&["--nagios"]);
    assert_eq!(code, 2);
    assert!(text.contains("never came"), "{text}");
}

/// A spool on a file system of its own, which has no room.
#[test]
fn a_full_disk_leaves_nothing_half_written() {
    let centre = Centre::new();
    let spool = centre.path("spool");
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"])
        .arg(&spool)
        .stderr(Stdio::null())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: mounting needs root");
        return;
    }
    let output = "x".repeat(2000);
    let records: Vec<String> = (0..4000)
        .map(|n| record("web", &format!("s{n}"), 0, &output))
        .collect();
    let (code, said) = centre.import("a", &[], dump("a", 1, &records).as_bytes());
    let left = fs::read_dir(&spool).unwrap().count();
    let unmounted = Command::new("umount").arg(&spool).status().unwrap();
    assert!(unmounted.success());
    assert_eq!(code, 75, "{said}");
    assert_eq!(left, 0, "{said}");
    assert!(centre.status(&["a"]).1.contains("incomplete: "));
}

#[test]
fn a_file_of_commands_is_whole_and_the_core_is_told_of_it_once_it_has_read_the_last() {
    let long = "x".repeat(6000);
    let records = vec![
        record("web", "", 1, "PING bad|rta=1"),
        record("web", "Disk", 2, &format!("C:\\\\new|a=1\\n{long}")),
        record("web", "a;b", 0, "fine"),
    ];
    let centre = Centre::new();
    let pipe = centre.path("core.cmd");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let spool = fs::canonicalize(centre.path("spool")).unwrap();
    let file = spool.join("sitewire.a.commands");
    let import = |sequence| {
        let args = [
            "--site",
            "a",
            "--wait",
            "0s",
            "--backend",
            "process-file",
            "--file-mode",
            "664",
            "--file-dir",
            spool.to_str().unwrap(),
            "--target",
            pipe.to_str().unwrap(),
        ];
        centre.run(&args, dump("a", sequence, &records).as_bytes())
    };
    // Nobody reads the pipe: the core is away.
    let (code, said) = import(1);
    assert_eq!((code, file.exists()), (75, false), "{said}");

    let mut core = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&pipe)
        .unwrap();
    let mut told = || {
        let mut bytes = [0; 4096];
        let length = core.read(&mut bytes).unwrap();
        let line = String::from_utf8(bytes[..length].to_vec()).unwrap();
        let (time, command) = line.split_once(' ').unwrap();
        assert!(time.starts_with('[') && time.ends_with(']'), "{line}");
        assert_eq!(command, format!("PROCESS_FILE;{};1\n", file.display()));
    };
    let want = format!(
        "[1700000000] PROCESS_HOST_CHECK_RESULT;web;1;PING bad|rta=1\n\
         [1700000000] PROCESS_SERVICE_CHECK_RESULT;web;Disk;2;C:\\\\new|a=1\\n{long}\n"
    );
    let (code, said) = import(2);
    assert_eq!(code, 3);
    assert!(said.contains("web;a;b: a command cannot name it"), "{said}");
    told();
    assert_eq!(fs::read_to_string(&file).unwrap(), want);
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o664
    );

    // The core has not read it: the file stays, and it is told once more.
    let (code, said) = import(3);
    assert_eq!(code, 75);
    assert!(said.contains("has not read the last dump"), "{said}");
    told();
    assert_eq!(fs::read_to_string(&file).unwrap(), want);

    fs::remove_file(&file).unwrap();
    fs::write(spool.join(".sitewire.a.commands"), "left by a crash").unwrap();
    assert_eq!(import(4).0, 3);
    told();
    assert_eq!(fs::read_to_string(&file).unwrap(), want);
    assert_eq!(fs::read_dir(&spool).unwrap().count(), 1);
}
