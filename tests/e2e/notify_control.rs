//! What people do with notifications at a site: hold, release, retry, drop,
//! flush, test. Nothing of it is forgotten by a kill.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use harness::{Outcome, Program, Running, Site, wait_until};
use serde_json::Value;

use crate::notify_sites::{make_executable, notify, notifyd};

/// A site with one lane. Its script fails as long as there is no file `works`,
/// and is not tried again for an hour.
struct Place {
    site: Site,
}

impl Place {
    fn new() -> Self {
        let site = Site::new("remote1");
        let script = format!(
            "#!/bin/sh\ntest -e {} || {{ echo no modem; exit 1; }}\necho $NOTIFY_HOSTNAME >>{}\n",
            site.path("works").display(),
            site.path("delivered").display()
        );
        let script = site.write("deliver", script);
        make_executable(&script);
        let text = format!(
            "[site]\nname = 'remote1'\n[spool]\ndirectory = '{}'\n[state]\nfile = '{}'\n\
             [[lane]]\nname = 'ops'\nscript = '{}'\nretry = '1h'\n",
            site.path("spool").display(),
            site.path("var/notifyd.state").display(),
            script.display(),
        );
        site.write("etc/notifyd.toml", text);
        Self { site }
    }

    fn start(&self) -> Running {
        let mut running = notifyd(&self.site, "remote1");
        running.wait_for_line("is ready");
        running
    }

    fn ctl(&self, args: &[&str]) -> Outcome {
        Program::new("notifyctl")
            .arg("-c")
            .arg(self.site.path("etc/notifyd.toml"))
            .env("SUDO_USER", "ann")
            .args(args)
            .run()
    }

    /// Submits a notification about `host`.
    fn notify(&self, host: &str) -> String {
        let entries = [
            format!("HOSTNAME={host}"),
            "NOTIFICATIONTYPE=PROBLEM".to_owned(),
        ];
        notify(&self.site.path("spool"), &entries).expect("accepted")
    }

    /// The same, and waits until its first delivery has failed.
    fn fail(&self, host: &str) -> String {
        let id = self.notify(host);
        wait_until("its delivery has failed", || {
            self.trace(&id).contains("ended, temporary failure")
        });
        id
    }

    fn works(&self, works: bool) {
        let file = self.site.path("works");
        match works {
            true => fs::write(file, "").expect("own file"),
            false => fs::remove_file(file).expect("own file"),
        }
    }

    fn queue(&self, args: &[&str]) -> Vec<Value> {
        let text = self
            .ctl(&[&["queue", "--json"], args].concat())
            .success()
            .text();
        let parse = |line| serde_json::from_str(line).expect("JSON");
        text.lines().map(parse).collect()
    }

    fn trace(&self, id: &str) -> String {
        self.ctl(&["trace", id]).text()
    }

    fn delivered(&self) -> Vec<String> {
        let text = fs::read_to_string(self.site.path("delivered")).unwrap_or_default();
        let mut hosts: Vec<String> = text.lines().map(str::to_owned).collect();
        hosts.sort();
        hosts
    }

    fn totals(&self) -> Value {
        let text = self.ctl(&["status", "--json"]).success().text();
        let state: Value = serde_json::from_str(&text).expect("JSON");
        state["totals"].clone()
    }
}

#[test]
fn what_is_held_waits_across_a_kill_until_it_is_released() {
    let place = Place::new();
    let running = place.start();
    let held = place.fail("db1");
    let others = [place.fail("db2"), place.fail("db3")];
    let queue = place.queue(&[]);
    assert_eq!(queue.len(), 3, "{queue:?}");
    for entry in &queue {
        let target = &entry["targets"][0];
        assert_eq!(target["attempts"], 1, "{entry}");
        assert_eq!(target["last_result"], "exit code 1: no modem", "{entry}");
        let next = target["next_try_s"].as_f64().expect("a pause");
        assert!(next > 1000.0 && next <= 3600.0, "{next}");
    }
    let said = place
        .ctl(&["hold", "--host", "db1", "--why", "storm"])
        .success();
    assert_eq!(said.text(), "1 held\n");
    place.works(true);
    let said = place.ctl(&["flush"]).success().text();
    assert!(said.contains("2 deliveries are tried again now"), "{said}");
    wait_until("all but the held one are delivered", || {
        place.delivered() == ["db2", "db3"]
    });
    for id in &others {
        wait_until("its end is recorded", || {
            place.trace(id).contains("ended: delivered")
        });
    }
    running.kill();
    let queue = place.queue(&["--held"]);
    assert_eq!(queue.len(), 1, "{queue:?}");
    assert_eq!(queue[0]["id"], held.as_str());
    let refused = place.ctl(&["release", &held]).expect(75);
    assert!(
        refused.errors().contains("no notifyd serves"),
        "{}",
        refused.errors()
    );

    let _running = place.start();
    assert_eq!(place.delivered(), ["db2", "db3"]);
    let shown = place.ctl(&["show", &held]).success().text();
    assert!(shown.contains("stands     held\n"), "{shown}");
    assert!(shown.contains("\nHOSTNAME=db1\n"), "{shown}");
    let body = place.ctl(&["show", "--body", &held]).success().text();
    assert!(body.starts_with("{\"v\":1,"), "{body}");
    let again = place.ctl(&["hold", &held]).expect(1);
    assert!(again.errors().contains("not held"), "{}", again.errors());
    place.ctl(&["release", &held]).success();
    wait_until("it is delivered", || place.delivered().len() == 3);
    wait_until("its end is recorded", || {
        place.trace(&held).contains("ended: delivered")
    });
    let trace = place.trace(&held);
    for part in ["held: by ann: storm", "released: by ann"] {
        assert!(trace.contains(part), "{part}: {trace}");
    }
    assert_eq!(place.totals()["delivered"], 3);
}

#[test]
fn what_is_dropped_ends_with_who_and_why_and_what_is_retried_is_delivered() {
    let place = Place::new();
    let running = place.start();
    let (dropped, retried) = (place.fail("db4"), place.fail("db5"));
    let usage = place.ctl(&["drop", "--why", "x"]).expect(2);
    assert!(usage.errors().contains("--all"), "{}", usage.errors());
    let nobody = place
        .ctl(&["drop", "--host", "db9", "--why", "x"])
        .expect(1);
    assert!(nobody.errors().contains("no notification is like that"));
    place
        .ctl(&["drop", "--lane", "ops", "--host", "db4", "--why", "sold"])
        .success();
    let trace = place.trace(&dropped);
    for part in [
        "lane ops: dropped: by ann: sold",
        "ended: dropped: by ann: sold",
    ] {
        assert!(trace.contains(part), "{part}: {trace}");
    }
    let again = place
        .ctl(&["--json", "drop", &dropped, "--why", "sold"])
        .expect(1);
    let answer: Value = serde_json::from_str(&again.text()).expect("JSON");
    assert_eq!(answer["done"], 0);
    assert_eq!(answer["not"][0], dropped.as_str());
    place.works(true);
    place.ctl(&["retry", &retried]).success();
    wait_until("it is delivered", || place.delivered() == ["db5"]);
    wait_until("its end is recorded", || {
        place.trace(&retried).contains("ended: delivered")
    });
    assert!(place.trace(&retried).contains("retry asked for: by ann"));
    let tested = place
        .ctl(&["test", "--wait", "20s", "--host", "canary"])
        .success();
    assert!(
        tested.text().contains("ended: delivered"),
        "{}",
        tested.text()
    );
    assert_eq!(place.delivered(), ["canary", "db5"]);
    place.works(false);
    let tested = place.ctl(&["test", "--wait", "200ms"]).expect(1);
    assert!(
        tested.errors().contains("has not ended"),
        "{}",
        tested.errors()
    );
    let totals = place.totals();
    for (name, want) in [
        ("submitted", 4),
        ("delivered", 2),
        ("dropped", 1),
        ("open", 1),
        ("lost", 0),
    ] {
        assert_eq!(totals[name], want, "{name}: {totals}");
    }
    // The same after a kill.
    running.kill();
    let _running = place.start();
    assert_eq!(place.totals(), totals);
}

#[test]
fn the_control_socket_is_for_its_user_and_survives_nonsense() {
    let place = Place::new();
    let mut running = place.start();
    let socket = place.site.path("spool/control");
    let mode = fs::metadata(&socket)
        .expect("a socket")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let ask = |text: &[u8]| {
        let mut stream = UnixStream::connect(&socket).expect("it listens");
        stream.write_all(text).expect("written");
        stream.shutdown(std::net::Shutdown::Write).expect("open");
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    for (text, want) in [
        (&b"GET / HTTP/1.0\r\n\r\n"[..], "no question"),
        (b"\xff\xfe\n", "no question"),
        (b"{\"do\":\"drop\",\"ids\":[]}\n", "`by` must say who asks"),
        (&vec![b'x'; 300_000], "a line of more than"),
        (b"{\"do\":", ""),
        (b"{\"do\":\"known\",\"ids\":[]}\n", "{\"told\":[]}"),
    ] {
        let answer = ask(text);
        assert!(answer.contains(want), "{want}: {answer}");
    }
    assert!(running.is_running());
    place.ctl(&["reload", "--why", "a test"]).success();
    running.wait_for_line("reload by ann: a test");
}

#[test]
fn delivery_is_paused_and_resumed_and_everything_says_so() {
    let place = Place::new();
    let running = place.start();
    place.works(true);
    let pause = [
        "pause",
        "delivery",
        "--lane",
        "ops",
        "--for",
        "2h",
        "--why",
        "they know",
    ];
    let said = place.ctl(&pause).success().text();
    assert_eq!(said, "delivery by lane ops paused for 2 h 0 min\n");
    let id = place.notify("db1");
    wait_until("it waits", || place.queue(&[]).len() == 1);
    let why = "paused for another";
    wait_until("it is assigned", || {
        place.ctl(&["queue"]).success().text().contains(why)
    });
    for args in [&["status"][..], &["show", &id], &["trace", &id]] {
        let text = place.ctl(args).success().text();
        assert!(
            text.contains(why) && text.contains("by ann: they know"),
            "{text}"
        );
    }
    let lane = &place.queue(&[])[0]["targets"][0]["lane"];
    assert!(
        lane.as_str().is_some_and(|lane| lane.contains(why)),
        "{lane}"
    );
    drop(running);
    let running = place.start();
    assert_eq!(place.delivered(), [""; 0]);
    let resume = place.ctl(&["resume", "delivery"]).success().text();
    assert_eq!(resume, "delivery goes on\n");
    wait_until("it is delivered", || place.delivered() == ["db1"]);
    let again = place
        .ctl(&["resume", "delivery", "--json"])
        .success()
        .text();
    assert_eq!(again.trim_end(), r#"{"action":"resume","lane":null}"#);
    place
        .ctl(&["pause", "delivery", "--lane", "nope"])
        .expect(1);
    place.ctl(&["pause", "everything"]).expect(2);
    drop(running);
}
