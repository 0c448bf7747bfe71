use super::*;

fn problems(text: &str) -> Vec<String> {
    Config::parse("a.toml", text).unwrap_err()
}

#[test]
fn an_empty_file_has_defaults() {
    let config = Config::parse("a.toml", "").unwrap();
    assert_eq!(config.poll.interval, Duration::from_secs(60));
    assert_eq!(
        config.state.directory,
        Path::new("/var/lib/sitewire/agentpoll")
    );
    assert!(config.hosts.is_empty() && config.outputs.is_empty());
}

#[test]
fn hosts_say_more_than_templates_and_templates_more_than_defaults() {
    let text = r#"
[defaults]
tls = "off"
port = 1
[defaults.service."*"]
warn = "1"
crit = "2"
[template.linux]
port = 2
interval = "30s"
[template.linux.service."Memory"]
warn = "10"
[template.web]
use = "linux"
deadline = "5s"
[template.web.process.nginx]
match = "nginx: master"
number = { crit = "1:" }
[[host]]
name = "web1"
use = "web"
port = 3
[host.service."Memory"]
crit = "20"
[[host]]
name = "db 1"
address = "::1"
mode = "pull"
"#;
    let config = Config::parse("a.toml", text).unwrap();
    let web = config.host("web1").unwrap();
    assert_eq!((web.tls, web.place.port), (Tls::Off, 3));
    assert_eq!(web.interval, Duration::from_secs(30));
    assert_eq!(web.deadline, Duration::from_secs(5));
    assert_eq!(web.stale_after, Duration::from_secs(90));
    let memory = web.rules.find("Memory".into()).unwrap();
    assert_eq!(
        (memory.warn, memory.crit.map(|r| r.to_string())),
        (None, Some("20".to_owned()))
    );
    let swap = web.rules.find("Swap".into()).unwrap();
    assert_eq!(swap.warn.map(|r| r.to_string()), Some("1".to_owned()));
    assert_eq!(web.rules.processes()[0].pattern, "nginx: master");
    let db = config.host("db 1").unwrap();
    assert_eq!(db.place.to_string(), "[::1]:1");
}

#[test]
fn outputs_are_of_four_kinds() {
    let text = r#"
[[output]]
kind = "check-results"
directory = "/var/spool"
core = "naemon"
[[output]]
kind = "commands"
pipe = "/run/nagios.cmd"
[[output]]
kind = "livestatus"
socket = "tcp:localhost:6557"
core = "icinga2"
[[output]]
kind = "json"
file = "-"
"#;
    let outputs = Config::parse("a.toml", text).unwrap().outputs;
    let reader = |core, illegal: &str| Reader {
        core,
        illegal: illegal.to_owned(),
    };
    let all = ILLEGAL_CHARACTERS;
    assert!(
        matches!(&outputs[0], Output::CheckResults { reader: found, mode: 0o660, .. }
        if *found == reader(Core::Naemon, all))
    );
    assert!(matches!(&outputs[1], Output::Commands { reader: found, .. }
        if *found == reader(Core::Nagios, all)));
    assert!(
        matches!(&outputs[2], Output::Livestatus { reader: found, .. }
        if *found == reader(Core::Icinga2, ""))
    );
    assert_eq!(outputs[3], Output::Json { file: None });
}

#[test]
fn every_mistake_is_told_with_its_place() {
    for (text, want) in [
        ("x = 1", "unknown key `x`"),
        (
            "[poll]\ninterval = \"0s\"",
            "a.toml:2:12: `interval` must not be zero",
        ),
        ("[[host]]\n", "`name` is missing in [host]"),
        ("[[host]]\nname = \"a;b\"", "has no semicolon"),
        (
            "[[host]]\nname = \"a b\"\ntls = \"off\"",
            "`address` is missing",
        ),
        ("[[host]]\nname = \"a\"", "no [authority] that signs"),
        (
            "[[host]]\nname = \"a\"\ntls = \"off\"\nmode = \"push\"",
            "there is no [receive]",
        ),
        (
            "[[host]]\nname = \"a\"\ntls = \"off\"\nuse = \"x\"",
            "uses the template \"x\"",
        ),
        (
            "[[host]]\nname = \"a\"\ntls = \"off\"\n[[host]]\nname = \"a\"\ntls = \"off\"",
            "two hosts called \"a\"",
        ),
        (
            "[[host]]\nname = \"a\"\ntls = \"off\"\n[host.service.\"Memory\"]\nwarn = \"9:1\"",
            "9:1",
        ),
        (
            "[[host]]\nname = \"a\"\ntls = \"off\"\n[host.service.\"Memory\"]\nwran = \"1\"",
            "did you mean `warn`?",
        ),
        (
            "[[output]]\nkind = \"mail\"",
            "there is no output of kind \"mail\"",
        ),
        ("[[output]]\nkind = \"json\"", "`file` is missing"),
        (
            "[[output]]\nkind = \"livestatus\"\nsocket = \"tls:a:1\"",
            "`ca` is missing",
        ),
        (
            "[[output]]\nkind = \"livestatus\"\nsocket = \"tls:a:1\"\nca = \"/c\"\nkey = \"/k\"",
            "belong together",
        ),
        (
            "[[output]]\nkind = \"livestatus\"\nsocket = \"tcp:a:1\"\nca = \"/c\"",
            "are for tls:HOST:PORT",
        ),
        ("[receive]\naddress = \"0.0.0.0:1\"", "plain text"),
    ] {
        let found = problems(text);
        assert!(
            found.iter().any(|problem| problem.contains(want)),
            "{text}: {found:?}"
        );
    }
}

#[test]
fn secrets_are_read_from_files_that_only_the_owner_can_read() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("login");
    std::fs::write(&file, "poll:secret\n").unwrap();
    let text = format!(
        "[[host]]\nname = \"a\"\ntls = \"off\"\nlogin_file = \"{}\"\n",
        file.display()
    );
    let set = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode));
    set(0o644).unwrap();
    assert!(
        problems(&text)[0].contains("chmod 600"),
        "{:?}",
        problems(&text)
    );
    set(0o600).unwrap();
    let config = Config::parse("a.toml", &text).unwrap();
    // It does not get into any log.
    assert!(!format!("{config:?}").contains("secret"));
}

#[test]
fn the_example_can_be_used_and_says_the_defaults() {
    let text = include_str!("../../../../packaging/examples/agentpoll.toml");
    let example = Config::parse("example", text).unwrap();
    let empty = Config::parse("empty", "").unwrap();
    assert_eq!(example.state.directory, empty.state.directory);
    assert_eq!(example.poll.interval, empty.poll.interval);
    assert_eq!(example.poll.deadline, empty.poll.deadline);
    assert_eq!(example.poll.connections, empty.poll.connections);
    let Output::CheckResults { reader, .. } = &example.outputs[0] else {
        panic!("{:?}", example.outputs);
    };
    assert_eq!(reader.illegal, ILLEGAL_CHARACTERS);
    let web = example.host("web1").unwrap();
    assert_eq!(
        (web.tls, web.belief),
        (Tls::Auto, crate::trust::Belief::Host)
    );
    assert_eq!(web.rules.processes().len(), 1);
}
