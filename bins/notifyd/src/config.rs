//! The configuration of notifyd: every key, its default, and what must be true
//! of it. All problems are found, not only the first.

mod certificates;
mod flow;
mod heartbeat;
mod http;
mod lanes;
mod links;
mod rules;
mod view;
mod watch;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use authority::Settings;
use net::Address;
use objects::SiteId;
use program::config::Table;

pub(crate) use certificates::Change;
pub(crate) use flow::{
    Bulk, By, Flow, Late, Limit, MOST_TOGETHER, OnUnknown, Retry, Storm, WhatIfLate,
};
pub(crate) use heartbeat::{Heartbeat, Watcher};
use http::settings as http_settings;
pub(crate) use lanes::{
    Argument, CheckmkLane, CommandLane, Destination, Lane, MailLane, ScriptLane, SyslogFormat,
    SyslogLane, SyslogServer, Transport, WebhookLane, WebhookTemplate,
};
use lanes::{absolute, parse_lane};
pub(crate) use links::{Forward, Listen, Peer, Tls};
use links::{parse_forward, parse_listen, parse_peer, parse_tls};
use rules::parse_rules;
pub(crate) use rules::{Followed, Seen};
use view::{Log, parse_log, parse_metrics};
pub(crate) use watch::Canary;
use watch::{parse_canary, parse_silence};

/// All defaults of `notifyd.toml`.
pub(crate) mod default {
    use std::time::Duration;

    /// `[spool] directory`
    pub(crate) const SPOOL: &str = "/var/spool/sitewire";
    /// The same inside an OMD site, below its root.
    pub(crate) const SPOOL_IN_OMD: &str = "var/sitewire/spool";
    /// `[state] file` is this name in the spool directory.
    pub(crate) const STATE_FILE: &str = "notifyd.state";
    /// `[state] interval`
    pub(crate) const STATE_INTERVAL: Duration = Duration::from_secs(20);
    /// `[forward] failover_after`
    pub(crate) const FAILOVER_AFTER: Duration = Duration::from_secs(60);
    /// `stop_timeout`
    pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(20);
}

/// What `notifyd.toml` says.
#[derive(Debug, Clone)]
pub(crate) struct Configuration {
    pub(crate) site: SiteId,
    pub(crate) spool: PathBuf,
    /// Whether the spool may be where a loss of power empties it.
    pub(crate) allow_volatile: bool,
    pub(crate) tls: Option<Tls>,
    pub(crate) authority: Option<Settings>,
    pub(crate) listen: Vec<Listen>,
    pub(crate) peers: Vec<Peer>,
    /// Those of the peers that are not in the file, but have joined.
    pub(crate) joined: BTreeSet<SiteId>,
    pub(crate) forward: Option<Forward>,
    pub(crate) lanes: Vec<Lane>,
    /// Without them everything goes to every lane.
    pub(crate) rules: Option<Followed>,
    pub(crate) state: State,
    /// How long a peer may be silent that says nothing of it.
    pub(crate) silence: Option<Duration>,
    pub(crate) canary: Canary,
    pub(crate) heartbeat: Option<Heartbeat>,
    /// Where Prometheus fetches the metrics.
    pub(crate) metrics: Option<Address>,
    pub(crate) log: Log,
    pub(crate) stop_timeout: Duration,
}

/// The state file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) file: PathBuf,
    pub(crate) interval: Duration,
    /// For Prometheus' node_exporter.
    pub(crate) metrics: Option<PathBuf>,
}

/// The spool that is used when none is configured: notify's default, too.
fn default_spool() -> PathBuf {
    match std::env::var_os("OMD_ROOT") {
        Some(root) => Path::new(&root).join(default::SPOOL_IN_OMD),
        None => default::SPOOL.into(),
    }
}

impl Configuration {
    /// Reads `path`; on any mistake all mistakes, one text each.
    pub(crate) fn read(path: &Path) -> Result<Self, Vec<String>> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| vec![format!("{}: {error}", path.display())])?;
        let file = path.display().to_string();
        let mut configuration = Self::parse(&file, &text)?;
        let mut problems = Vec::new();
        configuration.add_joined(&mut problems);
        configuration.read_rules(&mut problems);
        match problems.is_empty() {
            true => Ok(configuration),
            false => Err(problems),
        }
    }

    /// Reads the text of a configuration file; touches no other file.
    pub(crate) fn parse(file: &str, text: &str) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let mut root = Table::parse(file, text, &mut problems);
        let stop_timeout = root.take("stop_timeout", Table::duration, &mut problems);
        let site = root
            .require("site", Table::table, &mut problems)
            .and_then(|table| parse_site(table, &mut problems));
        let spool = root
            .take("spool", Table::table, &mut problems)
            .map(|table| parse_spool(table, &mut problems));
        let (spool, allow_volatile) = spool.unwrap_or_default();
        let spool = spool.unwrap_or_else(default_spool);
        let tls = root
            .take("tls", Table::table, &mut problems)
            .and_then(|table| parse_tls(table, &mut problems));
        let authority = root
            .take("authority", Table::table, &mut problems)
            .and_then(|table| Settings::parse(table, &mut problems));
        let listen = parse_each(&mut root, "listen", &mut problems, parse_listen);
        let peers = parse_each(&mut root, "peer", &mut problems, parse_peer);
        let forward = root
            .take("forward", Table::table, &mut problems)
            .and_then(|table| parse_forward(table, &mut problems));
        let lanes = {
            let own = site.as_ref().map_or("site", SiteId::as_str);
            parse_each(&mut root, "lane", &mut problems, |table, problems| {
                parse_lane(table, own, problems)
            })
        };
        let rules = root
            .take("rules", Table::table, &mut problems)
            .and_then(|table| parse_rules(table, file, &mut problems));
        let state = match root.take("state", Table::table, &mut problems) {
            Some(table) => parse_state(table, &spool, &mut problems),
            None => default_state(&spool),
        };
        let metrics = root
            .take("metrics", Table::table, &mut problems)
            .and_then(|table| parse_metrics(table, &mut problems));
        let heartbeat = root
            .take("heartbeat", Table::table, &mut problems)
            .and_then(|table| Heartbeat::parse(table, &mut problems));
        let silence = root
            .take("silence", Table::table, &mut problems)
            .and_then(|table| parse_silence(table, &mut problems));
        let canary = root
            .take("canary", Table::table, &mut problems)
            .map(|table| parse_canary(table, &mut problems));
        let log = root.take("log", Table::table, &mut problems);
        let log = log.map(|table| parse_log(table, &mut problems));
        root.finish(&mut problems);
        let (Some(site), true) = (site, problems.is_empty()) else {
            return Err(problems);
        };
        let configuration = Self {
            site,
            spool,
            allow_volatile,
            tls,
            authority,
            listen,
            peers,
            joined: BTreeSet::new(),
            forward,
            lanes,
            rules,
            state,
            metrics,
            silence,
            canary: canary.unwrap_or_default(),
            heartbeat,
            log: log.unwrap_or_default(),
            stop_timeout: stop_timeout.unwrap_or(default::STOP_TIMEOUT),
        };
        configuration.check(file, &mut problems);
        if problems.is_empty() {
            Ok(configuration)
        } else {
            Err(problems)
        }
    }

    /// What must be true of the keys together.
    fn check(&self, file: &str, problems: &mut Vec<String>) {
        let mut complain = |what: String| problems.push(format!("{file}: {what}"));
        self.check_links(&mut complain);
        self.check_canary(&mut complain);
        let mut names = BTreeSet::new();
        for lane in &self.lanes {
            if !names.insert(&lane.name) {
                complain(format!("[[lane]] {:?} stands twice", lane.name));
            }
        }
        for lane in &self.lanes {
            let Some(other) = &lane.flow.on_failure else {
                continue;
            };
            if *other == lane.name || !names.contains(other) {
                complain(format!(
                    "[[lane]] {:?}: `on_failure` must be another lane, not {other:?}",
                    lane.name
                ));
            }
        }
    }

    /// Looks at the files that the configuration names, and complains about
    /// what is not as it must be. Changes nothing. Certificates are not read
    /// here but where they are loaded.
    pub(crate) fn check_files(&self, problems: &mut Vec<String>) {
        for lane in &self.lanes {
            let complaint = lane.to.check_files(&lane.name);
            problems.extend(complaint.map(|what| format!("[[lane]] {}: {what}", lane.name)));
        }
        let complaint = self.heartbeat.as_ref().and_then(Heartbeat::check_files);
        problems.extend(complaint.map(|what| format!("[heartbeat]: {what}")));
        for (what, path) in [
            ("[spool] directory", &self.spool),
            ("[state] file", &self.state.file),
            (
                "[state] metrics",
                self.state.metrics.as_ref().unwrap_or(&self.state.file),
            ),
        ] {
            let parent = path.parent();
            // The spool itself is made at the start.
            if !parent.is_some_and(|parent| parent.is_dir() || *parent == self.spool) {
                problems.push(format!(
                    "{what}: {} is in no existing directory",
                    path.display()
                ));
            }
        }
    }
}

fn parse_each<T>(
    root: &mut Table,
    key: &'static str,
    problems: &mut Vec<String>,
    mut parse: impl FnMut(Table, &mut Vec<String>) -> Option<T>,
) -> Vec<T> {
    root.take_tables(key, problems)
        .into_iter()
        .filter_map(|table| parse(table, problems))
        .collect()
}

fn parse_site(mut table: Table, problems: &mut Vec<String>) -> Option<SiteId> {
    let name = table.require("name", Table::parsed, problems);
    table.finish(problems);
    name
}

/// Where it is, and whether that may be a place that forgets.
fn parse_spool(mut table: Table, problems: &mut Vec<String>) -> (Option<PathBuf>, bool) {
    let directory = table.take("directory", Table::path, problems);
    let allow_volatile = table.take("allow_volatile", Table::boolean, problems);
    table.finish(problems);
    (directory, allow_volatile.unwrap_or(false))
}

fn parse_state(mut table: Table, spool: &Path, problems: &mut Vec<String>) -> State {
    let file = table.take("file", Table::path, problems);
    let interval = table.take("interval", positive, problems);
    let metrics = table.take("metrics", absolute, problems);
    table.finish(problems);
    let default = default_state(spool);
    State {
        file: file.unwrap_or(default.file),
        interval: interval.unwrap_or(default.interval),
        metrics,
    }
}

fn default_state(spool: &Path) -> State {
    State {
        file: spool.join(default::STATE_FILE),
        interval: default::STATE_INTERVAL,
        metrics: None,
    }
}

fn positive(value: program::config::Value) -> Result<Duration, String> {
    let duration = Table::duration(value)?;
    if duration.is_zero() {
        return Err("must be longer than nothing".to_owned());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPLETE: &str = r#"
stop_timeout = "5s"
[site]
name = "central"
[spool]
directory = "/s"
[tls]
certificate = "/c.crt"
key = "/c.key"
ca = "/ca.crt"
crl = "/ca.crl"
renew = true
[authority]
directory = "/a"
address = "central.example:6555"
[[listen]]
address = "[::1]:6555"
[[listen]]
address = "unix:/run/notifyd"
[[peer]]
site = "remote1"
[[peer]]
site = "other"
connect = "other.example:6555"
send = true
receive = true
sites = ["elsewhere"]
[[lane]]
name = "ops"
script = "/bin/true"
timeout = "1s"
retry = "100ms"
[[lane]]
name = "mail"
maildir = "/m"
to = "ops@example.com"
[state]
file = "/x.state"
[silence]
after = "15m"
[canary]
within = "1m"
tell = "mail"
lane = "ops"
[metrics]
listen = "127.0.0.1:9655"
[log]
style = "checkmk"
notifications = true
"#;

    #[test]
    fn every_key_is_read() {
        let c = Configuration::parse("n.toml", COMPLETE).unwrap();
        assert_eq!(c.site.as_str(), "central");
        assert_eq!(c.stop_timeout, Duration::from_secs(5));
        assert_eq!(c.listen[1].address, Address::Unix("/run/notifyd".into()));
        assert!(c.peers[1].may_claim(b"elsewhere") && !c.peers[0].may_claim(b"elsewhere"));
        assert!(c.peers[0].may_claim(b"remote1") && c.warnings().is_empty());
        assert_eq!(c.authority.clone().unwrap().directory, Path::new("/a"));
        assert_eq!(
            c.tls.clone().unwrap().files.crl.as_deref(),
            Some(Path::new("/ca.crl"))
        );
        assert_eq!(c.peers.len(), 2);
        assert!(!c.peers[0].send && c.peers[1].send);
        assert!(matches!(&c.lanes[0].to,
            Destination::Script(script) if script.timeout == Duration::from_secs(1)));
        let Destination::Mail(mail) = &c.lanes[1].to else {
            panic!("{:?}", c.lanes[1]);
        };
        assert_eq!(mail.sender.to_string(), "sitewire@central");
        assert_eq!(mail.recipients[0].to_string(), "ops@example.com");
        assert_eq!(mail.transport, Transport::Maildir("/m".into()));
        assert_eq!(c.state.file, Path::new("/x.state"));
        assert_eq!(c.metrics.as_ref().unwrap().to_string(), "127.0.0.1:9655");
        assert!(c.log.notifications && c.log != Log::default());
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        assert_eq!(c.silences().len(), 2);
        assert!(c.silences().iter().all(|(_, after)| *after == minutes(15)));
        assert_eq!((c.canary.every, c.canary.within), (None, minutes(1)));
        assert_eq!(c.canary.lane.as_deref(), Some("ops"));
        let open = COMPLETE.replace("\"127.0.0.1:9655\"", "\"0.0.0.0:9655\"\nexposed = true");
        assert!(Configuration::parse("n.toml", &open).is_ok());
    }

    #[test]
    fn little_is_enough() {
        let c = Configuration::parse("n.toml", "[site]\nname = 'a'\n").unwrap();
        assert_eq!(c.spool, Path::new(default::SPOOL));
        assert_eq!(c.state.file, Path::new("/var/spool/sitewire/notifyd.state"));
    }

    #[test]
    fn every_mistake_is_named() {
        let change = |from: &str, to: &str| COMPLETE.replacen(from, to, 1);
        for (name, text, want) in [
            ("no site", String::new(), "`site` is missing"),
            (
                "fallback to nothing",
                "[site]\nname = 'a'\n[[peer]]\nsite = 'b'\nconnect = 'unix:/b'\n\
                 [forward]\nto = ['b']\nfallback_after = '10m'\n"
                    .to_owned(),
                "`fallback_after` is of no use without a [[lane]]",
            ),
            (
                "site name",
                change("\"central\"", "\"a b\""),
                "is not a site id",
            ),
            (
                "misspelt",
                change("timeout = \"1s\"", "timeot = \"1s\""),
                "did you mean `timeout`",
            ),
            (
                "canaries that never come back",
                change("within = \"1m\"", "every = \"1m\""),
                "no [[peer]] that gets notifications has `results`",
            ),
            (
                "canary into nothing",
                change("tell = \"mail\"", "tell = \"male\""),
                "[canary] `tell` names \"male\", which is no [[lane]]",
            ),
            (
                "silence of nothing",
                change("after = \"15m\"", ""),
                "`after` is missing",
            ),
            ("no tls", change("[tls]", "[tsl]"), "did you mean `tls`"),
            (
                "peer is own",
                change("remote1", "central"),
                "this site itself",
            ),
            ("peer twice", change("other", "remote1"), "stands twice"),
            ("lane twice", change("\"mail\"", "\"ops\""), "stands twice"),
            (
                "lane name",
                change("\"mail\"", "\"a/b\""),
                "letters, digits",
            ),
            ("address", change("[::1]:6555", "6555"), "is not an address"),
            (
                "lane with both",
                change("maildir = \"/m\"", "maildir = \"/m\"\nscript = \"/x\""),
                "needs one of",
            ),
            ("header", change("ops@example.com", "a\\nb"), "mail address"),
            (
                "relative script",
                change("/bin/true", "true"),
                "absolute path",
            ),
            (
                "log",
                change("\"checkmk\"", "\"cmk\""),
                "must be \"sitewire\" or",
            ),
            (
                "metrics for all",
                change("127.0.0.1:9655", "0.0.0.0:9655"),
                "others can reach 0.0.0.0:9655",
            ),
            (
                "no time",
                change("\"100ms\"", "\"0s\""),
                "longer than nothing",
            ),
        ] {
            let problems = Configuration::parse("n.toml", &text).unwrap_err();
            assert!(
                problems
                    .iter()
                    .any(|p| p.starts_with("n.toml:") && p.contains(want)),
                "{name}: {problems:?}"
            );
        }
    }

    #[test]
    fn tcp_needs_certificates() {
        let text = "[site]\nname='a'\n[[listen]]\naddress='127.0.0.1:0'\n";
        let problems = Configuration::parse("n.toml", text).unwrap_err();
        assert_eq!(
            problems,
            ["n.toml: [tls] is missing, and 127.0.0.1:0 needs it"]
        );
        let text = "[site]\nname='a'\n[[listen]]\naddress='unix:/x'\n";
        assert!(Configuration::parse("n.toml", text).is_ok());
    }

    #[test]
    fn who_is_known_by_what_is_checked() {
        let pin = |digit: &str| format!("pin = 'sha256:{}'\n", digit.repeat(64));
        let with = |tls: &str, peers: &str| {
            format!(
                "[site]\nname = 'a'\n[tls]\ncertificate = '/c'\nkey = '/k'\n{tls}\
                 [[listen]]\naddress = '127.0.0.1:1'\n{peers}"
            )
        };
        let b = "[[peer]]\nsite = 'b'\n";
        let c = "[[peer]]\nsite = 'c'\n";
        let pinned = format!("{b}{}", pin("1"));
        for (name, text, want) in [
            ("a pin is enough", with("", &pinned), ""),
            (
                "a list",
                with("", &format!("{b}pin = ['sha256:{}']\n", "2".repeat(64))),
                "",
            ),
            (
                "beside an authority",
                with("ca = '/ca'\n", &format!("{pinned}{c}")),
                "",
            ),
            (
                "a peer without",
                with("", &format!("{pinned}{c}")),
                "[tls] `ca` is missing, and [[peer]] c has no `pin`",
            ),
            (
                "plain needs none",
                with("", &format!("{c}plain = true\n")),
                "",
            ),
            (
                "both",
                with("", &format!("{pinned}plain = true\n")),
                "[[peer]] b has `pin` and `plain`",
            ),
            (
                "of two",
                with("", &format!("{pinned}{c}{}", pin("1"))),
                "[[peer]] c has a `pin` that b has, too",
            ),
            (
                "none",
                with("", &format!("{b}pin = []\n")),
                "must name a key",
            ),
            (
                "a fingerprint",
                with("", &format!("{b}pin = '{}'\n", "1".repeat(64))),
                "as `sitecert pin` prints",
            ),
            (
                "short",
                with("", &format!("{b}pin = 'sha256:11'\n")),
                "64 hexadecimal digits",
            ),
            (
                "renew",
                with("renew = true\n", &pinned),
                "and renew needs it",
            ),
            ("crl", with("crl = '/l'\n", &pinned), "and crl needs it"),
        ] {
            let problems = Configuration::parse("n.toml", &text)
                .err()
                .unwrap_or_default();
            assert_eq!(
                problems.len(),
                usize::from(!want.is_empty()),
                "{name}: {problems:?}"
            );
            assert!(
                problems.iter().all(|p| p.contains(want)),
                "{name}: {problems:?}"
            );
        }
    }

    #[test]
    fn the_examples_can_be_used() {
        for text in [
            include_str!("../../../packaging/examples/notifyd-remote.toml"),
            include_str!("../../../packaging/examples/notifyd-central.toml"),
            include_str!("../../../packaging/examples/notifyd-pinned.toml"),
        ] {
            Configuration::parse("example", text).unwrap();
        }
        // Lanes, to be added to a configuration.
        for (text, count) in [
            (
                include_str!("../../../packaging/examples/lanes-webhook.toml"),
                5,
            ),
            (
                include_str!("../../../packaging/examples/lanes-command.toml"),
                4,
            ),
            (
                include_str!("../../../packaging/examples/lanes-syslog.toml"),
                2,
            ),
            (
                include_str!("../../../packaging/examples/lanes-checkmk.toml"),
                2,
            ),
        ] {
            let text = format!("[site]\nname = \"central\"\n{text}");
            let configuration = Configuration::parse("example", &text).unwrap();
            assert_eq!(configuration.lanes.len(), count, "{text}");
        }
    }

    #[test]
    fn the_manual_has_every_key_and_no_other() {
        let read = |word: &str| word.split('"').next().unwrap_or("").to_owned();
        // Keys stand right after these calls, or on the next line after `take(`.
        let own = include_str!("config.rs").split("#[cfg(test)]").next();
        let mut source =
            own.unwrap().to_owned() + include_str!("../../../common/authority/src/settings.rs");
        for directory in ["config", "config/lanes"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("src")
                .join(directory);
            for file in std::fs::read_dir(path).unwrap() {
                let file = file.unwrap().path();
                if file.is_file() {
                    source += &std::fs::read_to_string(file).unwrap();
                }
            }
        }
        let source: String = source.split_whitespace().collect();
        let tables = [
            "site",
            "spool",
            "tls",
            "authority",
            "listen",
            "peer",
            "forward",
            "lane",
            "rules",
            "state",
            "metrics",
            "heartbeat",
            "silence",
            "canary",
            "log",
        ];
        let mut keys = BTreeSet::new();
        for call in ["take(\"", "require(\"", "take_tables(\""] {
            keys.extend(source.split(call).skip(1).map(read));
        }
        keys.retain(|key| !tables.contains(&key.as_str()));
        // `[[peer]] site`, a lane's `spool`, `[state] metrics`, `[metrics] listen` and
        // `[canary] lane` are named as tables are.
        keys.extend(["site", "spool", "metrics", "listen", "lane"].map(str::to_owned));
        let page = include_str!("../../../man/notifyd.toml.5");
        let items = page.lines().filter_map(|line| line.strip_prefix(".It Ic "));
        let documented = items.filter_map(|item| item.split(' ').next());
        let documented: BTreeSet<String> = documented.map(str::to_owned).collect();
        assert_eq!(documented, keys);
        for table in tables {
            assert!(page.contains(&format!("[{table}]")), "{table}");
        }
    }
}
