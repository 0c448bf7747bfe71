//! Configurations of two sites taken into one real Nagios, which has the last
//! word about them.

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
