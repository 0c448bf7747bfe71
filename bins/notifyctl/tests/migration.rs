//! notifyctl between a spool of Checkmk and ours.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use objects::notification::{Context, Kind};
use objects::{Envelope, Notification, NotificationId, SiteId, UnixTime};
use spool::{Options, Queue, SpoolDirectory};

const FORWARD: &str = "8a1f7c3e-52d4-4f0b-9c66-1d0e5b7a9f21";
const BY_PLUGIN: &str = "0f6c2d9b-7e31-4a58-b2c4-93d1e8f05a67";
const RAW: &str = "c2b7e9a4-1d58-4c3f-8e02-7a6b5f4d3c21";
const RESULT: &str = "5d3e8b1a-9f47-4e62-a0c8-2b4d6f8e1a35";
const BULK: &str = "71c4f0e8-3a2b-4d9c-b5e6-8f7a9d0c1b42";
const BROKEN: &str = "e4a9d2c7-6b58-4f13-9d0e-1c3b5a7f9e86";

/// Directory below Checkmk's own, name, content.
const FILES: [(&str, &str, &str); 8] = [
    (
        "spool/",
        FORWARD,
        "{'context': {'HOSTNAME': 'db1',\n             'MICROTIME': '1795217983000004',\n             \
         'NOTIFICATIONTYPE': 'PROBLEM',\n             'OMD_SITE': 'branch7'},\n 'forward': True}\n",
    ),
    (
        "deferred/",
        BY_PLUGIN,
        "{'context': {'CONTACTNAME': 'jane',\n             'HOSTNAME': 'db1',\n             \
         'MICROTIME': '1795217983000002',\n             'NOTIFICATIONTYPE': 'PROBLEM',\n             \
         'OMD_SITE': 'branch7',\n             'SERVICEDESC': 'Größe',\n             \
         'SERVICEOUTPUT': 'CRIT \\udce4 \"it\\'s\" $HOME$'},\n 'plugin': 'mail'}\n",
    ),
    (
        "spool/",
        RAW,
        "{'context': {'HOSTNAME': 'db1', 'MICROTIME': '1795217983000003'}}\n",
    ),
    (
        "spool/",
        RESULT,
        "{'context': {'HOSTNAME': 'db1', 'MICROTIME': '1795217983000005'},\n 'output': ['no such user'],\n \
         'plugin': 'mail',\n 'status': 2}\n",
    ),
    (
        "bulk/jane/slack/60,10,host,db1/",
        BULK,
        "({'channel': '#ops', 'list': ['a', 'b']}, {'HOSTNAME': 'db1', 'MICROTIME': '1795217983000001'})\n",
    ),
    // The first generation: a directory for the contact, named by the time.
    (
        "spool/jane/",
        "1795217983.00000000",
        "{u'context': {u'HOSTNAME': u'db1', u'MICROTIME': '1795217983000006'}, 'forward': 'central:6555'}",
    ),
    ("spool/", BROKEN, "{'context': {'HOSTNAME': 'db1'"),
    ("corrupted/", "f", "os.system('touch /tmp/pwned')"),
];

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    /// A full spool of Checkmk, and an empty one of ours.
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        drop(SpoolDirectory::open(&directory.path().join("spool")).unwrap());
        let place = Self { directory };
        for (part, name, content) in FILES {
            fs::create_dir_all(place.checkmk().join(part)).unwrap();
            fs::write(place.checkmk().join(part).join(name), content).unwrap();
        }
        place
    }

    fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    fn spool(&self) -> PathBuf {
        self.path("spool")
    }

    fn checkmk(&self) -> PathBuf {
        self.path("notify")
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command("notifyctl", &[], args).output().unwrap()
    }

    /// notifyctl, or another program that runs it.
    fn command(&self, program: &str, before: &[&str], args: &[&str]) -> Command {
        let own = env!("CARGO_BIN_EXE_notifyctl");
        let mut command = match program {
            "notifyctl" => Command::new(own),
            other => {
                let mut command = Command::new(other);
                command.args(before).arg(own);
                command
            }
        };
        command.arg("--spool").arg(self.spool()).args(args);
        command
    }

    fn import(&self, more: &[&str]) -> Output {
        let directory = self.checkmk();
        let mut args = vec!["import", "--site", "other"];
        args.push(directory.to_str().unwrap());
        args.extend(more);
        self.run(&args)
    }

    /// What notifyd would take in, in its order.
    fn dropped(&self) -> Vec<(NotificationId, Kind, Context)> {
        let files = fs::read_dir(self.path("spool/new")).unwrap();
        let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        files.sort();
        let read = |path: &PathBuf| {
            let body = fs::read_to_string(path).unwrap();
            let envelope = Envelope::parse(&body).unwrap();
            let context = envelope.context().unwrap();
            (envelope.id, envelope.kind, context)
        };
        files.iter().map(read).collect()
    }

    /// Takes in what was dropped, as notifyd does.
    fn absorb(&self) {
        let directory = SpoolDirectory::open(&self.spool()).unwrap();
        let (mut queue, _) =
            Queue::recover(directory.journal().unwrap(), Options::default()).unwrap();
        let now = UnixTime::from(std::time::SystemTime::now());
        for file in fs::read_dir(self.path("spool/new")).unwrap() {
            let path = file.unwrap().path();
            let body = fs::read_to_string(&path).unwrap();
            let id = Envelope::parse(&body).unwrap().id;
            queue.accept(id, None, None, body.as_bytes(), now).unwrap();
            fs::remove_file(path).unwrap();
        }
        queue.commit().unwrap();
    }
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What was told of each file.
fn told(output: &Output) -> BTreeMap<String, serde_json::Value> {
    let text = text(output);
    let lines = text.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        (line["file"].as_str().unwrap().to_owned(), line)
    });
    lines.collect()
}

#[test]
fn every_file_of_a_full_spool_becomes_a_notification_or_is_set_aside() {
    let place = Place::new();
    let output = place.import(&["--json"]);
    assert_eq!(output.status.code(), Some(3), "{}", errors(&output));
    assert_eq!(
        errors(&output),
        "notifyctl: stored 6, known 0, set aside 2, left out 0, failed 0\n"
    );
    let told = told(&output);
    assert_eq!(told.len(), FILES.len());
    for (part, name, _) in FILES {
        let line = &told[&format!("{part}{name}")];
        let broken = name == BROKEN || name == "f";
        let outcome = if broken { "set aside" } else { "stored" };
        assert_eq!(line["outcome"], outcome, "{line}");
        // Whose name is an id keeps it, also when it is set aside.
        if name.len() == 36 {
            assert_eq!(line["id"], name, "{line}");
        }
        if broken {
            let aside = place
                .path("spool/corrupt")
                .join(format!("{}.checkmk", line["id"].as_str().unwrap()));
            let why = fs::read_to_string(aside.with_extension("checkmk.why")).unwrap();
            assert_eq!(
                fs::read(&aside).unwrap(),
                fs::read(place.checkmk().join(part).join(name)).unwrap()
            );
            assert!(
                why.contains(name) && why.contains(line["reason"].as_str().unwrap()),
                "{why}"
            );
        }
    }
    // In the order of what happened, not of their names.
    let dropped = place.dropped();
    let times: Vec<_> = dropped
        .iter()
        .map(|(_, _, context)| context["MICROTIME"].clone())
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    let of = |id: &str| {
        let id = NotificationId::parse(id).unwrap();
        dropped.iter().find(|(other, ..)| *other == id).unwrap()
    };
    let (_, kind, context) = of(BY_PLUGIN);
    assert_eq!(*kind, Kind::Raw);
    assert_eq!(context["SERVICEOUTPUT"], &b"CRIT \xe4 \"it's\" $HOME$"[..]);
    assert_eq!(context["SITEWIRE_PLUGIN"], "mail");
    assert_eq!(of(RESULT).1, Kind::Result);
    let (_, _, context) = of(BULK);
    assert_eq!(context["SITEWIRE_PLUGIN"], "slack");
    assert_eq!(context["PARAMETER_LISTS"], "a b");
    // The source is as it was.
    for (part, name, content) in FILES {
        assert_eq!(
            fs::read_to_string(place.checkmk().join(part).join(name)).unwrap(),
            content
        );
    }
}

#[test]
fn an_import_that_is_repeated_stores_nothing_twice_however_much_later() {
    let place = Place::new();
    place.import(&[]);
    let first = place.dropped();
    let again = place.import(&[]);
    assert!(
        errors(&again).contains("stored 0, known 6, set aside 2"),
        "{}",
        errors(&again)
    );
    assert_eq!(place.dropped(), first);
    // Long after it has left: notifyd itself may have forgotten the ids.
    place.absorb();
    fs::remove_dir_all(place.path("spool/journal")).unwrap();
    fs::create_dir(place.path("spool/journal")).unwrap();
    let again = place.import(&[]);
    assert!(
        errors(&again).contains("stored 0, known 6, set aside 2"),
        "{}",
        errors(&again)
    );
    assert!(place.dropped().is_empty());
    assert_eq!(
        fs::read_dir(place.path("spool/corrupt")).unwrap().count(),
        4
    );
}

#[test]
fn files_are_removed_only_when_that_is_asked_for_and_only_what_is_durable_here() {
    let place = Place::new();
    let dry = place.import(&["-n", "--remove"]);
    assert_eq!(dry.status.code(), Some(0), "{}", errors(&dry));
    assert!(
        text(&dry).contains("would  forward  db1: import"),
        "{}",
        text(&dry)
    );
    assert!(place.dropped().is_empty());
    fs::write(place.checkmk().join("spool/.x.new"), "half").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", place.checkmk().join("spool/link")).unwrap();
    let output = place.import(&["--remove"]);
    assert!(
        errors(&output).contains("left out 2"),
        "{}",
        errors(&output)
    );
    let mut left = Vec::new();
    for part in [
        "spool",
        "spool/jane",
        "deferred",
        "corrupted",
        "bulk/jane/slack/60,10,host,db1",
    ] {
        let files = fs::read_dir(place.checkmk().join(part)).unwrap().flatten();
        left.extend(files.map(|file| file.path()).filter(|path| path.is_file()));
    }
    left.sort();
    let want = ["spool/.x.new", "spool/link"].map(|name| place.checkmk().join(name));
    assert_eq!(left, want);
    assert_eq!(place.dropped().len(), 6);
}

#[test]
fn a_context_longer_than_a_notification_may_be_is_cut_and_says_so() {
    let place = Place::new();
    let long = "x".repeat(3 << 20);
    let name = "b0b4d9e1-2c3a-4f5e-8d7c-6a9b8c7d6e5f";
    let content = format!("{{'context': {{'HOSTNAME': 'db1', 'LONGSERVICEOUTPUT': '{long}'}}}}");
    fs::write(place.checkmk().join("spool").join(name), content).unwrap();
    assert!(errors(&place.import(&[])).contains("stored 7"));
    let dropped = place.dropped();
    let (.., context) = dropped
        .iter()
        .find(|(id, ..)| id.to_string() == name)
        .unwrap();
    assert!(context["LONGSERVICEOUTPUT"].ends_with(b"[cut: too long]"));
    assert!(context["SITEWIRE_CUT"].starts_with(b"LONGSERVICEOUTPUT: "));
}

#[test]
fn what_cannot_be_stored_is_told_and_stays() {
    let place = Place::new();
    fs::remove_dir_all(place.path("spool/tmp")).unwrap();
    let output = place.import(&["--remove"]);
    assert_eq!(output.status.code(), Some(75));
    assert!(errors(&output).contains("failed 6"), "{}", errors(&output));
    assert!(place.checkmk().join("spool").join(FORWARD).exists());
    // A file that says nothing of its site, and nobody else does.
    let directory = place.checkmk();
    let output = place.run(&["import", directory.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        errors(&output).contains("give --site SITE"),
        "{}",
        errors(&output)
    );
    // No spool of ours, no spool of theirs.
    let output = place.run(&["import", "--site", "a", "/nonexistent"]);
    assert_eq!(output.status.code(), Some(1), "{}", errors(&output));
}

#[test]
fn what_was_imported_is_exported_as_the_file_that_it_was() {
    let place = Place::new();
    place.import(&[]);
    let target = place.path("back");
    fs::create_dir(&target).unwrap();
    let export = |more: &[&str]| {
        let mut args = vec!["export", "--directory", target.to_str().unwrap()];
        args.extend(more);
        place.run(&args)
    };
    // Half of it is in the journal, half in the drop box.
    let output = export(&[FORWARD, RAW]);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    assert_eq!(
        text(&output),
        format!("{FORWARD}  written\n{RAW}  written\n")
    );
    place.absorb();
    let output = export(&["--all"]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}{}",
        errors(&output),
        text(&output)
    );
    assert_eq!(fs::read_dir(&target).unwrap().count(), 6);
    for (_, name, content) in FILES {
        if [FORWARD, BY_PLUGIN, RAW, RESULT].contains(&name) {
            assert_eq!(
                fs::read_to_string(target.join(name)).unwrap(),
                content,
                "{name}"
            );
        }
    }
    let bulk = fs::read_to_string(target.join(BULK)).unwrap();
    assert!(bulk.ends_with("'plugin': 'slack'}\n"), "{bulk}");
    // Nothing ended by it, until that is said.
    let queue = |place: &Place| text(&place.run(&["queue", "--json"])).lines().count();
    assert_eq!(queue(&place), 6);
    let unknown = export(&["0199d3a8-0000-7000-8000-000000000001", FORWARD]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(
        text(&unknown).contains("failed: not known here"),
        "{}",
        text(&unknown)
    );
    let output = export(&["--all", "--drop"]);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    assert_eq!(queue(&place), 0);
    let trace = text(&place.run(&["trace", FORWARD]));
    assert!(trace.contains("dropped: exported to"), "{trace}");
}

#[test]
fn what_was_dropped_before_notifyd_saw_it_has_its_end_in_the_journal() {
    let place = Place::new();
    place.import(&[]);
    let target = place.path("back");
    fs::create_dir(&target).unwrap();
    let args = [
        "export",
        "--all",
        "--drop",
        "--directory",
        target.to_str().unwrap(),
    ];
    let locked = SpoolDirectory::open(&place.spool()).unwrap();
    let output = place.run(&args);
    assert_eq!(output.status.code(), Some(75), "notifyd runs");
    assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
    drop(locked);
    let output = place.run(&args);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    assert_eq!(fs::read_dir(&target).unwrap().count(), 6);
    assert!(place.dropped().is_empty());
    let trace = text(&place.run(&["trace", RAW]));
    assert!(trace.contains("dropped: exported to"), "{trace}");
}

#[test]
fn a_peer_cannot_choose_the_plugin_that_checkmk_runs_here() {
    let place = Place::new();
    let created = UnixTime::from(std::time::SystemTime::now());
    let entries = [
        ("HOSTNAME", "db1"),
        ("SITEWIRE_CHECKMK", "{'plugin': 'evil'}"),
        ("SITEWIRE_PLUGIN", "evil"),
    ];
    let notification = Notification {
        id: NotificationId::new(created),
        kind: Kind::Raw,
        created,
        expires: None,
        site: SiteId::new("remote1").unwrap(),
        context: entries
            .map(|(name, value)| (name.to_owned(), value.into()))
            .into(),
    };
    let directory = SpoolDirectory::open(&place.spool()).unwrap();
    let (mut queue, _) = Queue::recover(directory.journal().unwrap(), Options::default()).unwrap();
    let body = notification.print().unwrap();
    let from = SiteId::new("remote1").unwrap();
    queue
        .accept(notification.id, Some(&from), None, body.as_bytes(), created)
        .unwrap();
    queue.commit().unwrap();
    drop((queue, directory));
    let target = place.path("back");
    fs::create_dir(&target).unwrap();
    for (option, want) in [
        (None, "{'context': {'HOSTNAME': 'db1'}}\n"),
        (
            Some("--forward"),
            "{'context': {'HOSTNAME': 'db1'}, 'forward': True}\n",
        ),
    ] {
        let mut args = vec!["export", "--all", "--directory", target.to_str().unwrap()];
        args.extend(option);
        assert_eq!(place.run(&args).status.code(), Some(0));
        let file = target.join(notification.id.to_string());
        assert_eq!(fs::read_to_string(&file).unwrap(), want);
        fs::remove_file(file).unwrap();
    }
}

#[test]
fn an_import_killed_at_any_call_that_changes_something_is_finished_by_the_next() {
    if std::env::var_os("SITEWIRE_SKIP_STRACE").is_some() {
        eprintln!("left out because SITEWIRE_SKIP_STRACE is set");
        return;
    }
    let whole = Place::new();
    whole.import(&["--remove"]);
    let want = whole.dropped();
    let mut kills = 0;
    for call in [
        "openat",
        "write",
        "fsync",
        "fdatasync",
        "renameat2",
        "unlink",
    ] {
        for number in 1.. {
            let place = Place::new();
            let inject = format!("inject={call}:signal=KILL:when={number}");
            let trace = format!("trace={call}");
            let log = place.path("log");
            let directory = place.checkmk();
            let before = [
                "-f",
                "-qq",
                "-o",
                log.to_str().unwrap(),
                "-e",
                &trace,
                "-e",
                &inject,
            ];
            let args = [
                "import",
                "--remove",
                "--site",
                "other",
                directory.to_str().unwrap(),
            ];
            let output = place
                .command("strace", &before, &args)
                .output()
                .expect("no strace");
            if output.status.code() == Some(3) {
                break;
            }
            kills += 1;
            let context = format!("killed at {call} number {number}");
            // Every file is at least in one of the two places.
            let stored = place.dropped();
            let aside = fs::read_dir(place.path("spool/corrupt")).unwrap();
            let aside: Vec<_> = aside
                .map(|file| fs::read(file.unwrap().path()).unwrap())
                .collect();
            for (part, name, content) in FILES {
                let there = directory.join(part).join(name).exists();
                let here = stored
                    .iter()
                    .any(|(.., context)| content.contains(&context["MICROTIME"].to_string()));
                let aside = aside.iter().any(|bytes| bytes == content.as_bytes());
                assert!(there || here || aside, "{context}: {part}{name} is nowhere");
            }
            let again = place.import(&["--remove"]);
            assert_eq!(
                again.status.code().map(|code| code == 3 || code == 0),
                Some(true),
                "{context}: {}",
                errors(&again)
            );
            assert_eq!(place.dropped(), want, "{context}");
            check_aside(&place.spool(), &context);
        }
    }
    assert!(kills > 60, "{kills}");
}

fn check_aside(spool: &Path, context: &str) {
    for name in [format!("{BROKEN}.checkmk"), format!("{BROKEN}.checkmk.why")] {
        assert!(
            spool.join("corrupt").join(&name).exists(),
            "{context}: {name}"
        );
    }
}
