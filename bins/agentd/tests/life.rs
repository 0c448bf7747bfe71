//! How the daemon starts, takes a new configuration, logs and ends; and the port
//! for Checkmk.

mod support;

use std::fs;
use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use support::{Agent, Home, PATIENCE, Request};

#[test]
fn both_signals_end_it_with_its_children() {
    for signal in [Signal::TERM, Signal::INT] {
        let home = Home::new("[default]\ncustomchecks = @/checks.ini\n");
        home.put(
            "checks.ini",
            "[forks]\nshell = /bin/sh\ncommand = sleep 987 & echo $! >@/child; wait\nenabled = 1\n\
             timeout = 60\n",
        );
        let mut agent = home.start();
        let deadline = std::time::Instant::now() + PATIENCE;
        let child = loop {
            match fs::read_to_string(agent.home.path("child")) {
                Ok(text) if text.ends_with('\n') => break text.trim().to_owned(),
                _ => assert!(std::time::Instant::now() < deadline, "{}", agent.said()),
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        };
        agent.signal(signal);
        assert_eq!(agent.wait().code(), Some(0));
        let deadline = std::time::Instant::now() + PATIENCE;
        while is_alive(&child) {
            assert!(
                std::time::Instant::now() < deadline,
                "{child} is still there"
            );
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// A process that is not merely waited for.
fn is_alive(pid: &str) -> bool {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = text.rsplit(')').next().unwrap_or_default().trim_start();
    !state.is_empty() && !state.starts_with('Z')
}

#[test]
fn a_new_configuration_is_taken_whole_and_the_document_stays() {
    let agent = Home::new("interval = 600\n").start();
    agent.document();
    let first = agent.port();
    let answer = agent.get("/").text();
    // The same port, another rule.
    agent.home.configure("interval = 600\nauth = me:word\n");
    agent.signal(Signal::HUP);
    agent.wait_for("the configuration has been read");
    assert_eq!(agent.port(), first);
    assert_eq!(agent.get("/").status, 403);
    let known = [("Authorization", "Basic bWU6d29yZA==")];
    let with = Request::get("/").with(&known);
    // Never an empty one while there is an older one.
    assert_eq!(agent.ask(&with).text(), answer);
    // Things that cannot be used, one after the other: all stays as it was.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = listener.local_addr().unwrap().port();
    for (number, (config, reason)) in [
        ("interval = x\n".to_owned(), "`interval = x` is no number"),
        (format!("port = {busy}\n"), "cannot listen on 127.0.0.1"),
        (
            "certfile = @/none\nkeyfile = @/none\n".to_owned(),
            "none: No such file",
        ),
        (
            "[oitc]\nenabled = 1\napikey = k\nurl = http://x\nauthfile = /none/x\n".to_owned(),
            "/none/x",
        ),
        (
            format!("[sitewire]\ncheckmk-address = 127.0.0.1:{busy}\n"),
            "cannot listen on 127.0.0.1",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        agent.home.configure(&config);
        agent.signal(Signal::HUP);
        agent.wait_until("the old one stays", |said| {
            said.matches("the old configuration stays in effect")
                .count()
                == number + 1
        });
        assert!(agent.said().contains(reason), "{reason}: {}", agent.said());
        assert_eq!(agent.port(), first);
        assert_eq!(agent.ask(&with).text(), answer);
        assert_eq!(agent.get("/").status, 403);
    }
    let metrics = agent.ask(&Request::get("/metrics").with(&known)).text();
    assert!(
        metrics.contains("\nsitewire_agentd_reloads_failed_total 5\n"),
        "{metrics}"
    );
}

#[test]
fn a_start_that_fails_says_why() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = listener.local_addr().unwrap().port();
    for (config, reason) in [
        (
            "interval = 0\n".to_owned(),
            "config.ini:14: `interval` must be at least 1 second",
        ),
        (format!("port = {busy}\n"), "Address already in use"),
        (
            "certfile = @/none\nkeyfile = @/none\n".to_owned(),
            "none: No such file",
        ),
    ] {
        let home = Home::new(&config);
        let command = home.command();
        let mut agent = Agent::start(home, command);
        assert_eq!(agent.wait().code(), Some(1));
        agent.wait_for(reason);
    }
}

#[test]
fn a_check_names_files_that_cannot_be_used_and_touches_none() {
    for (config, file, code, said) in [
        ("", "", 0, ""),
        ("colour = red\n", "", 0, "unknown key `colour`"),
        (
            "certfile = @/x\nkeyfile = @/y\n",
            "",
            78,
            "/x: No such file",
        ),
        ("try-autossl = 1\n", "agent.crt", 0, ""),
        (
            "try-autossl = 1\n",
            "agent.crt agent.key server_ca.crt",
            78,
            "no certificate in PEM",
        ),
        (
            "[oitc]\nenabled = 1\nurl = http://x\napikey = k\n",
            "",
            0,
            "",
        ),
        (
            "[oitc]\nenabled = 1\nurl = http://x\napikey = k\n",
            "auth.json",
            78,
            "auth.json",
        ),
        (
            "[oitc]\nenabled = 1\nurl = http://x\napikey = k\nproxy = ::\n",
            "",
            78,
            "is no URL of a proxy",
        ),
    ] {
        let home = Home::new(config);
        for name in file.split_whitespace() {
            home.put(name, "junk");
        }
        let count = |home: &Home| fs::read_dir(home.0.path()).unwrap().count();
        let before = count(&home);
        let mut command = Command::new(env!("CARGO_BIN_EXE_agentd"));
        command
            .arg("--check-config")
            .arg("-c")
            .arg(home.path("config.ini"));
        let output = command.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{config}: {stderr}");
        assert!(
            stderr.contains(said) && stderr.is_empty() == said.is_empty(),
            "{config}: {stderr}"
        );
        assert_eq!(count(&home), before, "{config}");
    }
}

#[test]
fn the_service_manager_is_told_when_it_serves_and_when_it_stops() {
    let home = Home::new("");
    let path = home.path("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = home.command();
    command.env("NOTIFY_SOCKET", &path);
    let mut agent = Agent::start(home, command);
    let next = || {
        let mut buffer = [0; 256];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    assert_eq!(next().trim(), "READY=1");
    assert_eq!(agent.get("/packages").status, 200);
    agent.signal(Signal::TERM);
    assert_eq!(next().trim(), "STOPPING=1");
    assert_eq!(agent.wait().code(), Some(0));
}

#[test]
fn the_log_is_a_file_of_its_own_and_follows_one_that_was_moved() {
    let home = Home::new("");
    let log = home.path("deep/agent.log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_agentd"));
    command.arg("-v").arg("-c").arg(home.path("config.ini"));
    command.arg("--log").arg(&log);
    let mut agent = Agent::start(home, command);
    agent.wait_for("listening on");
    let text = fs::read_to_string(&log).unwrap();
    assert_eq!(text, agent.said());
    let line = text.lines().last().unwrap();
    let rest = line.strip_prefix("time=\"20").unwrap();
    assert!(
        rest.contains("\" level=info msg=\"listening on 127.0.0.1:"),
        "{line}"
    );
    assert!(!agent.home.exists("deep/agent.log.test"));
    fs::rename(&log, agent.home.path("deep/moved")).unwrap();
    agent.signal(Signal::HUP);
    agent.wait_for("the configuration has been read");
    assert!(
        fs::read_to_string(&log)
            .unwrap()
            .contains("the configuration has been read")
    );
    agent.signal(Signal::TERM);
    agent.wait();
}

#[test]
fn a_healthy_agent_is_silent() {
    let home = Home::new("");
    let mut command = Command::new(env!("CARGO_BIN_EXE_agentd"));
    command
        .args(["--disable-logfile", "-c"])
        .arg(home.path("config.ini"));
    let path = home.path("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    command.env("NOTIFY_SOCKET", &path);
    let mut agent = Agent::start(home, command);
    manager.recv(&mut [0; 64]).unwrap();
    agent.signal(Signal::TERM);
    assert_eq!(agent.wait().code(), Some(0));
    assert_eq!(agent.said(), "");
}

fn sections(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn checkmk_is_answered_at_a_port_of_its_own() {
    let agent = Home::new("[sitewire]\ncheckmk-address = 127.0.0.1:0\n").start();
    agent.wait_for("Checkmk may ask at");
    let said = agent.said();
    let port = said.rsplit("Checkmk may ask at 127.0.0.1:").next().unwrap();
    let port = port.split('"').next().unwrap().parse().unwrap();
    // Also before the first document is there.
    let text = sections(port);
    assert!(text.starts_with("<<<check_mk>>>\n"), "{text}");
    assert!(
        text.contains("\n<<<df>>>\n") && text.ends_with('\n'),
        "{text}"
    );
    agent
        .home
        .configure("[sitewire]\ncheckmk-address = 127.0.0.1:0\ncheckmk-from = 192.0.2.1\n");
    agent.signal(Signal::HUP);
    agent.wait_for("the configuration has been read");
    assert_eq!(sections(port), "");
}

#[test]
fn checkmk_is_answered_at_a_socket_of_the_service_manager() {
    // It is part of systemd, which not every machine has.
    if Command::new("systemd-socket-activate")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_err()
    {
        eprintln!("skipped: there is no systemd-socket-activate");
        return;
    }
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let home = Home::new("");
    let mut command = Command::new("systemd-socket-activate");
    command.arg("-l").arg(format!("127.0.0.1:{port}"));
    command.arg(env!("CARGO_BIN_EXE_agentd"));
    command
        .args(["--disable-logfile", "-v", "-c"])
        .arg(home.path("config.ini"));
    let agent = Agent::start(home, command);
    agent.wait_for("Listening on");
    let text = sections(port);
    assert!(text.starts_with("<<<check_mk>>>\n"), "{text}");
    agent.signal(Signal::TERM);
}
