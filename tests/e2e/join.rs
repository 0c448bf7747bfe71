//! A site joins a running centre: one command there, one here, and no copied
//! key. And everything that must not work.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use harness::program::built;
use harness::{Outcome, Program, Running, Site, peer, ports, wait_until};
use serde_json::Value;

use crate::notify_sites::{make_executable, notifyd, sitecert};

/// A central site with an authority, to which sites can be invited.
struct Centre {
    site: Site,
    port: u16,
}

impl Centre {
    fn new() -> Self {
        let site = Site::new("central");
        let port = ports::free();
        let authority = site.path("authority");
        sitecert(&["init-ca"], &authority);
        sitecert(&["issue", "central"], &authority);
        let script = format!(
            "#!/bin/sh\necho \"$NOTIFY_ID $NOTIFY_PATH\" >>{}\n",
            site.path("delivered").display()
        );
        make_executable(&site.write("deliver", script));
        let (at, root) = (authority.display(), site.directory().display());
        site.write(
            "etc/notifyd.toml",
            format!(
                "[site]\nname = 'central'\n[spool]\ndirectory = '{root}/spool'\n\
                 [state]\nfile = '{root}/var/notifyd.state'\ninterval = '200ms'\n\
                 [tls]\ncertificate = '{at}/central.crt'\nkey = '{at}/central.key'\nca = '{at}/ca.crt'\n\
                 [authority]\ndirectory = '{at}'\naddress = '127.0.0.1:{port}'\n\
                 [[listen]]\naddress = '127.0.0.1:{port}'\n\
                 [[lane]]\nname = 'log'\nscript = '{root}/deliver'\n"
            ),
        );
        Self { site, port }
    }

    fn start(&self) -> Running {
        let mut running = notifyd(&self.site, "central");
        running.wait_for_line("is ready");
        running
    }

    fn sitecert(&self, args: &[&str]) -> Outcome {
        Program::new("sitecert").args(args).run()
    }

    /// Invites a site; what is printed.
    fn invite(&self, site: &str, more: &[&str]) -> String {
        let config = self.site.path("etc/notifyd.toml");
        let config = config.to_str().unwrap();
        let args = [&["invite", site, "-c", config], more].concat();
        self.sitecert(&args).success().text().trim().to_owned()
    }

    fn listed(&self, what: &str) -> Vec<Value> {
        let authority = self.site.path("authority");
        let args = [what, "--json", "--directory", authority.to_str().unwrap()];
        let text = self.sitecert(&args).success().text();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    }

    fn delivered(&self) -> Vec<String> {
        let text = fs::read_to_string(self.site.path("delivered")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// A machine that has not joined.
struct Newcomer {
    site: Site,
}

impl Newcomer {
    /// Nothing but where its spool is to be.
    fn new() -> Self {
        let site = Site::new("newcomer");
        let root = site.directory().display().to_string();
        site.write(
            "etc/notifyd.toml",
            format!(
                "[spool]\ndirectory = '{root}/spool'\n[state]\nfile = '{root}/var/notifyd.state'\n\
                 interval = '200ms'"
            ),
        );
        Self { site }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.site.path(name)
    }

    fn arguments(&self, token: &str) -> Vec<String> {
        let path = |name: &str| self.path(name).display().to_string();
        let arguments = ["join", token, "--directory"].map(str::to_owned);
        let more = [path("certs"), "-c".to_owned(), path("etc/notifyd.toml")];
        arguments.into_iter().chain(more).collect()
    }

    fn join(&self, token: &str) -> Outcome {
        Program::new("sitecert").args(self.arguments(token)).run()
    }

    #[track_caller]
    fn is_refused(&self, token: &str, why: &str) {
        let outcome = self.join(token);
        assert_eq!(outcome.code(), Some(1), "{}", outcome.errors());
        assert!(outcome.errors().contains(why), "{}", outcome.errors());
    }

    fn start(&self) -> Running {
        let mut running = notifyd(&self.site, "newcomer");
        running.wait_for_line("is ready");
        running
    }

    /// As a core there would; the id.
    fn notify(&self) -> String {
        Program::new("notify")
            .arg("--spool")
            .arg(self.path("spool"))
            .args(["--site", "remote81"])
            .args(["NOTIFICATIONTYPE=PROBLEM", "HOSTNAME=db1"])
            .run()
            .success()
            .text()
            .trim()
            .to_owned()
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("certs")).unwrap();
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = entries
            .map(name)
            .map(|n| n.into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

const COMPLETE: [&str; 4] = ["ca.crl", "ca.crt", "remote81.crt", "remote81.key"];

#[test]
fn a_site_joins_with_two_commands_and_what_it_notifies_arrives() {
    let (centre, newcomer) = (Centre::new(), Newcomer::new());
    let mut there = centre.start();

    let token = centre.invite("remote81", &[]);
    let said = newcomer.join(&token).success().text();
    assert!(said.starts_with("remote81 has joined central\n"), "{said}");

    there.wait_for_line("site remote81 has joined, it is a peer now");
    assert_eq!(newcomer.files(), COMPLETE);
    for (name, mode) in [("remote81.key", 0o600), ("remote81.crt", 0o644)] {
        let metadata = fs::metadata(newcomer.path("certs").join(name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{name}");
    }
    let here = newcomer.start();
    let id = newcomer.notify();
    wait_until("it is delivered", || {
        centre.delivered() == [format!("{id} remote81,central")]
    });
    // The centre remembers its new peer.
    there.terminate();
    let there = centre.start();
    newcomer.notify();
    wait_until("the next one is delivered, too", || {
        centre.delivered().len() == 2
    });
    let states: Vec<_> = centre.listed("invitations");
    assert_eq!(states[0]["state"], "used");
    here.terminate();
    there.terminate();
}

#[test]
fn a_token_is_for_one_key_and_the_same_command_again_changes_nothing() {
    let (centre, newcomer, thief) = (Centre::new(), Newcomer::new(), Newcomer::new());
    let there = centre.start();
    let token = centre.invite("remote81", &[]);
    newcomer.join(&token).success();
    let read = || {
        let files = newcomer.files().into_iter();
        let all = files.map(|name| fs::read(newcomer.path("certs").join(name)).unwrap());
        let config = fs::read(newcomer.path("etc/notifyd.toml")).unwrap();
        (all.collect::<Vec<_>>(), config)
    };
    let before = read();
    let said = newcomer.join(&token).success().text();
    assert!(said.contains("had joined central before"), "{said}");
    assert_eq!(read(), before);
    thief.is_refused(&token, "the invitation has been used already");
    assert!(!thief.path("certs/remote81.crt").exists());
    assert_eq!(centre.listed("list").len(), 2, "central's own, and one");
    there.terminate();
    // Used is used, for the centre that comes back as well.
    let there = centre.start();
    thief.is_refused(&token, "the invitation has been used already");
    there.terminate();
}

#[test]
fn a_token_that_has_ended_or_was_withdrawn_is_worth_nothing() {
    let (centre, newcomer) = (Centre::new(), Newcomer::new());
    let there = centre.start();
    let token = centre.invite("remote81", &["--expires", "1s"]);
    wait_until("it expires", || {
        centre.listed("invitations")[0]["state"] == "expired"
    });
    newcomer.is_refused(&token, "the invitation has expired");
    let token = centre.invite("remote81", &[]);
    sitecert(&["withdraw", "remote81"], &centre.site.path("authority"));
    newcomer.is_refused(&token, "there is no such invitation, or no longer");
    assert_eq!(centre.listed("list").len(), 1);
    // The key that was made meanwhile is good for the next try.
    let token = centre.invite("remote81", &[]);
    newcomer.join(&token).success();
    there.terminate();
}

#[test]
fn who_is_not_the_centre_of_the_token_does_not_get_to_see_the_secret() {
    let (centre, other, newcomer) = (Centre::new(), Centre::new(), Newcomer::new());
    // Another authority behind the same address.
    let there = centre.start();
    let address = format!("127.0.0.1:{}", centre.port);
    let token = other.invite("remote81", &["--address", &address]);
    newcomer.is_refused(&token, "is not the centre of this token: the authority");
    assert_eq!(other.listed("invitations")[0]["attempts"], 0);
    there.terminate();
    // A site of the right authority that is not the centre, and hears all that
    // is said to it.
    let authority = centre.site.path("authority");
    sitecert(&["issue", "remote7"], &authority);
    let token = centre.invite("remote81", &[]);
    let file = |name: &str| authority.join(name).display().to_string();
    let mut server = Command::new("openssl")
        .args([
            "s_server",
            "-accept",
            &address,
            "-alpn",
            "sitewire-join/1",
            "-quiet",
        ])
        .args(["-cert", &file("remote7.crt"), "-key", &file("remote7.key")])
        .args(["-cert_chain", &file("ca.crt")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl is installed");
    wait_until("openssl listens", || TcpStream::connect(&address).is_ok());
    newcomer.is_refused(
        &token,
        "is not the centre of this token: it is site remote7",
    );
    server.kill().unwrap();
    let mut heard = String::new();
    server
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut heard)
        .unwrap();
    server.wait().unwrap();
    assert!(!heard.contains("secret"), "{heard}");
    assert!(!newcomer.path("certs/remote81.crt").exists());
}

#[test]
fn a_site_that_was_revoked_is_refused_after_a_reload() {
    let (centre, newcomer) = (Centre::new(), Newcomer::new());
    let there = centre.start();
    newcomer.join(&centre.invite("remote81", &[])).success();
    let here = newcomer.start();
    newcomer.notify();
    wait_until("it is delivered", || centre.delivered().len() == 1);
    sitecert(&["revoke", "remote81"], &centre.site.path("authority"));
    there.signal(rustix::process::Signal::HUP);
    // The link that was up ends, and the next one is not let in.
    newcomer.notify();
    wait_until("it is refused", || {
        let refused =
            |line: &String| line.contains("closed: TLS failed") && line.contains("evoked");
        there.log().iter().any(refused)
    });
    assert_eq!(centre.delivered().len(), 1);
    here.terminate();
    // A new invitation and a new key, and what has waited goes its way.
    for name in ["remote81.crt", "remote81.key"] {
        fs::remove_file(newcomer.path("certs").join(name)).unwrap();
    }
    newcomer.join(&centre.invite("remote81", &[])).success();
    let here = newcomer.start();
    wait_until("what has waited is delivered", || {
        centre.delivered().len() == 2
    });
    here.terminate();
    there.terminate();
}

#[test]
fn nothing_else_is_reached_by_the_door_for_those_who_join() {
    let centre = Centre::new();
    let mut there = centre.start();
    let ask = |bytes: &[u8]| {
        let mut client = Command::new("openssl")
            .args(["s_client", "-alpn", "sitewire-join/1", "-quiet"])
            .args(["-connect", &format!("127.0.0.1:{}", centre.port)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl is installed");
        // It may be gone before all is written.
        let mut stdin = client.stdin.take().unwrap();
        let _ = stdin.write_all(bytes);
        let mut answer = String::new();
        client
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut answer)
            .unwrap();
        drop(stdin);
        client.wait().unwrap();
        answer
    };
    let framed = |text: &str| {
        let len = u32::try_from(text.len()).unwrap();
        [&len.to_be_bytes(), text.as_bytes()].concat()
    };
    let renew = "{\"renew\":{\"request\":\"\"}}";
    for (bytes, reason) in [
        // The greeting of a link is no question, however long one waits.
        (b"SITEWIRE-NOTIFY\n\0\0\0\x02\x01{".to_vec(), "request"),
        (vec![0; 4], "request"),
        (vec![255; 100], "request"),
        (framed("{}"), "request"),
        (framed(renew), "foreign"),
        (framed("{\"revocations\":{}}"), "foreign"),
        (
            framed("{\"join\":{\"invitation\":\"../ca.key\",\"secret\":\"\",\"request\":\"\"}}"),
            "unknown",
        ),
    ] {
        let answer = ask(&bytes);
        let want = format!("{{\"refused\":{{\"reason\":\"{reason}\"");
        assert!(answer.contains(&want), "{bytes:?}: {answer:?}");
    }
    // Whoever goes on like this has to wait.
    wait_until("it is enough", || ask(&framed("{}")).contains("\"busy\""));
    there.wait_for_line("no certificate for it");
    assert_eq!(centre.listed("list").len(), 1);
    there.terminate();
}

#[test]
fn a_join_that_is_killed_anywhere_is_finished_by_the_next() {
    if !peer::available("strace", "strace") {
        return;
    }
    let centre = Centre::new();
    let there = centre.start();
    let mut kills = 0;
    for call in ["mkdir", "connect", "sendto", "write", "fsync", "rename"] {
        for number in 1.. {
            let newcomer = Newcomer::new();
            let token = centre.invite("remote81", &[]);
            let inject = format!("inject={call}:signal=KILL:when={number}");
            let outcome = Program::foreign("strace", "strace")
                .args(["-f", "-o", "/dev/null", "-e"])
                .arg(format!("trace={call}"))
                .args(["-e", &inject])
                .arg(built("sitecert"))
                .args(newcomer.arguments(&token))
                .run();
            if outcome.code() == Some(0) {
                break;
            }
            kills += 1;
            let again = newcomer.join(&token);
            assert_eq!(again.code(), Some(0), "{inject}: {}", again.errors());
            assert_eq!(newcomer.files(), COMPLETE, "{inject}");
            let check = Program::new("notifyd")
                .args(["--check-config", "-c"])
                .arg(newcomer.path("etc/notifyd.toml"))
                .run();
            assert_eq!(check.code(), Some(0), "{inject}: {}", check.errors());
            let config = fs::read_to_string(newcomer.path("etc/notifyd.toml")).unwrap();
            for part in ["[site]", "[tls]", "[[peer]]", "[spool]"] {
                assert_eq!(config.matches(part).count(), 1, "{inject}: {config}");
            }
        }
    }
    // Key, authority, list, certificate and configuration, each with its steps.
    assert!(kills > 20, "{kills}");
    // One certificate for each invitation that was used.
    let used = centre.listed("invitations").len();
    assert_eq!(centre.listed("list").len(), used + 1);
    there.terminate();
}
