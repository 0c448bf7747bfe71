//! Signed dumps on wires that others can touch: on every way in, and for every
//! kind of dump, what is not signed, signed by another, too old, or comes again
//! is refused before anything of it is taken in, and counted.

use std::fs;
use std::path::{Path, PathBuf};

use harness::{Authority, Livestatusd, Outcome, Program, Site};
use serde_json::Value;

use crate::remote_site;

/// What makes a dump, and the rest of what it says.
const KINDS: [(&str, &[&str]); 4] = [
    ("livedump", &[]),
    ("cmcdump", &[]),
    ("livedump", &["-C", "-T", "--no-groups", "--no-contacts"]),
    ("cmcdump", &["-C"]),
];

/// How a dump comes to liveload.
#[derive(Debug, Clone, Copy)]
enum Wire {
    StandardInput,
    Inbox,
    Maildir,
}

struct Dumps {
    unsigned: Vec<u8>,
    of_another: Vec<u8>,
    first: Vec<u8>,
    second: Vec<u8>,
}

impl Dumps {
    fn make(remote: &Livestatusd, authority: &Authority, kind: (&str, &[&str])) -> Self {
        let dump = |site: &str, is_signed: bool| {
            let own = authority.of(site);
            let mut program = Program::new(kind.0)
                .args(["--site", site, "--socket"])
                .arg(remote.live("remote1"))
                .args(kind.1);
            if is_signed {
                program = program.arg("--sign-key").arg(own.key);
                program = program.arg("--sign-certificate").arg(own.certificate);
            }
            program.run().success().stdout
        };
        Self {
            unsigned: dump("remote1", false),
            of_another: dump("remote2", true),
            first: dump("remote1", true),
            second: dump("remote1", true),
        }
    }
}

/// A centre for one kind of dump.
struct Centre<'a> {
    site: Site,
    ca: &'a Path,
    is_state: bool,
    display: Option<&'a Livestatusd>,
}

impl Centre<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.site.path(name)
    }

    /// Gives a dump to `liveload`.
    fn liveload(&self, wire: Wire, dump: &[u8], more: &[&str]) -> Outcome {
        let program = Program::new("liveload")
            .args(["--site", "remote1", "--wait", "0s", "--ledger"])
            .arg(self.path("var/ledger"))
            .arg("--require-signature")
            .arg(self.ca)
            .arg("--target")
            .arg(self.path("var/spool"))
            .arg("--config-dir")
            .arg(self.path("var/config"))
            .args(more);
        let waiting = match wire {
            Wire::StandardInput => return program.input(dump).run(),
            Wire::Inbox => self.path("var/inbox/dump"),
            Wire::Maildir => self.path("var/inbox/new/dump"),
        };
        let mail = b"From: a@example.org\nContent-Type: text/plain; charset=utf-8\n\
            Content-Transfer-Encoding: 8bit\n\n";
        let head: &[u8] = match wire {
            Wire::Maildir => mail,
            _ => b"",
        };
        fs::write(&waiting, [head, dump].concat()).expect("cannot write");
        let mut program = program.args(["--once", "--settle", "0s", "--inbox"]);
        program = program.arg(self.path("var/inbox"));
        if let Wire::Maildir = wire {
            program = program.arg("--mail");
        }
        let outcome = program.run();
        assert!(!waiting.exists(), "{wire:?}: {outcome:?}");
        outcome
    }

    /// Gives a dump to `cmcload`.
    fn cmcload(&self, dump: &[u8], more: &[&str]) -> Outcome {
        let display = self.display.expect("cmcload has one");
        Program::new("cmcload")
            .args(["--site", "remote1", "--ledger"])
            .arg(self.path("var/ledger"))
            .arg("--require-signature")
            .arg(self.ca)
            .arg("--socket")
            .arg(display.ingest("remote1"))
            .arg("--directory")
            .arg(self.path("var/config"))
            .args(more)
            .input(dump)
            .run()
    }

    /// How many dumps were refused since the last good one, as status tells.
    fn refused(&self) -> u64 {
        let status = Program::new("liveload")
            .args(["status", "--json", "--ledger"])
            .arg(self.path("var/ledger"))
            .run()
            .success();
        let kind = if self.is_state { "state" } else { "config" };
        let rows = status.text();
        let mut rows = rows
            .lines()
            .map(|line| -> Value { serde_json::from_str(line).expect("JSON") });
        let row = rows.find(|row| row["kind"] == kind).expect("a row");
        row["dumps_refused"].as_u64().expect("a number")
    }

    /// Whether something has reached the core; what has is taken away.
    fn has_something(&self) -> bool {
        let mut has = false;
        for part in ["var/spool", "var/config"] {
            for entry in fs::read_dir(self.path(part)).expect("it is there") {
                let path = entry.expect("readable").path();
                let name = path
                    .file_name()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned();
                match path.is_dir() {
                    true => has |= path.join("sitewire.mk").exists(),
                    false => has |= !name.starts_with('.'),
                }
                if part == "var/spool" {
                    fs::remove_file(path).expect("removable");
                }
            }
        }
        has
    }

    /// The whole story of one way in.
    fn tell(&self, what: &str, dumps: &Dumps, load: &dyn Fn(&[u8], &[&str]) -> Outcome) {
        let refused = |dump: &[u8], more: &[&str], code: i32, why: &str| {
            let said = load(dump, more).expect(code).errors();
            assert!(said.contains(why), "{what}: {why}: {said}");
        };
        refused(&dumps.unsigned, &[], 1, "is not signed");
        refused(&dumps.of_another, &[], 1, "signed by site remote2");
        refused(&dumps.first, &["--max-age", "1ms"], 1, "s old, and");
        let mut changed = dumps.second.clone();
        // A digit of the first line: the place must not depend on how long the
        // signature is beside the rest.
        let line_end = changed.iter().position(|byte| *byte == b'\n');
        changed[line_end.expect("a line") - 1] ^= 1;
        refused(&changed, &[], 1, "it was changed");
        assert!(!self.has_something(), "{what}");
        assert_eq!(self.refused(), 4, "{what}");
        load(&dumps.second, &[]).success();
        if self.display.is_none() || !self.is_state {
            assert!(self.has_something(), "{what}");
        }
        assert_eq!(self.refused(), 0, "{what}");
        refused(&dumps.second, &[], 3, "was taken in already");
        refused(&dumps.first, &[], 3, "is older than what was taken in");
        assert_eq!(self.refused(), 2, "{what}");
        if self.is_state {
            assert!(!self.has_something(), "{what}");
        }
    }
}

#[test]
fn on_every_way_in_a_dump_is_signed_young_and_new_or_refused_and_counted() {
    let authority = Authority::new(&["remote1", "remote2"]);
    let ca = authority.ca();
    let remote = remote_site::start();
    let display = Livestatusd::start_with(&["remote1"], "allow_unmarked = true");
    display.configure("remote1", b"shadow_hosts.update({'localhost': {}})\n");
    for kind in KINDS {
        let dumps = Dumps::make(&remote, &authority, kind);
        let is_state = !kind.1.contains(&"-C");
        let centre = |display| {
            let site = Site::new("centre");
            for directory in ["spool", "config/remote1", "inbox/new"] {
                let path = site.path("var").join(directory);
                fs::create_dir_all(path).expect("cannot make a directory");
            }
            Centre {
                site,
                ca: &ca,
                is_state,
                display,
            }
        };
        for wire in [Wire::StandardInput, Wire::Inbox, Wire::Maildir] {
            let to: &[&str] = match kind {
                ("cmcdump", ["-C"]) => &["--backend", "livestatusd"],
                _ => &[],
            };
            let centre = centre(None);
            centre.tell(&format!("{kind:?} {wire:?}"), &dumps, &|dump, more| {
                centre.liveload(wire, dump, &[to, more].concat())
            });
        }
        if kind.0 == "cmcdump" {
            let centre = centre(Some(&display));
            centre.tell(&format!("{kind:?} cmcload"), &dumps, &|dump, more| {
                centre.cmcload(dump, more)
            });
        }
    }
}
