//! Processes, services, containers, virtual machines and event logs, and what is
//! said of a host that says nothing.

use agent::process::Field;
use agent::{Document, Evaluator, ProcessRule, Rule, Rules, discover_for};
use objects::{Range, Thresholds, UnixTime};

const NOW: UnixTime = UnixTime::from_secs(1020);

fn document(checks: &str) -> Document {
    let text = format!(
        r#"{{"agent": {{"last_updated_timestamp": 1000, "check_interval": 30}}, {checks}}}"#
    );
    Document::parse(text.as_bytes()).unwrap()
}

fn check(document: &Document, rules: &Rules, service: &str) -> (u8, String, String) {
    let evaluator = Evaluator::new(document, "h", NOW, rules);
    let result = evaluator.service(service.into());
    let result = result.unwrap_or_else(|| panic!("{service} is none of ours"));
    (
        result.return_code,
        result.plugin_output.to_string(),
        result.perf_data.to_string(),
    )
}

const PROCESSES: &str = r#""processes": [
    {"cmdline": "/usr/sbin/nginx -g daemon", "exec": "/usr/sbin/nginx", "name": "nginx", "cpu_percent": 55, "memory_percent": 2},
    {"cmdline": "nginx: worker", "exec": "nginx:", "name": "nginx:", "cpu_percent": 1, "memory_percent": 70},
    {"cmdline": "", "exec": "", "name": "System"},
    {"cmdline": "/usr/sbin/cron -f", "exec": "/usr/sbin/cron", "name": "cron", "cpu_percent": 0, "memory_percent": 0.1}
]"#;

#[test]
fn processes_are_counted_and_weighed() {
    let document = document(PROCESSES);
    let rule = |name: &str| ProcessRule::new(name);
    let number =
        |warn: &str, crit: &str| Thresholds::parse(warn.as_bytes(), crit.as_bytes()).unwrap();
    for (what, rule, code, text) in [
        ("one is right", rule("cron"), 0, "1 process, CPU 0.0 %"),
        ("none is not", rule("apache"), 2, "0 processes"),
        ("two are too many", rule("nginx"), 2, "2 processes"),
        (
            "two may be",
            ProcessRule {
                number: number("1:5", "1:"),
                memory: number("", ""),
                ..rule("nginx")
            },
            1,
            "at most CPU 55.0 %, memory 70.0 % each",
        ),
        (
            "the greediest counts",
            ProcessRule {
                number: number("", "1:"),
                ..rule("nginx")
            },
            2,
            "2 processes",
        ),
        (
            "strict is the whole field",
            ProcessRule {
                strict: true,
                field: Field::Exec,
                ..rule("/usr/sbin/cron")
            },
            0,
            "1 process",
        ),
        (
            "strict is not a part",
            ProcessRule {
                strict: true,
                field: Field::Exec,
                ..rule("cron")
            },
            2,
            "0 processes",
        ),
        (
            "the name where there is no command line",
            rule("System"),
            0,
            "1 process",
        ),
        (
            "one field alone",
            ProcessRule {
                field: Field::Name,
                ..rule("-f")
            },
            2,
            "0 processes",
        ),
        (
            "none may be what is wanted",
            ProcessRule {
                number: number("", "0"),
                ..rule("miner")
            },
            0,
            "0 processes",
        ),
    ] {
        let description = rule.description().to_string();
        let rules = Rules::default().with_processes(vec![rule]);
        let (found, output, perf_data) = check(&document, &rules, &description);
        assert_eq!(found, code, "{what}: {output}");
        assert!(output.contains(text), "{what}: {output}");
        assert!(perf_data.starts_with("processes="), "{what}: {perf_data}");
    }
}

#[test]
fn what_ought_to_run_is_critical_when_it_does_not() {
    let document = document(
        r#""systemd_services": [
             {"Name": "cron.service", "ActiveState": "active", "SubState": "running", "Description": "Cron"},
             {"Name": "backup.service", "ActiveState": "failed", "SubState": "failed"}],
           "windows_services": [{"Name": "W32Time", "DisplayName": "Windows Time", "Status": "Stopped", "StartType": "Manual"}],
           "launchd_services": [{"Label": "a.b", "IsRunning": true, "Pid": 7}, {"Label": "c", "IsRunning": false, "Status": -15}],
           "docker": [{"name": "/web", "state": "running", "status": "Up 2 days", "image": "nginx",
                       "cpu_percentage": 85, "memory_percentage": 12.5, "memory_used": 1048576}],
           "libvirt": {"u-1": {"Name": "vm1", "Uuid": "u-1", "IsRunning": true}, "u-2": {"Name": "vm2", "Uuid": "u-2", "IsRunning": null}}"#,
    );
    let rules = Rules::default();
    for (service, code, text) in [
        ("cron.service", 0, "OK - Cron is active (running)"),
        (
            "backup.service",
            2,
            "CRITICAL - backup.service is failed (failed)",
        ),
        (
            "gone.service",
            2,
            "gone.service is not in the agent's document",
        ),
        (
            "Windows service: W32Time",
            2,
            "Windows Time is Stopped (start: Manual)",
        ),
        ("Windows service: Gone", 2, "Gone is not in"),
        ("Launchd service: a.b", 0, "running, process 7"),
        ("Launchd service: c", 2, "not running, ended with -15"),
        ("Container running: web", 0, "nginx is Up 2 days"),
        ("Container running: db", 2, "db is not in"),
        (
            "Container CPU: web",
            1,
            "85.0 % of a processor (threshold 80)",
        ),
        ("Container memory: web", 0, "12.5 % used, 1.0 MiB"),
        ("Container memory: db", 3, "db is not in"),
        ("Virtual machine: vm1", 0, "running"),
        ("Virtual machine: vm2", 2, "not running"),
    ] {
        let (found, output, _) = check(&document, &rules, service);
        assert_eq!(found, code, "{service}: {output}");
        assert!(output.contains(text), "{service}: {output}");
    }
}

#[test]
fn what_the_agent_does_not_look_at_is_unknown() {
    let absent = document(r#""swap": {}"#);
    let failed = document(
        r#""systemd_services": {"error": "no bus"}, "docker": {"error": "no engine"}, "processes": {"error": "no ps"}"#,
    );
    let reason = document(r#""systemd_services": [], "errors": {"systemd_services": "no bus"}"#);
    let rules = Rules::default().with_processes(vec![ProcessRule::new("cron")]);
    for (service, key) in [
        ("cron.service", "systemd_services"),
        ("Process: cron", "processes"),
        ("Container running: web", "docker"),
        ("Windows service: x", "windows_services"),
        ("Event log: System", "windows_eventlog"),
        ("Virtual machine: x", "libvirt"),
    ] {
        let (code, output, _) = check(&absent, &rules, service);
        assert_eq!(code, 3, "{service}: {output}");
        assert!(
            output.contains(&format!("has no `{key}`")),
            "{service}: {output}"
        );
    }
    for (service, why) in [
        ("cron.service", "no bus"),
        ("Process: cron", "no ps"),
        ("Container CPU: web", "no engine"),
    ] {
        let (code, output, _) = check(&failed, &rules, service);
        assert_eq!(code, 3, "{service}: {output}");
        assert!(output.contains(why), "{service}: {output}");
    }
    assert_eq!(check(&reason, &rules, "cron.service").0, 3);
}

#[test]
fn errors_in_event_logs_are_counted() {
    let document = document(
        r#""windows_eventlog": {"Application": [], "System": [
             {"EntryType": 4, "Index": 1, "Source": "a", "Message": "fine"},
             {"EntryType": 1, "Index": 3, "Source": "disk", "Message": "bad block\r\nat 7"},
             {"EntryType": 1, "Index": 2, "Source": "b", "Message": "older"}]}"#,
    );
    let mut rules = Rules::default();
    assert_eq!(check(&document, &rules, "Event log: Application").0, 0);
    let (code, output, perf_data) = check(&document, &rules, "Event log: System");
    assert_eq!(code, 1);
    assert_eq!(
        output,
        "WARNING - 3 events, 2 errors (threshold 0)".replace(
            " (threshold 0)",
            ", the last from disk: bad block  at 7 (threshold 0)"
        )
    );
    assert_eq!(perf_data, "errors=2;0;;0");
    rules = rules.and(vec![Rule::new(
        "Event log: *",
        Some(Thresholds {
            warn: None,
            crit: Range::up_to(1.0),
        }),
    )]);
    assert_eq!(check(&document, &rules, "Event log: System").0, 2);
}

#[test]
fn errors_and_drops_have_thresholds_of_their_own() {
    let document = document(
        r#""net_io": {"eth0": {"avg_bytes_sent_ps": 10, "avg_errin": 7, "avg_dropout": 20}}"#,
    );
    let limits = |crit: &str| Thresholds::parse(b"", crit.as_bytes()).unwrap();
    let service = "Network stats of: eth0";
    assert_eq!(check(&document, &Rules::default(), service).0, 2);
    let rules = Rules::new(vec![
        Rule::new("Network*", None).with("drops", limits("100")),
    ]);
    let (code, output, perf_data) = check(&document, &rules, service);
    assert_eq!(code, 1, "{output}");
    assert!(
        perf_data.contains("errors=7;5;10;0 drops=20;;100;0"),
        "{perf_data}"
    );
    // One that says nothing of traffic leaves the limits of the line.
    assert!(
        perf_data.starts_with("traffic=10B;106250000;112500000"),
        "{perf_data}"
    );
}

#[test]
fn discovery_takes_services_that_run_and_processes_that_are_asked_for() {
    let document = document(&format!(
        r#"{PROCESSES}, "systemd_services": [
             {{"Name": "cron.service", "ActiveState": "active", "SubState": "running"}},
             {{"Name": "boot.service", "ActiveState": "active", "SubState": "exited"}},
             {{"Name": "off.service", "ActiveState": "inactive", "SubState": "dead"}},
             {{"Name": "x.timer", "ActiveState": "active", "SubState": "waiting"}}]"#
    ));
    let rules = Rules::default().with_processes(vec![ProcessRule::new("cron")]);
    let host = discover_for(&document, &rules);
    let services: Vec<_> = host.services.keys().collect();
    assert_eq!(services, ["Process: cron", "Uptime", "cron.service"]);
}

#[test]
fn of_a_silent_host_nothing_is_known() {
    let services = ["Memory".into(), "Swap".into()];
    let results = agent::evaluate::silence("h", &services, NOW, "cannot\nconnect");
    let told: Vec<_> = results
        .iter()
        .map(|r| (r.return_code, r.plugin_output.to_string(), r.time))
        .collect();
    assert_eq!(
        told,
        [
            (1, "DOWN - cannot connect".to_owned(), NOW),
            (3, "UNKNOWN - stale: cannot connect".to_owned(), NOW),
            (3, "UNKNOWN - stale: cannot connect".to_owned(), NOW),
        ]
    );
}
