//! Configurations of two sites taken into one real Nagios, which has the last
//! word about them.

use std::path::Path;

use harness::livestatus::{command, rows};
use harness::{Livestatusd, Nagios, Outcome, Program, peer, wait_until};

use crate::remote_site;

/// A Nagios whose user runs liveload.
struct Centre {
    nagios: Nagios,
}

impl Centre {
    fn start() -> Option<Self> {
        let nagios = Nagios::start("central", &[])?;
        Some(Self { nagios })
    }

    fn load(&self, site: &str, more: &str, dump: &[u8]) -> Outcome {
        let nagios = &self.nagios;
        let at = nagios.site().directory().display();
        let as_nagios = match peer::is_root() {
            true => "setpriv --reuid=nagios --regid=nagios --clear-groups",
            false => "",
        };
        Program::bash(&format!(
            "{as_nagios} liveload --site {site} --config-dir {} --ledger {at}/var/ledger \
             --check-command 'nagios4 -v {}' --reload-command 'kill -HUP {}' \
             --reload-interval 0s {more}",
            nagios.conf_d().display(),
            nagios.main().display(),
            nagios.pid()
        ))
        .env("PATH", path())
        .input(dump)
        .run()
    }

    fn hosts(&self) -> Vec<String> {
        let hosts = self.nagios.objects("host");
        let mut names: Vec<_> = hosts
            .into_iter()
            .filter_map(|mut host| host.remove("host_name"))
            .collect();
        names.sort();
        names
    }

    #[track_caller]
    fn wait_for_hosts(&self, hosts: &[&str]) {
        wait_until("Nagios has the hosts", || self.hosts() == hosts);
    }

    fn reloads(&self) -> usize {
        self.nagios.log().matches("Caught SIGHUP").count()
    }
}

/// Where nagios4 and our programs are.
fn path() -> String {
    let programs = harness::program::target_directory();
    format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", programs.display())
}

fn dump(remote: &Livestatusd, site: &str, more: &[&str]) -> Vec<u8> {
    Program::new("livedump")
        .args(["-C", "--site", site, "-s"])
        .arg(remote.live("remote1"))
        .args(more)
        .run()
        .success()
        .stdout
}

#[test]
fn configurations_of_two_sites_are_proved_by_nagios_before_it_reads_them() {
    let Some(centre) = Centre::start() else {
        return;
    };
    let remote = remote_site::start();
    let first = dump(&remote, "remote1", &["-T", "--define-missing"]);
    centre.load("remote1", "", &first).success();
    centre.wait_for_hosts(&["central", "localhost"]);
    assert_eq!(centre.reloads(), 1);
    let services = centre.nagios.objects("service");
    let descriptions: Vec<_> = services
        .iter()
        .filter(|service| service["host_name"] == "localhost")
        .map(|service| service["service_description"].as_str())
        .collect();
    assert_eq!(descriptions.len(), remote_site::SERVICES.len());
    for (description, ..) in remote_site::SERVICES {
        assert!(descriptions.contains(description), "{descriptions:?}");
    }

    // The same once more, from a newer dump: Nagios is left alone.
    let again = dump(&remote, "remote1", &["-T", "--define-missing"]);
    centre.load("remote1", "", &again).success();
    assert_eq!(centre.reloads(), 1);

    // A second site with a host of the same name.
    let second = dump(&remote, "remote2", &["-T"]);
    let clash = centre.load("remote2", "", &second);
    assert_eq!(clash.code(), Some(1), "{clash:?}");
    let said = clash.errors();
    assert!(
        said.contains("site remote2") && said.contains("site remote1"),
        "{said}"
    );
    let second = dump(&remote, "remote2", &["-T"]);
    centre.load("remote2", "--prefix r2-", &second).success();
    centre.wait_for_hosts(&["central", "localhost", "r2-localhost"]);
    assert_eq!(centre.reloads(), 2);
}

#[test]
fn what_nagios_refuses_is_put_back_and_it_goes_on() {
    let Some(mut centre) = Centre::start() else {
        return;
    };
    let remote = remote_site::start();
    // Templates without the command that they name: nobody at the centre has it.
    let without = dump(&remote, "remote1", &[]);
    let refused = centre.load("remote1", "", &without);
    assert_eq!(refused.code(), Some(1), "{refused:?}");
    assert!(refused.errors().contains("put back"), "{refused:?}");
    assert!(refused.errors().contains("Error: "), "{refused:?}");
    assert!(!centre.nagios.conf_d().join("sitewire-remote1.cfg").exists());
    let good = dump(&remote, "remote1", &["-T"]);
    centre.load("remote1", "", &good).success();
    centre.wait_for_hosts(&["central", "localhost"]);
    let file = centre.nagios.conf_d().join("sitewire-remote1.cfg");
    let before = std::fs::read(&file).expect("it is there");
    // Every directive may stand there, but the group does not exist.
    let broken = dump(&remote, "remote1", &["-T", "--contact-group", "nobody"]);
    let refused = centre.load("remote1", "", &broken);
    assert_eq!(refused.code(), Some(1), "{refused:?}");
    assert!(refused.errors().contains("nobody"), "{refused:?}");
    assert_eq!(std::fs::read(&file).expect("it is there"), before);
    assert_eq!(centre.reloads(), 1);
    centre.nagios.check().success();
    // It starts again with what is there.
    centre.nagios.stop();
    centre.nagios.run();
    centre.wait_for_hosts(&["central", "localhost"]);
}

#[test]
fn reloads_are_rationed_and_none_is_forgotten() {
    let Some(centre) = Centre::start() else {
        return;
    };
    let remote = remote_site::start();
    let slow = |more: &str| format!("--reload-interval 1h {more}");
    let first = dump(&remote, "remote1", &["-T"]);
    centre.load("remote1", &slow(""), &first).success();
    centre.wait_for_hosts(&["central", "localhost"]);
    let second = dump(&remote, "remote2", &["-T"]);
    let late = centre
        .load("remote2", &slow("--prefix r2-"), &second)
        .success();
    assert!(late.errors().contains("--reload-pending"), "{late:?}");
    assert_eq!(centre.reloads(), 1);
    centre.load("remote1", "--reload-pending", b"").success();
    centre.wait_for_hosts(&["central", "localhost", "r2-localhost"]);
    assert_eq!(centre.reloads(), 2);
}

/// A site with that many hosts.
fn site_of(remote: &Livestatusd, hosts: usize) {
    let mut text = String::from("shadow_hosts.update({\n");
    for host in 0..hosts {
        text.push_str(&format!(
            "'host-{host}': {{'services': {{'ping': {{}}}}}},\n"
        ));
    }
    remote.configure("remote1", (text + "})\n").as_bytes());
    let live = remote.live("remote1");
    wait_until("the site has its hosts", || {
        rows(&live, "services", &["description"], &[]).len() == hosts
    });
}

#[test]
fn a_site_that_loses_half_its_hosts_loses_them_at_the_centre_when_somebody_says_so() {
    let Some(centre) = Centre::start() else {
        return;
    };
    let remote = Livestatusd::start_with(&["remote1"], "allow_unmarked = true");
    site_of(&remote, 8);
    let live = remote.live("remote1");
    command(
        &live,
        (0..8).map(|host| format!("PROCESS_HOST_CHECK_RESULT;host-{host};1;of {host}")),
    );
    let display = Livestatusd::start(&["remote1"]);
    let cmcdump = |options: &[&str]| {
        let dump = Program::new("cmcdump").args(["--site", "remote1", "-s"]);
        dump.arg(&live).args(options).run().success().stdout
    };
    let cmcload = |options: &[&str], at: &Path, dump: Vec<u8>| {
        let load = Program::new("cmcload")
            .args(["--site", "remote1"])
            .args(options);
        load.arg(at).input(dump).run().success().text()
    };
    let shadow = display.site.path("etc/shadow/remote1");
    let reload = format!("kill -HUP {}", display.process.pid());
    let configuration = ["--reload-command", &reload, "--directory"];
    let of_display = || rows(&display.live("remote1"), "hosts", &["name"], &[]).len();
    let states = |dump: &[u8]| {
        let (spool, cache) = (centre.nagios.spool(), centre.nagios.object_cache());
        let way = format!("--target {} --objects {}", spool.display(), cache.display());
        centre.load("remote1", &way, dump)
    };
    let livedump = || {
        let dump = Program::new("livedump").args(["--site", "remote1", "-s"]);
        dump.arg(&live).run().success().stdout
    };

    centre
        .load("remote1", "", &dump(&remote, "remote1", &["-T"]))
        .success();
    wait_until("Nagios has all hosts", || centre.hosts().len() == 9);
    cmcload(&configuration, &shadow, cmcdump(&["-C"]));
    wait_until("livestatusd has all hosts", || of_display() == 8);
    let before = livedump();
    states(&before).success();
    cmcload(&["--socket"], &display.ingest("remote1"), cmcdump(&[]));
    centre
        .nagios
        .wait_for_states("all states are there", |states| {
            let down = |host: usize| {
                states[&(format!("host-{host}"), None)]["plugin_output"] == format!("of {host}")
            };
            (0..8).all(down)
        });

    site_of(&remote, 4);
    let half = dump(&remote, "remote1", &["-T"]);
    let refused = centre.load("remote1", "", &half).expect(1);
    assert!(refused.errors().contains("--allow-shrink"), "{refused:?}");
    assert_eq!(centre.hosts().len(), 9);
    // States of the others come as ever.
    states(&livedump()).success();

    let half = dump(&remote, "remote1", &["-T"]);
    centre.load("remote1", "--allow-shrink", &half).success();
    wait_until("Nagios has half of them", || centre.hosts().len() == 5);
    cmcload(&configuration, &shadow, cmcdump(&["-C"]));
    wait_until("livestatusd has half of them", || of_display() == 4);
    // An old dump that turns up has nobody to tell of the others.
    let late = String::from_utf8(before).expect("text");
    let late = states(late.as_bytes()).expect(3);
    assert!(late.errors().contains("older than"), "{late:?}");
    let said = cmcload(&["--socket"], &display.ingest("remote1"), cmcdump(&[]));
    assert_eq!(said, "taken 8, unknown 0, refused 0\n");
    centre
        .nagios
        .wait_for_states("those that stay keep their states", |states| {
            let all = |host: usize| states.get(&(format!("host-{host}"), None));
            (0..4).all(|host| {
                all(host).is_some_and(|state| state["plugin_output"] == format!("of {host}"))
            }) && (4..8).all(|host| all(host).is_none())
        });
}
