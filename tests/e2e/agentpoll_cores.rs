//! Results of agents reach real cores, by every way there is.

use harness::agents::{Manner, document};
use harness::livestatus::rows;
use harness::{
    Agents, Authority, Icinga2, Livestatusd, Nagios, Program, Running, Site, wait_until,
};

/// Agents of which the second has full disks.
fn agents() -> Agents {
    Agents::start(|number, _| {
        let document = document(number, 1);
        Manner::Document(match number {
            1 => document.replace("\"percent\": 40}", "\"percent\": 97.5}"),
            _ => document,
        })
    })
}

fn configuration(site: &Site, agents: &Agents, output: &str) -> std::path::PathBuf {
    let at = site.directory().display();
    let mut text = format!(
        "[state]\ndirectory = \"{at}/var/agentpoll\"\n[poll]\ninterval = \"1s\"\n{output}\n\
         [defaults]\ntls = \"off\"\nport = {}\n",
        agents.port()
    );
    for number in 0..2 {
        text.push_str(&format!(
            "[[host]]\nname = \"web{number}\"\naddress = \"{}\"\n",
            Agents::address(number)
        ));
    }
    site.write("etc/agentpoll.toml", text)
}

fn run(config: &std::path::Path) -> Running {
    let mut poll = Program::new("agentpoll")
        .args(["run", "-c"])
        .arg(config)
        .start();
    poll.wait_for_line("ready");
    poll
}

fn discover(config: &std::path::Path, format: &str, host: &str) -> Vec<u8> {
    Program::new("agentpoll")
        .args(["discover", "--format", format, host, "-c"])
        .arg(config)
        .run()
        .success()
        .stdout
}

#[test]
fn nagios_takes_files_and_commands_for_what_discovery_has_given_it() {
    let Some(mut nagios) = Nagios::new("central") else {
        return;
    };
    let agents = agents();
    let site = Site::new("poll");
    let spool = nagios.spool().display().to_string();
    let pipe = nagios.pipe().display().to_string();
    let by_file =
        format!("[[output]]\nkind = \"check-results\"\ndirectory = \"{spool}\"\nmode = \"0666\"");
    let by_pipe = format!("[[output]]\nkind = \"commands\"\npipe = \"{pipe}\"");
    let config = configuration(&site, &agents, &by_file);
    nagios.configure(
        "agentpoll.cfg",
        "define command {\n command_name agentpoll-silent\n command_line /bin/false\n}\n",
    );
    for host in ["web0", "web1"] {
        nagios.configure(&format!("{host}.cfg"), discover(&config, "nagios", host));
    }
    let checked = nagios.check();
    assert_eq!(checked.code(), Some(0), "{}", checked.text());
    nagios.run();
    for output in [&by_file, &by_pipe] {
        let config = configuration(&site, &agents, output);
        let poll = run(&config);
        let began = std::time::SystemTime::now();
        let began = began
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let state = |host: &str, service: Option<&str>, key: &str| {
            let name = (host.to_owned(), service.map(str::to_owned));
            let states = nagios.states();
            states
                .get(&name)
                .and_then(|state| state.get(key).cloned())
                .unwrap_or_default()
        };
        wait_until("Nagios knows all services of both hosts", || {
            let states = nagios.states();
            states.len() > 10
                && states.values().all(|state| {
                    let last = state
                        .get("last_check")
                        .and_then(|at| at.parse::<u64>().ok());
                    last.is_some_and(|last| last + 2 >= began)
                })
        });
        let disk = Some("Disk usage of: / _/dev/sda1_");
        let disk = match nagios
            .states()
            .contains_key(&("web1".to_owned(), disk.map(str::to_owned)))
        {
            true => disk,
            false => Some("Disk usage of: / (/dev/sda1)"),
        };
        assert_eq!(state("web1", disk, "current_state"), "2");
        assert_eq!(state("web0", disk, "current_state"), "0");
        assert_eq!(state("web0", None, "current_state"), "0");
        assert_eq!(
            state("web0", Some("Custom check: raid"), "plugin_output"),
            "OK: agent 0"
        );
        assert_eq!(
            state("web1", Some("Custom check: raid"), "performance_data"),
            "n=1"
        );
        assert!(poll.terminate().success());
        assert!(
            !nagios.log().contains("could not be found"),
            "{}",
            nagios.log()
        );
    }
}

#[test]
fn livestatusd_takes_commands_over_its_sockets() {
    let agents = agents();
    let site = Site::new("poll");
    let livestatusd = Livestatusd::start(&["remote1"]);
    let socket = livestatusd.live("remote1").display().to_string();
    let output = format!("[[output]]\nkind = \"livestatus\"\nsocket = \"{socket}\"");
    let config = configuration(&site, &agents, &output);
    livestatusd.configure("remote1", &discover(&config, "mk", "web1"));
    let _poll = run(&config);
    wait_until("livestatusd knows the full disk", || {
        let columns = ["state", "plugin_output"];
        let filter = ["Filter: description ~ Disk usage"];
        let found = rows(&livestatusd.live("remote1"), "services", &columns, &filter);
        found.iter().any(|row| row[0] == 2)
    });
    // By hand, once, with the same result.
    Program::new("agentpoll")
        .args(["once", "--socket", &socket, "web1", "-c"])
        .arg(&config)
        .run()
        .success();
}

#[test]
fn livestatusd_takes_commands_over_tls_from_whom_it_believes_and_from_nobody_else() {
    let agents = agents();
    let site = Site::new("poll");
    let authority = Authority::new(&["central", "remote1"]);
    let client_ca = format!(
        "serve = \"site\"\nclient_ca = \"{}\"",
        authority.ca().display()
    );
    let livestatusd =
        Livestatusd::start_with(&["remote1"], &authority.listen_table("central", &client_ca));
    let [port] = livestatusd.ports();
    let own = authority.of("remote1");
    let ca = authority.ca();
    let (ca, certificate, key) = (ca.display(), own.certificate.display(), own.key.display());
    let configured = |name: &str, identity: &str| {
        let output = format!(
            "[[output]]\nkind = \"livestatus\"\nsocket = \"tls:127.0.0.1:{port}\"\n\
             ca = \"{ca}\"\ntls_name = \"{name}\"\n{identity}"
        );
        configuration(&site, &agents, &output)
    };
    let identity = format!("certificate = \"{certificate}\"\nkey = \"{key}\"");
    let config = configured("central", &identity);
    livestatusd.configure("remote1", &discover(&config, "mk", "web1"));
    let full = || {
        let columns = ["state", "plugin_output"];
        let filter = ["Filter: description ~ Disk usage"];
        let found = rows(&livestatusd.live("remote1"), "services", &columns, &filter);
        found.iter().any(|row| row[0] == 2)
    };
    // Nobody knows us without a certificate, and a server of another name is another one.
    for (name, identity) in [("central", ""), ("elsewhere", identity.as_str())] {
        let config = configured(name, identity);
        let mut poll = Program::new("agentpoll")
            .args(["run", "-c"])
            .arg(config)
            .start();
        poll.wait_for_line(&format!(
            "WARN agentpoll::submit: livestatus tls:127.0.0.1:{port}: "
        ));
        assert!(poll.terminate().success());
        assert!(!full(), "{name}");
    }
    let _poll = run(&configured("central", &identity));
    wait_until("livestatusd knows the full disk", full);
    // By hand, once.
    let once = |core: &[&str]| {
        Program::new("agentpoll")
            .args([
                "once",
                "--socket",
                &format!("tls:127.0.0.1:{port}"),
                "web1",
                "-c",
            ])
            .arg(site.path("etc/agentpoll.toml"))
            .args(core)
            .run()
    };
    let (ca, certificate, key) = (ca.to_string(), certificate.to_string(), key.to_string());
    let trusted = ["--core-ca", &ca, "--core-name", "central"];
    let known = ["--core-certificate", &certificate, "--core-key", &key];
    once(&[trusted, known].concat()).success();
    once(&known).expect(2);
    assert_ne!(once(&trusted).code(), Some(0));
}

#[test]
fn icinga2_takes_commands_over_livestatus() {
    let agents = agents();
    let site = Site::new("poll");
    let mut objects = String::new();
    for host in ["web0", "web1"] {
        objects.push_str(&format!(
            "object Host \"{host}\" {{ import \"quiet\", max_check_attempts = 1 }}\n"
        ));
        for service in [
            "Memory",
            "Disk usage of: / (/dev/sda1)",
            "Custom check: raid",
        ] {
            objects.push_str(&format!(
                "object Service \"{service}\" {{ import \"quiet\", host_name = \"{host}\", max_check_attempts = 1 }}\n"
            ));
        }
    }
    let Some(icinga2) = Icinga2::start("icinga", &objects, &[]) else {
        return;
    };
    let socket = icinga2.live().display().to_string();
    let output =
        format!("[[output]]\nkind = \"livestatus\"\nsocket = \"{socket}\"\ncore = \"icinga2\"");
    let config = configuration(&site, &agents, &output);
    let _poll = run(&config);
    wait_until("Icinga 2 knows what the agents say", || {
        let columns = ["host_name", "description", "state", "plugin_output"];
        let filter = ["Filter: has_been_checked = 1"];
        let found = rows(&icinga2.live(), "services", &columns, &filter);
        found.len() == 6
            && found.iter().any(|row| {
                row[0] == "web1" && row[1] == "Disk usage of: / (/dev/sda1)" && row[2] == 2
            })
            && found
                .iter()
                .any(|row| row[0] == "web0" && row[3] == "OK: agent 0")
    });
}
