//! Sites that fall silent, clocks that are wrong, two imports at once, a full
//! disk, a core that does not run: each has the outcome that the manual tells.

use std::fs;
use std::path::Path;
use std::process::Command;

use harness::livestatus::{command, command_at, rows};
use harness::{Clock, Livestatusd, Nagios, Outcome, Program, Site, peer, wait_for, wait_until};
use serde_json::{Value, json};

use crate::remote_site;

fn dump(program: Program, remote: &Livestatusd, site: &str, options: &[&str]) -> Vec<u8> {
    let program = program.args(["--site", site, "-s"]);
    let program = program.arg(remote.live("remote1")).args(options);
    program.run().success().stdout
}

fn liveload(ledger: &Path, site: &str, options: &[&str]) -> Program {
    Program::new("liveload")
        .args(["--site", site, "--ledger"])
        .arg(ledger)
        .args(options)
}

/// A centre that shows the remote site under those names.
fn central(remote: &Livestatusd, clock: Option<&Clock>, sites: &[&str]) -> Livestatusd {
    let central = Livestatusd::start_by(clock, sites, "");
    for site in sites {
        let configuration = dump(Program::new("cmcdump"), remote, site, &["-C"]);
        central.configure(site, &configuration);
        let live = central.live(site);
        wait_until("the configuration is in force", || {
            rows(&live, "services", &["state"], &[]).len() == remote_site::SERVICES.len()
        });
    }
    central
}

fn cmcload(central: &Livestatusd, site: &str, options: &[&str], dump: &[u8]) -> Outcome {
    Program::new("cmcload")
        .args(["--site", site, "--socket"])
        .arg(central.ingest(site))
        .args(options)
        .input(dump)
        .run()
}

fn site_row(central: &Livestatusd, columns: &[&str]) -> Vec<Value> {
    rows(&central.merged(), "sites", columns, &[]).remove(0)
}

#[test]
fn an_hour_of_silence_is_seen_wherever_one_looks() {
    let Some(clock) = Clock::new("+0") else {
        return;
    };
    let remote = remote_site::start();
    let central = central(&remote, Some(&clock), &["remote1"]);
    let live = central.live("remote1");
    let states = dump(Program::new("cmcdump"), &remote, "remote1", &[]);
    cmcload(&central, "remote1", &[], &states).success();
    let spool = central.site.path("tmp/spool");
    fs::create_dir(&spool).expect("cannot make a directory");
    let ledger = central.site.path("var/ledger");
    let states = dump(Program::new("livedump"), &remote, "remote1", &[]);
    let target = spool.display().to_string();
    let load = liveload(&ledger, "remote1", &["--target", &target]);
    load.input(states).run().success();
    let status = || {
        let status = Program::new("liveload").args(["status", "remote1", "--nagios", "--ledger"]);
        clock.run(status.arg(&ledger)).run()
    };
    status().success();
    let staleness = || {
        let all = rows(&live, "services", &["staleness"], &[]);
        all.iter()
            .map(|row| row[0].as_f64().expect("a number"))
            .fold(f64::MAX, f64::min)
    };
    let shown = remote_site::services(&live);
    let (before, fresh) = (staleness(), site_row(&central, &["state_age"]));
    assert!(
        fresh[0].as_f64().is_some_and(|age| age < 600.0),
        "{fresh:?}"
    );

    clock.set("+1h");
    let late = status().expect(2);
    assert!(late.text().contains("CRITICAL"), "{late:?}");
    let age = site_row(&central, &["state_age", "state_complete"]);
    assert!(age[0].as_f64().is_some_and(|age| age >= 3600.0), "{age:?}");
    // The last dump was whole, and what it said stays.
    assert_eq!(age[1], json!(1));
    assert_eq!(remote_site::services(&live), shown);
    let after = staleness();
    assert!(after > before + 10.0, "{before} {after}");

    let states = dump(clock.run(Program::new("cmcdump")), &remote, "remote1", &[]);
    cmcload(&central, "remote1", &[], &states).success();
    let age = site_row(&central, &["state_age"]);
    assert!(age[0].as_f64().is_some_and(|age| age < 600.0), "{age:?}");
}

/// The times of checks in a spool.
fn start_times(spool: &Path) -> Vec<f64> {
    let files = fs::read_dir(spool).expect("it is there");
    let texts = files.map(|file| fs::read_to_string(file.expect("readable").path()));
    let texts: String = texts.map(|text| text.expect("readable")).collect();
    let times = texts
        .lines()
        .filter_map(|line| line.strip_prefix("start_time="));
    times.map(|time| time.parse().expect("a number")).collect()
}

fn now() -> f64 {
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH);
    now.expect("after 1970").as_secs_f64()
}

#[test]
fn a_site_whose_clock_is_an_hour_ahead_is_named_and_later_dumps_need_a_new_epoch() {
    let Some(clock) = Clock::new("+1h") else {
        return;
    };
    let remote = remote_site::start_by(Some(&clock));
    let from = |program: &str| clock.run(Program::new(program));
    let site = Site::new("centre");
    let ledger = site.path("var/ledger");
    let result = "PROCESS_SERVICE_CHECK_RESULT;localhost;Disk /;1;ahead";
    command_at(now() as u64 + 3600, &remote.live("remote1"), [result]);
    wait_until("the result is there", || {
        format!("{:?}", remote_site::services(&remote.live("remote1"))).contains("ahead")
    });
    let early = dump(from("livedump"), &remote, "remote1", &[]);
    let all = remote_site::SERVICES.len() + 1;
    for (more, code, count) in [(&[][..], 0, all), (&["--on-skew", "refuse"], 3, all - 1)] {
        let spool = site.path(format!("tmp/spool{code}"));
        fs::create_dir(&spool).expect("cannot make a directory");
        let target = spool.display().to_string();
        let ledger = site.path(format!("var/ledger{code}"));
        let load = liveload(&ledger, "remote1", &["--target", &target]).args(more);
        let said = load.input(early.clone()).run().expect(code).errors();
        let ahead = "the clock of site remote1 is 3";
        assert!(said.contains(ahead), "{said}");
        let refused = "localhost;Disk /: checked 3";
        assert_eq!(said.contains(refused), count < all, "{said}");
        let times = start_times(&spool);
        assert_eq!(times.len(), count, "{said}");
        assert!(times.iter().all(|time| *time <= now()), "{times:?}");
    }

    let central = central(&remote, None, &["remote1"]);
    let early = dump(from("cmcdump"), &remote, "remote1", &[]);
    let ledger = ledger.display().to_string();
    let remembered = ["--ledger", &ledger];
    cmcload(&central, "remote1", &remembered, &early).success();
    let live = central.live("remote1");
    assert_eq!(
        remote_site::services(&live),
        remote_site::services(&remote.live("remote1"))
    );
    // Nothing is younger than new.
    assert_eq!(site_row(&central, &["state_age"]), [json!(0.0)]);
    wait_until("it is told", || {
        central.process.has_said(&["WARN", "ahead"])
    });

    // Somebody puts the clock right.
    clock.set("+0");
    command(
        &remote.live("remote1"),
        ["PROCESS_SERVICE_CHECK_RESULT;localhost;CPU load;2;right"],
    );
    wait_until("the result is there", || {
        format!("{:?}", remote_site::services(&remote.live("remote1"))).contains("right")
    });
    let right = dump(from("cmcdump"), &remote, "remote1", &[]);
    for options in [&[][..], &remembered] {
        let refused = cmcload(&central, "remote1", options, &right).expect(3);
        let said = refused.text() + &refused.errors();
        assert!(said.contains("older than"), "{said}");
    }
    let right = dump(from("cmcdump"), &remote, "remote1", &["--epoch", "1"]);
    cmcload(&central, "remote1", &remembered, &right).success();
    assert_eq!(
        remote_site::services(&live),
        remote_site::services(&remote.live("remote1"))
    );
}

#[test]
fn a_site_whose_clock_is_an_hour_behind_is_taken_with_its_times() {
    let Some(clock) = Clock::new("-1h") else {
        return;
    };
    let remote = remote_site::start_by(Some(&clock));
    let from = |program: &str| clock.run(Program::new(program));
    let site = Site::new("centre");
    let spool = site.path("tmp/spool");
    fs::create_dir(&spool).expect("cannot make a directory");
    let late = dump(from("livedump"), &remote, "remote1", &[]);
    let target = spool.display().to_string();
    let load = liveload(&site.path("var/ledger"), "remote1", &["--target", &target]);
    assert_eq!(load.input(late).run().success().errors(), "");
    assert_eq!(start_times(&spool).len(), remote_site::SERVICES.len() + 1);
    let central = central(&remote, None, &["remote1"]);
    let late = dump(from("cmcdump"), &remote, "remote1", &[]);
    cmcload(&central, "remote1", &[], &late).success();
    let live = central.live("remote1");
    assert_eq!(
        remote_site::services(&live),
        remote_site::services(&remote.live("remote1"))
    );
    // It looks as old as the site says it is.
    let age = site_row(&central, &["state_age"]);
    assert!(age[0].as_f64().is_some_and(|age| age >= 3600.0), "{age:?}");
}

/// Runs an import of a dump of which half has come, and meanwhile another line
/// of shell.
fn meanwhile(import: &str, dump: &Path, line: &str) -> Outcome {
    let script = format!(
        "set -m; cd {at}; rm -f pipe; mkfifo pipe; {import} < pipe & exec 3> pipe\n\
         half=$(($(wc -c < {dump}) / 2)); head -c $half {dump} >&3\n\
         until ls {at}/var/ledger/*.state > /dev/null 2>&1; do sleep 0.01; done\n\
         {line}; code=$?\n\
         tail -c +$((half + 1)) {dump} >&3; exec 3>&-\n\
         wait %1 || exit 90; exit $code",
        at = dump
            .parent()
            .and_then(Path::parent)
            .expect("in a site")
            .display(),
        dump = dump.display(),
    );
    Program::bash(&script).run()
}

#[test]
fn of_two_imports_for_one_site_one_waits_and_two_sites_do_not_wait_for_each_other() {
    let remote = remote_site::start();
    let site = Site::new("centre");
    fs::create_dir(site.path("tmp/spool")).expect("cannot make a directory");
    let at = site.directory().display().to_string();
    let states = |name: &str, site_name: &str| {
        let options = ["-p", &format!("{site_name}-")];
        let states = dump(Program::new("livedump"), &remote, site_name, &options);
        site.write(Path::new("etc").join(name), states)
    };
    let first = states("first", "remote1");
    let second = states("second", "remote1");
    let other = states("other", "remote2");
    let import = |site: &str, wait: &str| {
        format!(
            "liveload -v --site {site} --ledger {at}/var/ledger --target {at}/tmp/spool --wait {wait}"
        )
    };
    let line = format!("{} < {}", import("remote1", "0s"), second.display());
    let busy = meanwhile(&import("remote1", "0s"), &first, &line).expect(75);
    let said = busy.errors();
    assert!(said.contains("is in use by process"), "{said}");
    let taken = format!("taken {}", remote_site::SERVICES.len() + 1);
    assert_eq!(said.matches(&taken).count(), 1, "{said}");
    for file in fs::read_dir(site.path("tmp/spool")).expect("it is there") {
        fs::remove_file(file.expect("readable").path()).expect("cannot remove");
    }
    let third = states("third", "remote1");
    let line = format!("{} < {}", import("remote2", "0s"), other.display());
    let both = meanwhile(&import("remote1", "0s"), &third, &line).success();
    assert_eq!(both.errors().matches(&taken).count(), 2, "{both:?}");
}

#[test]
fn two_sites_with_the_same_host_are_side_by_side_in_livestatusd() {
    let remote = remote_site::start();
    let central = central(&remote, None, &["remote1", "remote2"]);
    let states = |site: &str| {
        let states = dump(Program::new("cmcdump"), &remote, site, &[]);
        cmcload(&central, site, &[], &states).success();
    };
    states("remote1");
    let result = "PROCESS_SERVICE_CHECK_RESULT;localhost;Disk /;2;of the second";
    command(&remote.live("remote1"), [result]);
    wait_until("the result is there", || {
        format!("{:?}", remote_site::services(&remote.live("remote1"))).contains("of the second")
    });
    states("remote2");
    let filter = ["Filter: description = Disk /"];
    let columns = ["site", "host_name", "state"];
    let mut both = rows(&central.merged(), "services", &columns, &filter);
    both.sort_by_key(|row| row[0].to_string());
    assert_eq!(
        both,
        [
            [json!("remote1"), json!("localhost"), json!(0)],
            [json!("remote2"), json!("localhost"), json!(2)],
        ]
    );
}

/// A state dump of the centre's own service, framed.
fn framed(sequence: usize, code: usize, output: &str) -> String {
    let time = now().floor();
    let body = format!(
        "host_name=central\nservice_description=is there\nstart_time={time}.000000\n\
         finish_time={time}.000000\nreturn_code={code}\noutput={output}\n\n"
    );
    format!(
        "# sitewire 1 state site=remote1 seq={sequence} epoch=0 mode=full time={time}\n{body}\
         # sitewire-end records=1 crc32c={:08x}\n",
        crc32c::crc32c(body.as_bytes())
    )
}

/// What a Nagios shows of its own service.
fn own_output(nagios: &Nagios) -> Option<String> {
    let states = nagios.annotations("servicestatus");
    let own = states
        .into_iter()
        .find(|state| state["host_name"] == "central")?;
    own.get("plugin_output").cloned()
}

fn into_nagios(nagios: &Nagios, wait: &str, dump: String) -> Outcome {
    let spool = nagios.spool().display().to_string();
    let options = ["--file-mode", "666", "--wait", wait, "--target", &spool];
    liveload(&nagios.site().path("ledger"), "remote1", &options)
        .input(dump)
        .run()
}

#[test]
fn dumps_that_come_while_the_core_is_stopped_do_not_pile_up_and_the_next_one_heals() {
    let Some(mut nagios) = Nagios::start("central", &[]) else {
        return;
    };
    into_nagios(&nagios, "10s", framed(1, 0, "before")).success();
    wait_for("it is there", || {
        own_output(&nagios).filter(|says| says == "before")
    });
    nagios.stop();
    let codes: Vec<_> = (2..202)
        .map(|sequence| {
            into_nagios(
                &nagios,
                "0s",
                framed(sequence, 2, &format!("number {sequence}")),
            )
        })
        .map(|outcome| outcome.code().expect("not killed"))
        .collect();
    assert_eq!(codes[0], 0);
    assert!(codes[1..].iter().all(|code| *code == 75), "{codes:?}");
    let files = fs::read_dir(nagios.spool()).expect("it is there").count();
    assert_eq!(files, 2, "a file and its release");
    let status = Program::new("liveload")
        .args(["status", "--ledger"])
        .arg(nagios.site().path("ledger"))
        .run();
    assert!(status.text().contains("199"), "{status:?}");
    nagios.run();
    wait_for("the one that was taken is read", || {
        own_output(&nagios).filter(|says| says == "number 2")
    });
    into_nagios(&nagios, "10s", framed(202, 1, "after")).success();
    wait_for("it is there", || {
        own_output(&nagios).filter(|says| says == "after")
    });
}

#[test]
fn dumps_that_come_while_livestatusd_is_stopped_are_for_later() {
    let remote = remote_site::start();
    let central = central(&remote, None, &["remote1"]);
    let ingest = central.ingest("remote1");
    let place = central.stop();
    for _ in 0..20 {
        let states = dump(Program::new("cmcdump"), &remote, "remote1", &[]);
        let args = ["--site", "remote1", "--socket"];
        let later = Program::new("cmcload")
            .args(args)
            .arg(&ingest)
            .input(states)
            .run();
        assert_eq!(later.code(), Some(75), "{later:?}");
    }
    let central = Livestatusd::start_again(place);
    let states = dump(Program::new("cmcdump"), &remote, "remote1", &[]);
    cmcload(&central, "remote1", &[], &states).success();
    let live = central.live("remote1");
    assert_eq!(
        remote_site::services(&live),
        remote_site::services(&remote.live("remote1"))
    );
}

/// A file system of its own at a place, as long as this lives.
struct Mount<'a>(&'a Path);

impl<'a> Mount<'a> {
    fn new(at: &'a Path, size: &str) -> Option<Self> {
        if !peer::is_root() {
            return None;
        }
        let options = format!("size={size},mode=777");
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(at)
            .status();
        status
            .is_ok_and(|status| status.success())
            .then_some(Self(at))
    }

    fn resize(&self, size: &str) {
        let options = format!("remount,size={size}");
        let status = Command::new("mount")
            .args(["-o", &options])
            .arg(self.0)
            .status();
        assert!(status.is_ok_and(|status| status.success()));
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_at_the_spool_is_for_later_and_the_core_sees_nothing_half() {
    let Some(mut nagios) = Nagios::new("central") else {
        return;
    };
    let spool = nagios.spool();
    let Some(mount) = Mount::new(&spool, "2m") else {
        return;
    };
    nagios.run();
    into_nagios(&nagios, "10s", framed(1, 0, "before")).success();
    wait_for("it is there", || {
        own_output(&nagios).filter(|says| says == "before")
    });
    let large = "x".repeat(3 << 20);
    let full = into_nagios(&nagios, "10s", framed(2, 2, &large)).expect(75);
    assert!(full.errors().contains("No space left"), "{full:?}");
    assert_eq!(fs::read_dir(&spool).expect("it is there").count(), 0);
    assert_eq!(own_output(&nagios).as_deref(), Some("before"));
    mount.resize("20m");
    into_nagios(&nagios, "10s", framed(3, 2, &large)).success();
    wait_until("it is there, whole", || {
        own_output(&nagios).is_some_and(|says| says.len() == large.len())
    });
    nagios.stop();
}
