//! agentd asks the real programs that keep a clock. None of them may move the
//! clock of this machine.

use harness::{Program, Running, Site, peer, ports, wait_for};
use serde_json::Value;

use crate::agentd_figures::{checkmk_reader, enclosed, systems_bus};

/// agentd once, with a chronyd at this port.
fn agentd(site: &Site, chrony: u16, format: &str) -> String {
    let nobody = ports::free();
    let config = format!(
        "[default]\ncustomchecks =\n[sitewire]\nchrony-address = 127.0.0.1:{chrony}\n\
         ntp-address = 127.0.0.1:{nobody}\n"
    );
    let config = site.write("etc/config.ini", config);
    let agentd = Program::new("agentd").args(["--once", "--sample", "0", "--format", format]);
    agentd.arg("-c").arg(config).run().success().text()
}

/// A chronyd that takes its own clock for the true one (with `local`), or knows
/// no other; commands only, and no privileges.
fn chronyd(site: &Site, port: u16, local: &str) -> Option<(Running, String)> {
    let chronyd = peer::unpacked("chrony", "usr/sbin/chronyd")?;
    let chronyc = peer::unpacked("chrony", "usr/bin/chronyc")?;
    let pid = site.path("chronyd.pid");
    let config = format!(
        "{local}\nport 0\ncmdport {port}\nbindcmdaddress 127.0.0.1\nbindcmdaddress /\npidfile {}\n",
        pid.display()
    );
    let config = site.write("etc/chrony.conf", config);
    let user = Program::foreign("id", "id").arg("-un").run().success();
    let running = Program::foreign(chronyd, "chronyd")
        .args(["-d", "-x", "-U", "-u", user.text().trim(), "-f"])
        .arg(config)
        .start();
    let tracking = wait_for("chronyd's answer", || {
        let asked = Program::foreign(&chronyc, "chronyc")
            .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-n", "tracking"])
            .run();
        (asked.code() == Some(0)).then(|| asked.text())
    });
    Some((running, tracking))
}

#[test]
fn a_clock_that_chronyd_keeps_is_as_chronyd_says() {
    for (local, is_synchronised) in [("local stratum 5", true), ("", false)] {
        let site = Site::new("chrony");
        let port = ports::free();
        let Some((_running, tracking)) = chronyd(&site, port, local) else {
            return;
        };
        let document: Value =
            serde_json::from_str(&agentd(&site, port, "json")).expect("a document");
        assert_eq!(document["ntp"]["SyncStatus"], is_synchronised, "{local}");
        assert_eq!(document["ntp"]["Offset"], 0.0);
        assert_eq!(document["errors"]["ntp"], Value::Null);
        let text = agentd(&site, port, "checkmk");
        let section = text.split("<<<chrony>>>\n").nth(1).expect("a section");
        let section = section.split("<<<").next().unwrap_or_default();
        // With a clock of its own the time of reference is always now.
        let steady = |text: &str| -> Vec<String> {
            let lines = text.lines().filter(|line| !line.starts_with("Ref time"));
            lines.map(str::to_owned).collect()
        };
        assert_eq!(steady(section), steady(&tracking));
        assert_eq!(section.lines().count(), tracking.lines().count());
        let read = checkmk_reader(text);
        let leap = if is_synchronised {
            "Normal"
        } else {
            "Not synchronised"
        };
        assert_eq!(read["chrony"]["Leap status"], leap);
    }
}

#[test]
fn a_chronyd_without_a_port_is_asked_at_its_socket() {
    if !peer::needs_root("unshare") || !peer::available("ip", "iproute2") {
        return;
    }
    let Some(chronyd) = peer::unpacked("chrony", "usr/sbin/chronyd") else {
        return;
    };
    let site = Site::new("chrony-socket");
    let config = site.write(
        "chrony.conf",
        "local stratum 7\nport 0\ncmdport 0\npidfile /run/pid\n",
    );
    let text = enclosed(
        "checkmk",
        "LC_ALL=C",
        &format!(
            "own {} -d -x -U -u root -f {} >&2\nwait_for '^<<<chrony>>>'\nif ls /run/chrony | grep -q agentd; then exit 1; fi",
            chronyd.display(),
            config.display()
        ),
    );
    assert_eq!(checkmk_reader(text)["chrony"]["Stratum"], "7");
}

#[test]
fn an_ntpd_tells_whom_it_compares_itself_with() {
    if !peer::needs_root("unshare") || !peer::available("ip", "iproute2") {
        return;
    }
    let Some(ntpd) = peer::unpacked("ntpsec", "usr/sbin/ntpd") else {
        return;
    };
    let site = Site::new("ntpd");
    let config = site.write(
        "ntp.conf",
        "disable ntp\nrefclock local unit 0 stratum 6\nserver 127.0.0.1\n\
         restrict default noquery\nrestrict 127.0.0.1\n",
    );
    let text = enclosed(
        "checkmk",
        "LC_ALL=C",
        &format!(
            "own {} -n -c {} >&2\nwait_for '^. LOCAL'",
            ntpd.display(),
            config.display()
        ),
    );
    let read = checkmk_reader(text);
    let local = &read["ntp"]["LOCAL(0)"];
    assert_eq!(local["refid"], ".LOCL.");
    assert_eq!(local["st"], 6);
    assert_eq!(local["t"], "l");
    assert_eq!(read["ntp"]["127.0.0.1"]["t"], "u");
}

#[test]
fn a_clock_that_timesyncd_keeps_is_as_it_says_on_the_bus() {
    if !peer::needs_root("unshare") || !peer::available("ip", "iproute2") {
        return;
    }
    let site = Site::new("timesync");
    let Some((_running, address)) = systems_bus(&site) else {
        return;
    };
    let bus = format!("DBUS_SYSTEM_BUS_ADDRESS={address}");
    let script = "mkdir -p /run/systemd/timesync\ntouch -d @1795000000 /run/systemd/timesync/synchronized\n\
                  wait_for '^<<<timesyncd>>>'";
    let read = checkmk_reader(enclosed("checkmk", &bus, script));
    let read = &read["timesyncd"];
    assert_eq!(read["Server"], "192.0.2.9 (time.example.net)");
    assert_eq!(read["Stratum"], "2");
    assert_eq!(read["Offset"], 0.0025);
    assert_eq!(read["Delay"], 0.03);
    assert_eq!(read["synced"], 1_795_000_000);
}
