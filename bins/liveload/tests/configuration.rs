//! Configuration dumps taken into a directory, with commands of the test's own
//! in the place of a core.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A centre: a configuration directory, a ledger, and a log of the reloads.
struct Centre {
    directory: TempDir,
}

impl Centre {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("conf.d")).unwrap();
        Self { directory }
    }

    fn path(&self, part: &str) -> PathBuf {
        self.directory.path().join(part)
    }

    /// liveload with a check that takes everything but the word `broken`, and a
    /// reload that is counted.
    fn liveload(&self, site: &str, more: &[&str]) -> Command {
        let at = self.directory.path().display();
        let mut command = Command::new(env!("CARGO_BIN_EXE_liveload"));
        command
            .args(["--site", site, "--config-dir"])
            .arg(self.path("conf.d"))
            .arg("--ledger")
            .arg(self.path("ledger"))
            .args([
                "--check-command",
                &format!("! grep -H broken {at}/conf.d/*.cfg"),
            ])
            .args(["--reload-command", &format!("echo >> {at}/reloads")])
            .args(["--reload-interval", "0s"])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn load(&self, site: &str, dump: &[u8], more: &[&str]) -> Output {
        feed(self.liveload(site, more), dump)
    }

    fn file(&self, site: &str) -> Option<String> {
        fs::read_to_string(self.path(&format!("conf.d/sitewire-{site}.cfg"))).ok()
    }

    fn reloads(&self) -> usize {
        fs::read(self.path("reloads")).map_or(0, |log| log.len())
    }

    /// Names in the configuration directory.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.path("conf.d"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn feed(mut command: Command, input: &[u8]) -> Output {
    use std::io::Write;
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // It may end before it has read everything.
    let feeder = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    output
}

#[track_caller]
fn expect(output: &Output, code: i32, said: &str) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{errors}");
    assert!(errors.contains(said), "{errors:?} does not say {said:?}");
}

/// A framed dump of objects.
fn dump(site: &str, sequence: u64, body: &str) -> Vec<u8> {
    let records = body.matches("define host").count() + body.matches("define service").count();
    format!(
        "# sitewire 1 config site={site} seq={sequence} epoch=1 mode=full time=1795217983\n{body}\
         # sitewire-end records={records} crc32c={:08x}\n",
        crc32c::crc32c(body.as_bytes())
    )
    .into_bytes()
}

fn host(name: &str) -> String {
    format!(
        "define host {{\n  use  livedump-host\n  host_name  {name}\n  alias  {name} of ours\n  \
         address  10.0.0.1\n  check_command  check-livedump\n}}\n"
    )
}

fn service(host: &str, description: &str) -> String {
    format!(
        "define service {{\n  use  livedump-service\n  host_name  {host}\n  \
         service_description  {description}\n  check_command  check-livedump\n}}\n"
    )
}

#[test]
fn a_configuration_is_sorted_written_anew_and_reloaded_once() {
    let centre = Centre::new();
    let body = host("web") + &service("web", "Disk C:\\\\") + &host("db") + &service("db", "a\\;b");
    let output = centre.load("a", &dump("a", 1, &body), &["--verbose"]);
    expect(&output, 0, "");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        said,
        "a: configuration taken in: 2 hosts, 2 services, 2 hosts new, 0 gone\nreloaded\n"
    );
    let written = centre.file("a").unwrap();
    assert!(written.find("db").unwrap() < written.find("web").unwrap());
    assert!(written.contains(" Disk C:\\\\\n"), "{written}");
    assert!(written.contains(" a\\;b\n"), "{written}");
    assert_eq!(centre.reloads(), 1);
    // The same objects in another order: nothing to do.
    let body = host("db") + &service("db", "a\\;b") + &host("web") + &service("web", "Disk C:\\\\");
    expect(&centre.load("a", &dump("a", 2, &body), &[]), 0, "");
    assert_eq!(centre.file("a").unwrap(), written);
    assert_eq!(centre.reloads(), 1);
    assert_eq!(
        centre.names(),
        [".sitewire", ".sitewire.lock", "sitewire-a.cfg"]
    );
}

#[test]
fn what_the_core_does_not_want_is_put_back() {
    let centre = Centre::new();
    // There is nothing to go back to: the file goes.
    let output = centre.load("a", &dump("a", 1, &host("broken")), &[]);
    expect(&output, 1, "sitewire-a.cfg was put back as it was");
    assert!(String::from_utf8_lossy(&output.stderr).contains("sitewire-a.cfg:"));
    assert_eq!(centre.file("a"), None);
    expect(&centre.load("a", &dump("a", 2, &host("good")), &[]), 0, "");
    let good = centre.file("a");
    let output = centre.load("a", &dump("a", 3, &(host("good") + &host("broken"))), &[]);
    expect(&output, 1, "put back");
    assert_eq!(centre.file("a"), good);
    assert_eq!(centre.reloads(), 1);
    assert_eq!(
        centre.names(),
        [".sitewire", ".sitewire.lock", "sitewire-a.cfg"]
    );
}

#[test]
fn two_sites_stand_side_by_side_or_a_clash_names_both() {
    let centre = Centre::new();
    expect(
        &centre.load("a", &dump("a", 1, &host("localhost")), &[]),
        0,
        "",
    );
    let second = dump("b", 1, &host("localhost"));
    let output = centre.load("b", &second, &[]);
    expect(
        &output,
        1,
        "host \"localhost\": site b and site a both have it",
    );
    assert_eq!(centre.file("b"), None);
    expect(&centre.load("b", &second, &["--prefix", "b-"]), 0, "");
    assert!(centre.file("b").unwrap().contains(" b-localhost\n"));
    // What the administrator wrote counts as well.
    fs::write(
        centre.path("conf.d/own.cfg"),
        "define host{\nhost_name gw ; ours\n}\n",
    )
    .unwrap();
    let output = centre.load("c", &dump("c", 1, &host("gw")), &[]);
    expect(
        &output,
        1,
        "host \"gw\": site c and the file own.cfg both have it",
    );
}

#[test]
fn a_site_that_loses_half_its_hosts_is_refused_until_somebody_says_that_it_is_right() {
    let centre = Centre::new();
    let hosts = |count: usize| -> String { (0..count).map(|n| host(&format!("h{n}"))).collect() };
    expect(&centre.load("a", &dump("a", 1, &hosts(20)), &[]), 0, "");
    let half = dump("a", 2, &hosts(10));
    let output = centre.load("a", &half, &[]);
    expect(
        &output,
        1,
        "site a would lose 10 of its 20 hosts, \"h10\" the first",
    );
    assert_eq!(centre.reloads(), 1);
    let dry = centre.load("a", &half, &["--allow-shrink", "--dry-run"]);
    expect(&dry, 0, "");
    let said = String::from_utf8(dry.stdout).unwrap();
    assert!(said.contains("would be taken in: 10 hosts"), "{said}");
    expect(&centre.load("a", &half, &["--allow-shrink"]), 0, "");
    assert_eq!(
        centre.file("a").unwrap().matches("define host {").count(),
        10
    );
    // A few may go without a word; another site does not lose anything by that.
    expect(&centre.load("a", &dump("a", 3, &hosts(7)), &[]), 0, "");
}

#[test]
fn older_and_other_dumps_change_nothing() {
    let centre = Centre::new();
    expect(&centre.load("a", &dump("a", 5, &host("h")), &[]), 0, "");
    let present = centre.file("a");
    let older = dump("a", 4, &(host("h") + &host("i")));
    expect(&centre.load("a", &older, &[]), 3, "is older than");
    let newer = dump("a", 6, &(host("h") + &host("i")));
    for cut in 0..newer.len() {
        let output = centre.load("a", &newer[..cut], &[]);
        assert_ne!(output.status.code(), Some(0), "cut at {cut}");
        assert!(!output.stderr.is_empty(), "cut at {cut}");
        assert_eq!(centre.file("a"), present, "cut at {cut}");
    }
    let remembered = fs::read_to_string(centre.path("ledger/a.config")).unwrap();
    // What is too short to be told from anything else is nobody's dump.
    let known = newer.len() - "# sitewire 1 config".len();
    let refused = format!("dumps_refused={}\n", 1 + known);
    assert!(remembered.contains(&refused), "{remembered}");
    let unmarked = host("h") + &host("i");
    expect(&centre.load("a", unmarked.as_bytes(), &[]), 1, "");
    let more = ["--mode", "config"];
    let output = centre.load("a", unmarked.as_bytes(), &more);
    expect(&output, 1, "--allow-unmarked takes it");
    assert_eq!(centre.file("a"), present);
    expect(&centre.load("a", &older, &["--allow-older"]), 0, "");
    let more = ["--mode", "config", "--allow-unmarked"];
    expect(&centre.load("a", unmarked.as_bytes(), &more), 0, "no marks");
}

#[test]
fn hostile_configurations_are_refused_with_the_reason() {
    let centre = Centre::new();
    let with = |line: &str| host("h").replace("  address", &format!("  {line}\n  address"));
    let cases: Vec<(&str, String, &str)> = vec![
        (
            "a command",
            host("h") + "define command {\n command_name x\n command_line /bin/rm -rf /\n}\n",
            "may not define commands",
        ),
        (
            "the command of another site",
            host("h") + "define command {\n command_name check-livedump-b\n command_line x\n}\n",
            "may not define commands",
        ),
        (
            "another check",
            host("h").replace("check-livedump", "check_ping!100!200"),
            "command that is not allowed",
        ),
        (
            "the check with an argument",
            host("h").replace("check-livedump", "check-livedump!x"),
            "command that is not allowed",
        ),
        (
            "an event handler",
            with("event_handler  restart-it"),
            "event_handler is not among",
        ),
        (
            "a link",
            with("notes_url  javascript:x"),
            "notes_url is not",
        ),
        ("a macro", with("notes  $USER1$"), "macros are not taken"),
        (
            "a macro in a name",
            host("$HOSTADDRESS$"),
            "macros are not taken",
        ),
        (
            "a command in an address",
            host("h").replace("10.0.0.1", "10.0.0.1|id"),
            "address has a '|'",
        ),
        ("a backtick", with("notes  `id`"), "backtick"),
        (
            "another file",
            format!("cfg_file=/etc/passwd\n{}", host("h")),
            "expected `define KIND {`",
        ),
        (
            "a directory",
            format!("{}include_dir=/etc\n", host("h")),
            "expected `define KIND {`",
        ),
        (
            "a template of the centre",
            host("h").replace("livedump-host", "linux-server"),
            "template that is not in the dump",
        ),
        (
            "a service of a host that is not in the dump",
            host("h") + &service("web", "x"),
            "host \"web\" is not in the dump",
        ),
        (
            "a service of all hosts",
            host("h") + &service("*", "x"),
            "host \"*\" is not in the dump",
        ),
        (
            "a parent elsewhere",
            with("parents  router"),
            "parents names a host that is not in the dump",
        ),
        (
            "a dependency",
            host("h") + "define servicedependency {\n host_name h\n}\n",
            "may not define such objects",
        ),
        (
            "members",
            host("h") + "define hostgroup {\n hostgroup_name g\n members *\n}\n",
            "members is not among",
        ),
        (
            "a line that is continued over the end of the object",
            host("h").replace("check-livedump", "check-livedump\\"),
            "the file was cut",
        ),
        (
            "a comment that hides the rest",
            host("h").replace("10.0.0.1", "10.0.0.1\n  event_handler \\\n x"),
            "event_handler is not among",
        ),
        (
            "the same host twice",
            host("h") + &host("h"),
            "the same object stands in line 2",
        ),
        (
            "Python",
            "shadow_hosts.update({'h': {}})\n".to_owned(),
            "takes the configurations of livedump -C",
        ),
        ("no host", String::new(), "it has no host"),
    ];
    for (name, body, why) in cases {
        let output = centre.load("a", &dump("a", 1, &body), &[]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name}: {errors}");
        assert!(errors.contains(why), "{name}: {errors}");
        assert_eq!(centre.file("a"), None, "{name}");
    }
    let output = centre.load("a", &dump("a", 1, &host("web")), &["--allow-hosts", "a-*"]);
    expect(&output, 1, "host \"web\": site a may not have it");
    assert_eq!(centre.reloads(), 0);
}

#[test]
fn the_one_command_of_a_dump_is_written_by_us() {
    let centre = Centre::new();
    let body = host("h")
        + "define command {\n command_name check-livedump\n command_line /bin/rm -rf $HOME$\n}\n\
           define host {\n name livedump-host\n register 0\n active_checks_enabled 0\n}\n";
    expect(&centre.load("a", &dump("a", 1, &body), &[]), 0, "");
    let written = centre.file("a").unwrap();
    assert!(!written.contains("rm -rf"), "{written}");
    assert!(written.contains("exit 1"), "{written}");
    // A second site with the same templates is a clash, not a broken core.
    let second = body.replace("host_name  h\n", "host_name  i\n");
    let output = centre.load("b", &dump("b", 1, &second), &[]);
    expect(&output, 1, "command \"check-livedump\": site b and site a");
    // Who trusts the site gets what it says.
    let own = host("h").replace("check-livedump", "check_ping!1");
    let more = ["--trust-config"];
    expect(&centre.load("a", &dump("a", 2, &own), &more), 0, "");
    let included = format!("{own}include_file=/etc/passwd\n");
    let output = centre.load("a", &dump("a", 3, &included), &more);
    expect(&output, 1, "nothing else is read");
}

#[test]
fn a_line_of_a_gigabyte_is_given_up_long_before_its_end() {
    let centre = Centre::new();
    let mut command = centre.liveload("a", &[]);
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || {
        use std::io::Write;
        let begin = dump("a", 1, "");
        let end = begin.iter().position(|b| *b == b'\n').unwrap() + 1;
        let block = vec![b'x'; 1 << 20];
        let mut sent = 0;
        let mut next = stdin.write_all(&begin[..end]);
        while next.is_ok() && sent < 1024 {
            next = stdin.write_all(&block);
            sent += 1;
        }
        sent
    });
    let output = child.wait_with_output().unwrap();
    expect(&output, 1, "a line of more than");
    assert!(feeder.join().unwrap() < 128, "it read on");
}

#[test]
fn a_reload_that_is_too_early_is_done_by_a_later_run() {
    let centre = Centre::new();
    let slow = ["--reload-interval", "1h"];
    let load = |sequence, hosts: &str| centre.load("a", &dump("a", sequence, hosts), &slow);
    expect(&load(1, &host("h")), 0, "");
    assert_eq!(centre.reloads(), 1);
    let output = load(2, &(host("h") + &host("i")));
    expect(&output, 0, "--reload-pending");
    assert!(centre.file("a").unwrap().contains(" i\n"));
    assert_eq!(centre.reloads(), 1, "an hour is not over");
    let pending = |interval: &str| {
        let more = ["--reload-pending", "--reload-interval", interval];
        feed(centre.liveload("a", &more), b"")
    };
    expect(&pending("1h"), 0, "");
    assert_eq!(centre.reloads(), 1);
    expect(&pending("0s"), 0, "");
    assert_eq!(centre.reloads(), 2);
    expect(&pending("0s"), 0, "");
    assert_eq!(centre.reloads(), 2, "once is enough");
}

#[test]
fn a_reload_that_fails_is_tried_again() {
    let centre = Centre::new();
    let failing = ["--reload-command", "echo no core >&2; exit 7"];
    // The later flag is the one that counts.
    let output = centre.load("a", &dump("a", 1, &host("h")), &failing);
    expect(&output, 75, "no core");
    assert!(centre.file("a").is_some());
    expect(&centre.load("a", &dump("a", 1, &host("h")), &[]), 0, "");
    assert_eq!(centre.reloads(), 1);
}

#[test]
fn shadow_hosts_go_to_livestatusd_as_we_print_them() {
    let centre = Centre::new();
    fs::create_dir(centre.path("conf.d/a")).unwrap();
    let more = ["--backend", "livestatusd"];
    let body = "shadow_hosts.update({\n'h': {'services': {'x': {}}, 'alias': 'it\\'s'},\n})\n";
    let marked = |sequence, body: &str, records| {
        format!(
            "# sitewire 1 config site=a seq={sequence} epoch=1 mode=full time=5\n{body}\
             # sitewire-end records={records} crc32c={:08x}\n",
            crc32c::crc32c(body.as_bytes())
        )
        .into_bytes()
    };
    expect(&centre.load("a", &marked(1, body, 2), &more), 0, "");
    let file = centre.path("conf.d/a/sitewire.mk");
    let written = fs::read_to_string(&file).unwrap();
    assert!(
        written.contains("'h': {'alias': \"it's\", 'services': {'x': {}}},"),
        "{written}"
    );
    assert_eq!(centre.reloads(), 1);
    expect(&centre.load("a", &marked(2, body, 2), &more), 0, "");
    assert_eq!(centre.reloads(), 1, "the same once more");
    for (body, why) in [
        (
            "shadow_hosts.update({'h': {'alias': __import__('os').system('id')}})\n",
            "",
        ),
        ("import os\nshadow_hosts.update({})\n", "expected one of"),
    ] {
        let output = centre.load("a", &marked(3, body, 1), &more);
        expect(&output, 1, why);
    }
    let objects = centre.load("a", &dump("a", 4, &host("h")), &more);
    expect(&objects, 1, "cmcdump -C");
    assert_eq!(fs::read_to_string(&file).unwrap(), written);
}

/// The system calls by which anything lasting happens.
const CALLS: [&str; 6] = [
    "openat",
    "write",
    "fsync",
    "linkat,link",
    "renameat2,rename,renameat",
    "unlink,unlinkat",
];

#[test]
fn a_kill_at_any_step_leaves_the_old_or_the_new_and_the_next_run_finishes() {
    if std::env::var_os("SITEWIRE_SKIP_STRACE").is_some() {
        eprintln!("left out because SITEWIRE_SKIP_STRACE is set");
        return;
    }
    let old = dump("a", 1, &host("old"));
    let new = dump("a", 2, &(host("old") + &host("new")));
    let broken = dump("a", 2, &(host("old") + &host("broken")));
    let mut kills = 0;
    let mut seen_old = 0;
    let mut seen_new = 0;
    for next in [&new, &broken] {
        for call in CALLS {
            for number in 1.. {
                let centre = Centre::new();
                expect(&centre.load("a", &old, &[]), 0, "");
                let before = centre.file("a").unwrap();
                let (status, killed) = traced(&centre, next, call, number);
                if !killed {
                    assert!(status.is_some(), "{call} {number}");
                    break;
                }
                kills += 1;
                let context = format!("{call} {number}");
                let after = centre
                    .file("a")
                    .unwrap_or_else(|| panic!("{context}: no file"));
                let whole = after.ends_with("}\n\n") && after.contains(" old\n");
                assert!(whole, "{context}: {after}");
                if after == before {
                    seen_old += 1;
                } else {
                    seen_new += 1;
                }
                // Whatever happens next, here a run that has nothing to bring.
                let pending = feed(centre.liveload("a", &["--reload-pending"]), b"");
                expect(&pending, 0, "");
                let settled = centre.file("a").unwrap();
                assert!(!settled.contains("broken"), "{context}");
                let told = centre.reloads();
                assert_eq!(told >= 2, settled != before, "{context}: {told} reloads");
                let again = centre.load("a", next, &[]);
                let code = if next == &new { 0 } else { 1 };
                expect(&again, code, "");
                assert_eq!(
                    centre.names(),
                    [".sitewire", ".sitewire.lock", "sitewire-a.cfg"],
                    "{context}"
                );
            }
        }
    }
    assert!(kills > 30, "{kills} kills");
    assert!(seen_old > 5 && seen_new > 5, "{seen_old} {seen_new}");
}

/// liveload, killed at the entry of the `number`th of those calls on anything
/// that stays. Whether it was.
fn traced(centre: &Centre, dump: &[u8], call: &str, number: usize) -> (Option<i32>, bool) {
    let plain = centre.liveload("a", &[]);
    let mut command = Command::new("strace");
    let inject = format!("inject={call}:signal=KILL:when={number}");
    command
        .args(["-qq", "-o"])
        .arg(centre.path("strace"))
        .args(["-e", &format!("trace={call}"), "-e", &inject])
        .args(["-P"])
        .arg(centre.path("conf.d"));
    for name in [
        "sitewire-a.cfg",
        ".sitewire-a.cfg.new",
        ".sitewire-a.cfg.old",
        ".sitewire",
    ] {
        command.arg("-P").arg(centre.path("conf.d").join(name));
    }
    command
        .arg(plain.get_program())
        .args(plain.get_args())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = feed(command, dump);
    let killed = Path::new(&centre.path("strace"))
        .exists()
        .then(|| fs::read_to_string(centre.path("strace")).unwrap())
        .is_some_and(|log| log.contains("killed by SIGKILL"));
    (output.status.code(), killed)
}
