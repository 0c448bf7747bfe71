//! Documents of three systems, and everything that they come to.

use std::path::Path;

use agent::{Checked, Document, Evaluator, Rules, discover};
use bstr::ByteSlice;
use objects::{CheckResult, UnixTime};

/// The moment at which the fixtures are 20 s old.
const NOW: UnixTime = UnixTime::from_secs(1_795_165_220);

fn fixture(name: &str) -> Document {
    let path = Path::new("tests/fixtures")
        .join(name)
        .with_extension("json");
    Document::parse(&std::fs::read(path).unwrap()).unwrap()
}

fn rules(rules: &[&str]) -> Rules {
    Rules::new(rules.iter().map(|rule| rule.parse().unwrap()).collect())
}

/// One line per result: state, time, service, output, long output, perfdata.
fn print(result: &CheckResult) -> String {
    let service = match &result.service_description {
        Some(description) => description.as_bstr(),
        None => "(host)".into(),
    };
    format!(
        "{} {} {}\n    {}\n    {}\n    {}\n",
        result.return_code,
        result.time,
        service,
        result.plugin_output,
        result.long_plugin_output.replace("\n", "\\n").as_bstr(),
        result.perf_data,
    )
}

/// The return code and output of one service, or the host.
fn result_of(document: &Document, service: Option<&str>, now: UnixTime) -> (u8, String) {
    let rules = Rules::default();
    let evaluator = Evaluator::new(document, "h", now, &rules);
    let result = match service {
        None => evaluator.host(),
        Some(service) => evaluator.service(service.into()).unwrap(),
    };
    (result.return_code, result.plugin_output.to_string())
}

#[test]
fn each_system_evaluates_as_recorded() {
    for name in ["linux", "windows", "macos"] {
        let document = fixture(name);
        let rules = Rules::default();
        let evaluator = Evaluator::new(&document, "web1", NOW, &rules);
        let mut text = print(&evaluator.host());
        for description in evaluator.descriptions() {
            text += &print(&evaluator.service(description.as_bstr()).unwrap());
        }
        let golden = Path::new("tests/fixtures").join(name).with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &text).unwrap();
        }
        let want = std::fs::read_to_string(&golden).unwrap();
        assert_eq!(text, want, "{name}; UPDATE_GOLDEN=1 rewrites {golden:?}");
    }
}

#[test]
fn discovery_takes_what_is_worth_watching() {
    let services = |name: &str| -> Vec<String> {
        let host = discover(&fixture(name));
        host.services.keys().map(ToString::to_string).collect()
    };
    // Not: the image in the drive, the file system that does not answer, the
    // link that is down.
    assert_eq!(
        services("linux"),
        [
            "Battery: 0",
            "CPU load",
            "CPU usage percentage",
            "Custom check: hung",
            "Custom check: killed",
            "Custom check: mail queue",
            "Custom check: noexec",
            "Custom check: raid",
            "Custom check: seven",
            "Custom check: silent",
            "Custom check: typo",
            "Disk stats of: dm-0",
            "Disk stats of: vda",
            "Disk usage of: / (/dev/mapper/root)",
            "Disk usage of: /dev (devtmpfs)",
            "Memory",
            "Network state of: ens3",
            "Network state of: lo",
            "Network stats of: ens3",
            "Network stats of: lo",
            "Sensor: k10temp_tctl",
            "Swap",
            "System Time",
            "Uptime",
        ]
    );
    assert_eq!(
        services("windows"),
        [
            "CPU usage percentage",
            "Custom check: updates",
            "Disk stats of: C:",
            "Disk usage of: C: (C:)",
            "Disk usage of: D: (D:)",
            "Event log: System",
            "Memory",
            "Network state of: Ethernet 2",
            "Network stats of: Ethernet 2",
            "Swap",
            "System Time",
            "Uptime",
            "Windows service: Spooler",
        ]
    );
    // No clock: that agent has no figure for it. No CPU: its check failed.
    let macos = services("macos");
    assert!(!macos.contains(&"System Time".to_owned()), "{macos:?}");
    assert!(macos.contains(&"CPU load".to_owned()), "{macos:?}");
}

#[test]
fn what_no_command_can_name_is_not_discovered() {
    let text = r#"{"agent": {}, "customchecks": {"a;b": {}, "c\nd": {}, "e": {}}}"#;
    let host = discover(&Document::parse(text.as_bytes()).unwrap());
    let services: Vec<_> = host.services.keys().collect();
    assert_eq!(services, ["Custom check: e", "Uptime"]);
}

#[test]
fn a_stale_document_is_unknown_and_its_host_down() {
    let document = fixture("linux");
    let made = document.last_updated().unwrap().secs();
    let fresh = UnixTime::from_secs(made + 90);
    let stale = UnixTime::from_secs(made + 91);
    assert_eq!(result_of(&document, None, fresh).0, 0);
    assert_eq!(result_of(&document, Some("Uptime"), fresh).0, 0);
    let old = "the agent's document is stale: 1 min 31 s old, made every 30 s";
    assert_eq!(
        result_of(&document, None, stale),
        (1, format!("DOWN - {old}"))
    );
    for service in [
        "Uptime",
        "Swap",
        "Custom check: raid",
        "Disk usage of: /gone (x)",
    ] {
        assert_eq!(
            result_of(&document, Some(service), stale),
            (3, format!("UNKNOWN - {old}")),
            "{service}"
        );
    }
}

#[test]
fn a_document_without_a_time_cannot_be_believed() {
    let document = Document::parse(br#"{"agent": {"agent_version": "1.0"}, "swap": {}}"#).unwrap();
    let (code, output) = result_of(&document, None, NOW);
    assert_eq!(code, 1);
    assert!(output.contains("does not say when it was made"), "{output}");
    let broken = Document::parse(br#"{"agent": {"error": "no"}}"#).unwrap();
    assert_eq!(result_of(&broken, None, NOW).0, 1);
    assert_eq!(result_of(&broken, Some("Uptime"), NOW).0, 3);
}

#[test]
fn an_interval_that_is_not_told_is_a_minute() {
    let text = br#"{"agent": {"last_updated_timestamp": 1000}}"#;
    let document = Document::parse(text).unwrap();
    assert_eq!(result_of(&document, None, UnixTime::from_secs(1180)).0, 0);
    assert_eq!(result_of(&document, None, UnixTime::from_secs(1181)).0, 1);
}

#[test]
fn a_clock_that_is_ahead_puts_no_result_into_the_future() {
    let document = fixture("linux");
    let before = UnixTime::from_secs(1_795_160_000);
    let rules = Rules::default();
    let evaluator = Evaluator::new(&document, "h", before, &rules);
    assert_eq!(evaluator.host().time, before);
    let raid = evaluator.service("Custom check: raid".into()).unwrap();
    assert_eq!((raid.return_code, raid.time), (0, before));
}

#[test]
fn what_is_absent_is_unknown_and_says_why() {
    let mut document = fixture("macos");
    for (service, why) in [
        (
            "CPU usage percentage",
            "the agent's check failed: host_processor_info failed",
        ),
        (
            "Disk usage of: /gone (/dev/x)",
            "/gone (/dev/x) is not in the agent's document",
        ),
        (
            "Network state of: en7",
            "en7 is not in the agent's document",
        ),
        ("Custom check: raid", "raid is not in the agent's document"),
        ("Sensor: ", "not in the agent's document"),
    ] {
        let want = (3, format!("UNKNOWN - {why}"));
        assert_eq!(result_of(&document, Some(service), NOW), want, "{service}");
    }
    document.swap = Checked::Absent;
    document.memory = Checked::Done(Default::default());
    document.disks = Checked::Done(Vec::new());
    document
        .errors
        .insert("disks".into(), "cannot read\nthe mount table".into());
    for (service, why) in [
        ("Swap", "the agent's document has no `swap`"),
        ("Memory", "the agent's document has no `memory.percent`"),
        (
            "Disk usage of: / (/dev/x)",
            "/ (/dev/x) is not in the agent's document: cannot read the mount table",
        ),
    ] {
        let want = (3, format!("UNKNOWN - {why}"));
        assert_eq!(result_of(&document, Some(service), NOW), want, "{service}");
    }
}

#[test]
fn rates_of_the_first_collection_are_not_taken_for_measured() {
    let service = "Network stats of: Ethernet 2";
    let mut document = fixture("windows");
    let (code, output) = result_of(&document, Some(service), NOW);
    assert_eq!(
        (code, output.as_str()),
        (0, "OK - collecting: the agent has just started")
    );
    let Checked::Done(agent) = &mut document.agent else {
        panic!("the fixture has an agent");
    };
    agent.last_updated = agent.last_updated.replace("m=+4.1", "m=+34.1");
    let (code, output) = result_of(&document, Some(service), NOW);
    assert_eq!(code, 0);
    assert!(output.starts_with("OK - sent 0 B/s"), "{output}");
}

#[test]
fn services_of_others_are_left_alone() {
    let document = fixture("linux");
    let rules = Rules::default();
    let evaluator = Evaluator::new(&document, "h", NOW, &rules);
    for service in [
        "",
        "HTTP",
        "Memory usage",
        "memory",
        "Disk usage of:",
        "Swap ",
    ] {
        assert!(evaluator.service(service.into()).is_none(), "{service}");
    }
}

#[test]
fn given_thresholds_replace_the_defaults() {
    let document = fixture("linux");
    let rules = rules(&[
        "Memory=10,",
        "Disk usage of: /=1,2",
        "Disk free space of: /=,10:",
        "Swap=,",
        "Network stats of: lo=~:1000,",
        "Uptime=100000:,",
    ]);
    let evaluator = Evaluator::new(&document, "h", NOW, &rules);
    for (service, code, perf_data) in [
        ("Memory", 1, "used_percent=75%;10;;0;100"),
        (
            "Disk usage of: / (/dev/mapper/root)",
            2,
            "used_percent=85%;1;2;0;100",
        ),
        (
            "Disk usage of: /dev (devtmpfs)",
            0,
            "used_percent=0%;80;90;0;100",
        ),
        (
            "Disk free space of: / (/dev/mapper/root)",
            0,
            "free_percent=15%;;10:;0;100",
        ),
        ("Swap", 0, "used_percent=90.5%;;;0;100"),
        ("Network stats of: lo", 1, "traffic=1800000000B;~:1000;;0"),
        ("Uptime", 1, "uptime=93784s;100000:;;0"),
    ] {
        let result = evaluator.service(service.into()).unwrap();
        assert_eq!(
            result.return_code, code,
            "{service}: {}",
            result.plugin_output
        );
        assert!(
            result.perf_data.starts_with_str(perf_data),
            "{}",
            result.perf_data
        );
    }
}
