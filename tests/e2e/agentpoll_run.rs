//! agentpoll asks many agents, whatever some of them do.

use std::collections::BTreeMap;

use harness::agents::{Manner, answer_with, document};
use harness::{Agents, Program, Running, Site, wait_until};
use serde_json::Value;

/// A running agentpoll with its files.
struct Poll {
    site: Site,
    process: Running,
}

impl Poll {
    /// With an interval of one second, and results in a file.
    #[track_caller]
    fn start(agents: &Agents, hosts: usize, more: &str) -> Self {
        let site = Site::new("poll");
        site.write(
            "etc/agentpoll.toml",
            configuration(&site, agents, hosts, more),
        );
        let process = Program::new("agentpoll")
            .arg("run")
            .arg("-c")
            .arg(site.path("etc/agentpoll.toml"))
            .start();
        let mut poll = Self { site, process };
        poll.process.wait_for_line("ready, ");
        poll
    }

    /// All results so far.
    fn results(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.site.path("var/results.json"));
        let text = text.unwrap_or_default();
        // The last line may just be written.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }

    /// The newest return code and output by service; the host itself has the
    /// empty one.
    fn newest(&self, host: &str) -> BTreeMap<String, (u64, String)> {
        let results = self.results();
        let own = results.iter().filter(|result| result["host_name"] == host);
        own.map(|result| {
            let service = result["service_description"].as_str().unwrap_or("");
            let output = result["plugin_output"].as_str().unwrap_or("");
            let code = result["return_code"].as_u64().unwrap_or(99);
            (service.to_owned(), (code, output.to_owned()))
        })
        .collect()
    }
}

fn configuration(site: &Site, agents: &Agents, hosts: usize, more: &str) -> String {
    let at = site.directory().display();
    let port = agents.port();
    let mut text = format!(
        "[state]\ndirectory = \"{at}/var/state\"\nfile = \"{at}/var/state.json\"\nmetrics = \"{at}/var/metrics\"\n\
         [poll]\ninterval = \"1s\"\n\
         [[output]]\nkind = \"json\"\nfile = \"{at}/var/results.json\"\n\
         [defaults]\ntls = \"off\"\nport = {port}\n{more}\n"
    );
    for number in 0..hosts {
        let address = Agents::address(number);
        text.push_str(&format!(
            "[[host]]\nname = \"host{number}\"\naddress = \"{address}\"\n"
        ));
    }
    text
}

#[test]
fn every_agent_is_asked_in_every_interval_while_a_third_hangs() {
    let agents = Agents::start(|number, _| match number % 6 {
        0 => Manner::Hang,
        3 => Manner::Drip,
        _ => Manner::Document(document(number, 1)),
    });
    // The tests share the machine with others: they may hang on longer.
    let poll = Poll::start(&agents, 30, "deadline = \"900ms\"\nstale_after = \"6s\"");
    let good: Vec<usize> = (0..30).filter(|number| number % 3 != 0).collect();
    wait_until("each good agent was asked five times", || {
        good.iter().all(|number| agents.asked(*number).len() >= 5)
    });
    wait_until("the results are there, and the silent are told", || {
        good.iter().all(|number| {
            let newest = poll.newest(&format!("host{number}"));
            newest.get("Custom check: raid") == Some(&(0, format!("OK: agent {number}")))
        }) && poll
            .newest("host0")
            .get("")
            .is_some_and(|(code, text)| *code == 1 && text.contains("no document of the agent"))
            && poll.newest("host3").contains_key("")
    });
    let state: Value = serde_json::from_slice(&poll.site.read("var/state.json")).unwrap();
    assert_eq!(state["hosts"]["host1"]["mode"], "pull");
    for number in &good {
        let newest = poll.newest(&format!("host{number}"));
        assert_eq!(newest[""].0, 0, "{newest:?}");
        assert_eq!(newest["cron.service"].0, 0, "{newest:?}");
        let used = number % 100;
        assert!(
            newest["Memory"].1.contains(&format!("{used}.0 % used")),
            "{newest:?}"
        );
    }
    assert!(poll.process.terminate().success());
}

#[test]
fn agents_that_answer_nonsense_are_told_with_the_reason() {
    let agents = Agents::start(|number, head| {
        let bytes = |text: &str| Manner::Bytes(text.as_bytes().to_vec());
        match number {
            0 => bytes("SSH-2.0-OpenSSH_9\r\n"),
            1 => Manner::Bytes(answer_with("403 Forbidden", "Forbidden")),
            2 => Manner::Bytes(answer_with("200 OK", "{}")),
            3 => Manner::Bytes(answer_with("200 OK", "<html>")),
            4 => bytes("HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{"),
            5 => bytes(&format!(
                "HTTP/1.1 200 OK\r\nX: {}\r\n\r\n{{}}",
                "x".repeat(1 << 20)
            )),
            6 => bytes("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{"),
            7 => Manner::Document(document(7, 1000)),
            8 if head.contains("authorization: Basic cG9sbDpzZWNyZXQ=") => {
                Manner::Document(document(8, 1))
            }
            _ => Manner::Bytes(answer_with("403 Forbidden", "")),
        }
    });
    let site = Site::new("login");
    let login = site.write_secret("etc/login", "poll:secret\n");
    let more = format!("login_file = \"{}\"", login.display());
    let poll = Poll::start(&agents, 9, &more);
    for (host, reason) in [
        ("host0", "does not answer as it should"),
        ("host1", "refuses: wrong user or password?"),
        ("host2", "has no `agent`"),
        ("host3", "not a JSON object"),
        ("host4", "broke off"),
        ("host5", "does not answer as it should"),
        ("host6", "longer than 64 MiB"),
    ] {
        wait_until(&format!("{host}: {reason}"), || {
            poll.process.has_said(&[host, reason])
                && poll
                    .newest(host)
                    .get("")
                    .is_some_and(|(code, text)| *code == 1 && text.contains(reason))
        });
    }
    // This one answers well, with what is old.
    wait_until("a stale document is told", || {
        let newest = poll.newest("host7");
        newest
            .get("")
            .is_some_and(|(code, text)| *code == 1 && text.contains("is stale"))
            && newest.get("Memory").is_some_and(|(code, _)| *code == 3)
    });
    wait_until("the login is taken", || {
        poll.newest("host8")
            .get("")
            .is_some_and(|(code, _)| *code == 0)
    });
    assert!(!poll.process.has_said(&["secret"]));
}

#[test]
fn a_host_that_stops_answering_goes_down_with_all_its_services_and_comes_back() {
    let is_there = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let asked = std::sync::Arc::clone(&is_there);
    let agents =
        Agents::start(
            move |number, _| match asked.load(std::sync::atomic::Ordering::Relaxed) {
                true => Manner::Document(document(number, 1)),
                false => Manner::Bytes(Vec::new()),
            },
        );
    let poll = Poll::start(&agents, 1, "stale_after = \"2s\"");
    let is = |code: u64, memory: u64| {
        let newest = poll.newest("host0");
        newest.get("").is_some_and(|(found, _)| *found == code)
            && newest
                .get("Memory")
                .is_some_and(|(found, _)| *found == memory)
    };
    wait_until("it is up", || is(0, 0));
    is_there.store(false, std::sync::atomic::Ordering::Relaxed);
    wait_until("it is down", || is(1, 3));
    let newest = poll.newest("host0");
    assert!(newest.values().all(|(code, _)| *code != 0), "{newest:?}");
    assert!(
        newest["Memory"]
            .1
            .contains("stale: no document of the agent for"),
        "{newest:?}"
    );
    is_there.store(true, std::sync::atomic::Ordering::Relaxed);
    wait_until("it is up again", || is(0, 0));
}

#[test]
fn a_new_configuration_counts_at_once_and_a_broken_one_never() {
    let agents = Agents::start(|number, _| Manner::Document(document(number, 1)));
    let mut poll = Poll::start(&agents, 1, "");
    wait_until("host0 is there", || !poll.newest("host0").is_empty());
    let good = configuration(&poll.site, &agents, 2, "");
    poll.site
        .write("etc/agentpoll.toml", good.replace("interval", "intervall"));
    poll.process.hang_up();
    poll.process.wait_for_line("unknown key `intervall`");
    poll.process.wait_for_line("stays as it was");
    let before = agents.asked(0).len();
    wait_until("the old one goes on", || agents.asked(0).len() > before + 1);
    poll.site.write("etc/agentpoll.toml", good);
    poll.process.hang_up();
    poll.process.wait_for_line("configuration read, 2 hosts");
    wait_until("host1 is there", || !poll.newest("host1").is_empty());
    let checked = Program::new("agentpoll")
        .args(["run", "--check-config", "-c"])
        .arg(poll.site.path("etc/agentpoll.toml"))
        .run();
    checked.success();
    assert!(poll.process.terminate().success());
}

#[test]
fn what_was_found_once_is_missed_also_after_a_restart() {
    let is_full = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let asked = std::sync::Arc::clone(&is_full);
    let agents = Agents::start(move |number, _| {
        let document = document(number, 1);
        Manner::Document(match asked.load(std::sync::atomic::Ordering::Relaxed) {
            true => document,
            false => document
                .replace("\"swap\"", "\"swop\"")
                .replace("cron.service", "at.service"),
        })
    });
    let poll = Poll::start(&agents, 1, "");
    wait_until("all is there", || poll.newest("host0").contains_key("Swap"));
    let Poll { site, process } = poll;
    process.kill();
    is_full.store(false, std::sync::atomic::Ordering::Relaxed);
    let process = Program::new("agentpoll")
        .args(["run", "-c"])
        .arg(site.path("etc/agentpoll.toml"))
        .start();
    let poll = Poll { site, process };
    wait_until("swap is missed", || poll.newest("host0")["Swap"].0 == 3);
    wait_until("cron is missed", || {
        poll.newest("host0")["cron.service"].0 == 2
    });
    wait_until("what is new is there", || {
        poll.newest("host0").contains_key("at.service")
    });
}

#[test]
fn documents_can_be_had_by_url_and_by_host() {
    let agents = Agents::start(|number, _| Manner::Document(document(number, 1)));
    let site = Site::new("once");
    let config = site.write("etc/agentpoll.toml", configuration(&site, &agents, 3, ""));
    let url = format!("http://{}:{}", Agents::address(2), agents.port());
    let once = Program::new("agentpoll")
        .args(["once", "-n", "--host", "x", &url])
        .run();
    assert!(
        once.success()
            .text()
            .contains("x;Custom check: raid;0;OK: agent 2|n=2")
    );
    let once = Program::new("agentpoll")
        .args(["once", "-n", "host1", "-c"])
        .arg(&config)
        .run();
    assert!(
        once.success()
            .text()
            .contains("host1;Custom check: raid;0;OK: agent 1")
    );
    let found = Program::new("agentpoll")
        .args(["discover", "--format", "nagios", "host1", "-c"])
        .arg(&config)
        .run()
        .success()
        .text();
    assert!(found.contains("address            127.1.0.2\n"), "{found}");
    assert!(found.contains("service_description Memory\n"), "{found}");
    let nobody = Program::new("agentpoll")
        .args(["once", "-n", "nobody", "-c"])
        .arg(&config)
        .run();
    assert!(
        nobody
            .expect(1)
            .errors()
            .contains("neither a file nor a URL")
    );
}

#[test]
fn a_host_is_added_with_what_was_found() {
    let agents = Agents::start(|number, _| Manner::Document(document(number, 1)));
    let site = Site::new("add");
    let config = site.write("etc/agentpoll.toml", configuration(&site, &agents, 1, ""));
    let before = std::fs::read_to_string(&config).unwrap();
    let add = |more: &[&str], input: &str| {
        Program::new("agentpoll")
            .args(["add", "-c"])
            .arg(&config)
            .args(more)
            .input(input)
            .run()
    };
    let address = format!("{}:{}", Agents::address(5), agents.port());
    // Nothing is written as long as it is not complete.
    add(&["web5", "--address", &address, "--tls", "off", "-n"], "").success();
    let closed = format!("127.0.0.1:{}", harness::ports::free());
    add(&["web5", "--address", &closed, "--tls", "off", "-y"], "").expect(75);
    add(&["host0", "--address", &address, "--tls", "off", "-y"], "").expect(78);
    add(&["web5", "--address", &address, "--tls", "auto", "-y"], "").expect(78);
    assert_eq!(std::fs::read_to_string(&config).unwrap(), before);

    add(&["web5", "--address", &address, "--tls", "off", "-y"], "").success();
    let answers = format!("pull\n{address}\noff\nno\n{}", "y\nn\n".repeat(10));
    let asked = add(&["web6"], &answers).success().text();
    assert!(asked.contains("Where is the agent? [web6]"), "{asked}");
    let after = std::fs::read_to_string(&config).unwrap();
    assert!(after.starts_with(&before));
    let (web5, web6) = after[before.len()..].split_once("name = \"web6\"").unwrap();
    assert!(web5.contains("    \"Custom check: raid\",\n"), "{web5}");
    assert!(
        web6.matches("    \"").count() < web5.matches("    \"").count(),
        "{web6}"
    );
    Program::new("agentpoll")
        .args(["run", "--check-config", "-c"])
        .arg(&config)
        .run()
        .success();
}
