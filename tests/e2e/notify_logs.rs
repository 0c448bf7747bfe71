//! Lines in the log of a real rsyslogd: by UDP, by TCP, and by the socket of a
//! machine.

use std::net::TcpStream;

use harness::{Program, Running, Site, peer, ports, wait_until};

use crate::notify_centre::Centre;
use crate::notify_line::example;

/// A log server that runs as an ordinary user.
struct Rsyslog {
    site: Site,
    port: u16,
    _process: Running,
}

/// What it writes of a line: everything that it understood.
const TEMPLATE: &str =
    "%syslogfacility-text%|%syslogseverity-text%|%hostname%|%app-name%|%msgid%|%msg%\\n";

impl Rsyslog {
    #[track_caller]
    fn start() -> Option<Self> {
        if !peer::available("rsyslogd", "rsyslog") || !peer::available("setpriv", "util-linux") {
            return None;
        }
        let (site, port) = (Site::new("log"), ports::free());
        let at = site.directory().display();
        let configuration = format!(
            "global(workDirectory=\"{at}/var\")\n\
             module(load=\"imudp\")\nmodule(load=\"imtcp\")\n\
             module(load=\"imuxsock\" SysSock.Use=\"off\")\n\
             input(type=\"imudp\" address=\"127.0.0.1\" port=\"{port}\")\n\
             input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\")\n\
             input(type=\"imuxsock\" socket=\"{at}/tmp/run/log\" parseHostname=\"off\")\n\
             template(name=\"all\" type=\"string\" string=\"{TEMPLATE}\")\n\
             action(type=\"omfile\" file=\"{at}/var/lines\" template=\"all\")\n"
        );
        let file = site.write("etc/rsyslog.conf", configuration);
        let binary = peer::find("rsyslogd").expect("looked for above");
        let program = if peer::is_root() {
            peer::give(site.directory(), "nobody:nogroup");
            Program::foreign("setpriv", "rsyslogd")
                .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"])
                .arg(binary)
        } else {
            Program::foreign(binary, "rsyslogd")
        };
        let process = program
            .arg("-n")
            .arg("-f")
            .arg(file)
            .arg("-i")
            .arg(site.path("var/pid"))
            .with_family()
            .start();
        let log = Self {
            site,
            port,
            _process: process,
        };
        wait_until("rsyslogd listens", || {
            log.site.socket("log").exists() && TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Some(log)
    }

    fn lines(&self) -> Vec<String> {
        let bytes = std::fs::read(self.site.path("var/lines")).unwrap_or_default();
        let text = String::from_utf8(bytes).expect("UTF-8");
        text.lines().map(str::to_owned).collect()
    }
}

#[test]
fn a_real_log_server_understands_the_lines() {
    let Some(log) = Rsyslog::start() else {
        return;
    };
    let centre = Centre::start(|_| {
        let socket = log.site.socket("log");
        let example = example(
            "lanes-syslog.toml",
            &[
                ("unix:/dev/log", &format!("unix:{}", socket.display())),
                ("log.example.org:514", &format!("127.0.0.1:{}", log.port)),
            ],
        );
        format!(
            "{example}[[lane]]\nname = 'datagrams'\nsyslog = 'udp:127.0.0.1:{}'\nfacility = 'user'\n",
            log.port
        )
    });
    // Whatever it says, it is one line, and does not pretend to be another one.
    let outcome = centre.deliver(&[
        ("NOTIFICATIONTYPE", "PROBLEM"),
        ("HOSTNAME", "db1"),
        ("SERVICEDESC", "Disk größer"),
        ("SERVICESTATE", "CRITICAL"),
        (
            "SERVICEOUTPUT",
            "99 %|used\n<0>Nov 21 00:00:00 evil su: root",
        ),
    ]);
    assert_eq!(
        outcome.last().map(String::as_str),
        Some("ended: delivered"),
        "{outcome:?}"
    );
    let answers: Vec<&str> = outcome
        .iter()
        .filter_map(|text| text.split(' ').nth(1))
        .collect();
    assert!(answers.contains(&"taken"), "{outcome:?}");
    wait_until("three lines", || log.lines().len() == 3);
    let lines = log.lines();
    let line = |facility: &str| {
        let mut found = lines.iter().filter(|line| line.starts_with(facility));
        let line = found
            .next()
            .unwrap_or_else(|| panic!("{facility}: {lines:#?}"));
        line.split('|').map(str::to_owned).collect::<Vec<_>>()
    };
    let said = "99 %|used <0>Nov 21 00:00:00 evil su: root";
    let by_socket = line("daemon");
    assert_eq!(by_socket[1], "crit");
    assert_eq!(by_socket[3], "notifyd");
    let text = by_socket[5..].join("|");
    assert!(
        text.trim_start().starts_with(&format!(
            "PROBLEM db1/Disk größer is CRITICAL: {said} [remote1 "
        )),
        "{text}"
    );
    let by_tcp = line("local3");
    assert_eq!(by_tcp[1], "crit");
    assert_eq!(by_tcp[2], by_socket[2], "the name of the machine");
    assert_eq!(by_tcp[3..5], ["notifyd", "PROBLEM"]);
    let text = by_tcp[5..].join("|");
    assert_eq!(
        text.trim_start_matches('\u{feff}'),
        format!("remote1 PROBLEM db1/Disk größer CRITICAL: {said}")
    );
    let by_udp = line("user");
    assert_eq!(by_udp[3..5], ["notifyd", "PROBLEM"]);
}
