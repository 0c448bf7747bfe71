use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

/// A directory with the three files, whose paths `config.ini` may name with `@`.
struct Files(TempDir);

impl Files {
    fn new(config: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let text = config.replace('@', dir.path().to_str().unwrap());
        fs::write(dir.path().join("config.ini"), text).unwrap();
        Self(dir)
    }

    fn with(self, name: &str, text: &str) -> Self {
        fs::write(self.path(name), text).unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn load(&self) -> (Config, Vec<Finding>) {
        Config::load(&self.path("config.ini"))
    }

    /// What was found, as `FILE:LINE: text` without the directory.
    fn findings(&self) -> Vec<String> {
        let dir = format!("{}/", self.0.path().display());
        let (_, findings) = self.load();
        let texts = findings.iter().map(|finding| finding.to_string());
        texts.map(|text| text.replace(&dir, "")).collect()
    }
}

/// Everything as the original has it, under no key at all.
#[test]
fn the_defaults_are_those_of_the_original() {
    let files = Files::new("");
    let (config, findings) = files.load();
    assert_eq!(findings, []);
    assert_eq!((config.web.address.as_str(), config.web.port), ("", 3333));
    assert_eq!(config.web.auth, None);
    assert!(!config.web.config_update && !config.tls.auto.enabled);
    assert_eq!((config.tls.level, &config.tls.own), (Level::Lax, &None));
    let directory = Path::new("/etc/openitcockpit-agent");
    assert_eq!(config.tls.auto.key, directory.join("agent.key"));
    assert_eq!(config.tls.auto.ca, directory.join("server_ca.crt"));
    assert_eq!(config.custom.file, directory.join("customchecks.ini"));
    assert_eq!(
        config.prometheus.file,
        directory.join("prometheus_exporters.ini")
    );
    assert_eq!(config.push.auth_file, directory.join("auth.json"));
    let checks = &config.checks;
    assert_eq!(checks.interval, Duration::from_secs(30));
    assert!(checks.cpu && checks.load && checks.libvirt && checks.event_log.enabled);
    assert!(!checks.sensors && !checks.launchd && !checks.docker);
    assert_eq!(checks.event_log.logs, ["System", "Application"]);
    assert!(!config.prometheus.enabled && config.packages.enabled);
    assert_eq!(config.packages.interval, Duration::from_secs(3600));
    assert_eq!(config.packages.description_length, Some(80));
    assert!(!config.push.enabled && !config.push.verify && config.serves());
    assert_eq!(config.push.timeout, Duration::from_secs(29));
    assert!(!config.tls.auto.first.restricted);
}

/// The form of the file that openITCOCKPIT's server writes for an agent.
#[test]
fn the_file_of_the_server_loads_without_a_word() {
    for (push, url, key) in [
        ("False", "", ""),
        ("True", "https://central.example/oitc", "4711"),
    ] {
        let files = Files::new(&format!(
            "[default]\ntry-autossl = True\ntls-security-level = intermediate\n\
             autossl-folder = /etc/openitcockpit-agent\nautossl-csr-file = @/agent.csr\n\
             autossl-crt-file = @/agent.crt\nautossl-key-file = @/agent.key\n\
             autossl-ca-file = @/server_ca.crt\ninterval = 30\nport = 3333\n\
             address = 0.0.0.0\nauth = user:pass\nverbose = False\n\
             config-update-mode = False\ncustomchecks = @/customchecks.ini\n\
             cpustats = True\nload = True\nmemory = True\nswap = True\n\
             processstats = True\nnetstats = True\nnetio = True\ndiskstats = True\n\
             diskio = True\nsensorstats = True\nsystemdservices = True\n\
             launchdservices = True\nwinservices = True\nwineventlog = False\n\
             wineventlog-logtypes = System, Application, Security\nwineventlog-age = 3600\n\
             wineventlog-method = WMI\ndockerstats = False\nlibvirt = False\n\
             userstats = True\nntp = True\nalfrescostats = False\nalfresco-jmxport = 0\n\
             [oitc]\nenabled = {push}\nhostuuid = 402357e4\nurl = {url}\n\
             apikey = {key}\nproxy =\ntimeout = 10\nenable-webserver = False\n\
             verify-server-certificate = True\nauthfile = @/auth.json\n\
             [prometheus]\nenabled = True\nexporters = @/prometheus_exporters.ini\n"
        ))
        .with("customchecks.ini", "")
        .with("prometheus_exporters.ini", "");
        let found = files.findings();
        assert_eq!(
            found,
            ["config.ini:13: warning: unknown key `verbose` in [default]"]
        );
        let (config, _) = files.load();
        assert_eq!(config.tls.level, Level::Intermediate);
        assert_eq!(config.push.enabled, push == "True");
        assert_eq!(config.push.timeout, Duration::from_secs(10));
        assert_eq!(config.checks.event_log.logs[1], " Application");
    }
}

#[test]
fn every_problem_is_named_with_its_line() {
    for (text, want) in [
        (
            "interval = 0",
            "config.ini:1: `interval` must be at least 1 second",
        ),
        ("interval = x", "config.ini:1: `interval = x` is no number"),
        (
            "[default]\ncpustats = yes",
            "config.ini:2: `cpustats = yes` is neither True nor False",
        ),
        ("port = 70000", "config.ini:1: 70000 is no port"),
        (
            "auth = me",
            "config.ini:1: `auth` is not of the form USER:PASSWORD",
        ),
        (
            "nonsense",
            "config.ini:1: there is no `=` or `:` after the key",
        ),
        (
            "certfile = x",
            "config.ini:1: warning: `certfile` and `keyfile` mean nothing without each other",
        ),
        ("[x]", "config.ini:1: warning: unknown section [x]"),
        (
            "port = 1\nport = 2",
            "config.ini:2: warning: `port` stands in line 1, too; this one counts",
        ),
        (
            "customchecks = /a;b",
            "config.ini:1: warning: `customchecks` ends before `;b`",
        ),
        (
            "[oitc]\nenabled = 1\napikey = k\nurl = central",
            "config.ini:4: `url = central` does not begin with http:// or https://",
        ),
        (
            "[sitewire]\nautossl-peers = 10.0.0.0/8, x",
            "config.ini:2: `x` in `autossl-peers` is no address or network",
        ),
        (
            "[sitewire]\nautossl-ca-fingerprint = ab",
            "config.ini:2: `autossl-ca-fingerprint` is not a SHA-256 in 64 hexadecimal digits",
        ),
        (
            "[sitewire]\ncheckmk-address = here",
            "config.ini:2: `here` is not of the form ADDRESS:PORT",
        ),
        (
            "[sitewire]\nmax-connections = 0",
            "config.ini:2: `max-connections` must be at least 1",
        ),
        (
            "[sitewire]\ndefaults = mine",
            "config.ini:2: `defaults = mine` is neither safe nor original",
        ),
    ] {
        let found = Files::new(text).findings();
        assert!(
            found.iter().any(|found| found == want),
            "{text:?}: {found:?}"
        );
    }
    let (_, findings) = Config::load(Path::new("/nonexistent/config.ini"));
    assert_eq!(worst(&findings), Some(Severity::Fatal));
}

#[test]
fn a_password_that_would_be_cut_is_refused_and_a_remark_is_not() {
    for (text, refused) in [
        ("auth = me:pass#word", true),
        ("auth = me:pass;word", true),
        ("auth = `me:pass#word`", false),
        ("auth = me:password # of the server", false),
        ("[oitc]\napikey = abc;def", true),
    ] {
        let (config, findings) = Files::new(text).load();
        let refused_here = worst(&findings) == Some(Severity::Fatal);
        assert_eq!(refused_here, refused, "{text:?}: {findings:?}");
        assert!(!config.print().contains("pass"), "{}", config.print());
    }
    let (config, _) = Files::new("auth = `me:a:b#c`").load();
    let auth = config.web.auth.unwrap();
    assert_eq!(
        (auth.user.as_str(), auth.password.as_str()),
        ("me", "a:b#c")
    );
}

#[test]
fn one_bad_custom_check_harms_only_itself() {
    let files = Files::new("customchecks = @/customchecks.ini").with(
        "customchecks.ini",
        "[default]\nmax_worker_threads = 8\n\
         [Check_WhoAmI]\ncommand = id\nenabled = True\ninterval = 10\ntimeout = 30\n\
         [no.command]\nenabled = True\n\
         [off]\nenabled = False\n\
         [bad]\ncommand = x\nenabled = True\ninterval = often\n\
         [cut]\ncommand = echo out; exit 2\nenabled = 1\n\
         junk\n",
    );
    let (config, _) = files.load();
    let checks = config.custom.checks.iter().map(|check| {
        (
            check.name.as_str(),
            check.interval.as_secs(),
            check.timeout.as_secs(),
            check.problem.as_deref(),
        )
    });
    let checks: Vec<_> = checks.collect();
    assert_eq!(
        checks,
        [
            ("check_whoami", 10, 10, None),
            (
                "no.command",
                60,
                15,
                Some("custom check no.command has no command")
            ),
            ("bad", 60, 15, Some("`interval = often` is no number")),
            ("cut", 60, 15, None),
        ]
    );
    assert_eq!(config.custom.checks[3].command, "echo out");
    assert_eq!(
        files.findings(),
        [
            "customchecks.ini:19: there is no `=` or `:` after the key",
            "customchecks.ini:7: warning: custom check check_whoami: timeout 30 s is longer than the interval, which counts (10 s)",
            "customchecks.ini:8: custom check no.command has no command",
            "customchecks.ini:10: warning: custom check off has no command",
            "customchecks.ini:15: `interval = often` is no number",
            "customchecks.ini:17: warning: `command` ends before `; exit 2`",
        ]
    );
}

#[test]
fn an_exporter_is_asked_now_and_then_even_without_an_interval() {
    let files = Files::new("[prometheus]\nenabled = True\nexporters = @/e.ini").with(
        "e.ini",
        "[Node]\nenabled = True\nmethod = https\nport = 9100\npath = /metrics\n\
         [pathless]\nenabled = True\nport = 1\ninterval = 5\n",
    );
    let (config, _) = files.load();
    let [node, pathless] = &config.prometheus.exporters[..] else {
        panic!("{config:?}");
    };
    assert_eq!(
        (node.name.as_str(), node.port, node.https),
        ("node", 9100, true)
    );
    assert_eq!((node.interval.as_secs(), node.timeout.as_secs()), (60, 15));
    assert!(pathless.problem.is_some());
    assert_eq!(pathless.timeout.as_secs(), 5);
}

#[test]
fn safe_defaults_are_for_those_who_ask_for_them() {
    let (config, findings) = Files::new("[sitewire]\ndefaults = safe").load();
    assert_eq!(findings, []);
    assert_eq!(config.web.address, "127.0.0.1");
    assert_eq!(config.tls.level, Level::Modern);
    assert!(config.push.verify && config.tls.auto.first.restricted && config.tls.auto.first.hides);
    for guard in [
        "auth = me:password\n[sitewire]\n",
        "certfile = a\nkeyfile = b\n[sitewire]\n",
        "[sitewire]\nautossl-token = 0123456789abcdef\n",
        "[sitewire]\nautossl-peers = 192.0.2.7\n",
        &format!(
            "[sitewire]\nautossl-ca-fingerprint = {}\n",
            "AB:".repeat(31) + "ab"
        ),
    ] {
        let (config, findings) = Files::new(&format!("{guard}defaults = safe")).load();
        assert_eq!(
            (config.web.address.as_str(), findings),
            ("", vec![]),
            "{guard}"
        );
    }
    let (config, _) = Files::new("address = ::\n[sitewire]\ndefaults = safe").load();
    assert_eq!(config.web.address, "::");
}

#[test]
fn what_is_in_effect_says_where_it_came_from() {
    let files = Files::new("[default]\nport = 3334\nauth = me:secret\n");
    let printed = files.load().0.print();
    let line = |key: &str| {
        let line = printed.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        line("port"),
        format!("port = 3334 # {}:2", files.path("config.ini").display())
    );
    assert_eq!(line("interval"), "interval = 30 # default");
    assert!(line("auth").starts_with("auth = (hidden) #"));
}

#[test]
fn the_manual_has_every_key() {
    let manual = include_str!("../../../../man/agentd.ini.5");
    let items: Vec<&str> = manual
        .lines()
        .filter(|line| line.starts_with(".It Ic "))
        .flat_map(str::split_whitespace)
        .collect();
    let files =
        Files::new("customchecks = @/c.ini\n[prometheus]\nenabled = 1\nexporters = @/e.ini\n")
            .with("c.ini", "[x]\ncommand = y\n")
            .with("e.ini", "[x]\n");
    let (config, _) = files.load();
    assert!(config.settings.len() > 50);
    for setting in &config.settings {
        assert!(items.contains(&setting.key.as_str()), "{}", setting.key);
    }
    // And the example is without a fault.
    let example = include_str!("../../../../packaging/examples/agentd.ini");
    let example = example.replace("/etc/openitcockpit-agent", "@");
    let files = Files::new(&example)
        .with("customchecks.ini", "")
        .with("prometheus_exporters.ini", "");
    let (config, findings) = files.load();
    assert_eq!(findings, []);
    assert_eq!(config.web.address, "127.0.0.1");
}
