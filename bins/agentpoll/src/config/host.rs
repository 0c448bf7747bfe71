//! Hosts, and the templates that they use.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use agent::{ProcessRule, Rule, Rules};
use bstr::BString;
use objects::Thresholds;
use program::config::{Table, Value};

use super::{Poll, positive, secret};
use crate::exchange::Login;
use crate::place::Place;
use crate::trust::Belief;

/// A document is stale after that many intervals.
const STALE_AFTER: u32 = 3;

/// A host whose agent is watched.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) mode: Mode,
    /// Where its agent is asked.
    pub(crate) place: Place,
    pub(crate) tls: Tls,
    pub(crate) belief: Belief,
    /// Whom to believe in the place of our authority.
    pub(crate) ca: Option<PathBuf>,
    pub(crate) login: Login,
    /// For the first exchange of certificates.
    pub(crate) token: Option<String>,
    pub(crate) interval: Duration,
    pub(crate) deadline: Duration,
    /// Without a document for so long, it is stale.
    pub(crate) stale_after: Duration,
    /// The services that the core has; without, what was found.
    pub(crate) services: Option<Vec<BString>>,
    pub(crate) rules: Rules,
}

/// Who begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Pull,
    Push,
}

/// How an agent is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tls {
    /// In plain text.
    Off,
    /// It has a certificate, however it came by it.
    Certificate,
    /// It gets its certificate from us.
    Auto,
}

/// What a host or a template says, as far as it does.
#[derive(Debug, Clone, Default)]
struct Part {
    uses: Vec<String>,
    mode: Option<Mode>,
    port: Option<u16>,
    tls: Option<Tls>,
    belief: Option<Belief>,
    ca: Option<PathBuf>,
    login: Option<Login>,
    token: Option<String>,
    interval: Option<Duration>,
    deadline: Option<Duration>,
    stale_after: Option<Duration>,
    services: Option<Vec<BString>>,
    rules: Vec<Rule>,
    processes: Vec<ProcessRule>,
}

/// Takes the hosts out of the file, with what their templates say.
pub(super) fn parse_all(root: &mut Table, poll: &Poll, problems: &mut Vec<String>) -> Vec<Host> {
    let defaults = root
        .take("defaults", Table::table, problems)
        .map(|mut table| {
            let part = Part::parse(&mut table, problems);
            table.finish(problems);
            part
        });
    let mut templates = BTreeMap::new();
    if let Some(mut table) = root.take("template", Table::table, problems) {
        for (name, mut table) in table.take_rest(Table::table, problems) {
            let part = Part::parse(&mut table, problems);
            for used in part
                .uses
                .iter()
                .filter(|used| !templates.contains_key(*used))
            {
                problems.push(table.problem(&unknown(used)));
            }
            table.finish(problems);
            let part = part.over(&templates, None);
            templates.insert(name, part);
        }
    }
    let mut hosts = Vec::new();
    for mut table in root.take_tables("host", problems) {
        let name = table.require("name", name, problems);
        let address = table.take("address", address, problems);
        let part = Part::parse(&mut table, problems);
        for used in part
            .uses
            .iter()
            .filter(|used| !templates.contains_key(*used))
        {
            problems.push(table.problem(&unknown(used)));
        }
        let part = part.over(&templates, defaults.as_ref());
        let Some(name) = name else {
            table.finish(problems);
            continue;
        };
        let address = address.or_else(|| Place::parse(&name).ok().map(|place| place.address));
        let Some(address) = address.or_else(|| (part.mode == Some(Mode::Push)).then(String::new))
        else {
            let what = "`address` is missing: the name of the host is none";
            problems.push(table.problem(what));
            table.finish(problems);
            continue;
        };
        table.finish(problems);
        hosts.push(part.host(name, address, poll));
    }
    hosts
}

fn unknown(template: &str) -> String {
    format!("uses the template {template:?}, which does not stand before it")
}

impl Part {
    fn parse(table: &mut Table, problems: &mut Vec<String>) -> Self {
        let uses = table.take("use", Table::one_or_more, problems);
        let basic = table.take("login_file", login, problems);
        Self {
            uses: uses.unwrap_or_default(),
            mode: table.take("mode", mode, problems),
            port: table.take("port", port, problems),
            tls: table.take("tls", tls, problems),
            belief: table.take("believe", Table::parsed::<Belief>, problems),
            ca: table.take("ca", Table::path, problems),
            login: basic,
            token: table.take("token_file", secret, problems),
            interval: table.take("interval", positive, problems),
            deadline: table.take("deadline", positive, problems),
            stale_after: table.take("stale_after", positive, problems),
            services: table.take("services", descriptions, problems),
            rules: parse_rules(table, problems),
            processes: parse_processes(table, problems),
        }
    }

    /// What it says, upon what its templates and the defaults say.
    fn over(self, templates: &BTreeMap<String, Self>, defaults: Option<&Self>) -> Self {
        let used = self.uses.iter().filter_map(|name| templates.get(name));
        let below: Vec<&Self> = defaults.into_iter().chain(used).collect();
        let mut part = below
            .into_iter()
            .fold(Self::default(), |lower, upper| upper.clone().upon(lower));
        part = self.upon(part);
        part.uses.clear();
        part
    }

    fn upon(self, lower: Self) -> Self {
        let join = |mut low: Vec<_>, high: Vec<_>| {
            low.extend(high);
            low
        };
        // Of processes of one name the last counts, as with rules.
        let mut processes = lower.processes;
        for process in self.processes {
            processes.retain(|old: &ProcessRule| old.name != process.name);
            processes.push(process);
        }
        Self {
            uses: self.uses,
            mode: self.mode.or(lower.mode),
            port: self.port.or(lower.port),
            tls: self.tls.or(lower.tls),
            belief: self.belief.or(lower.belief),
            ca: self.ca.or(lower.ca),
            login: self.login.or(lower.login),
            token: self.token.or(lower.token),
            interval: self.interval.or(lower.interval),
            deadline: self.deadline.or(lower.deadline),
            stale_after: self.stale_after.or(lower.stale_after),
            services: self.services.or(lower.services),
            rules: join(lower.rules, self.rules),
            processes,
        }
    }

    fn host(self, name: String, address: String, poll: &Poll) -> Host {
        let interval = self.interval.unwrap_or(poll.interval);
        let services = self.services.map(|mut services| {
            let known: Vec<BString> = services.clone();
            let processes = self.processes.iter().map(ProcessRule::description);
            services.extend(processes.filter(|description| !known.contains(description)));
            services
        });
        Host {
            mode: self.mode.unwrap_or(Mode::Pull),
            place: Place {
                address,
                port: self.port.unwrap_or(crate::place::PORT),
            },
            tls: self.tls.unwrap_or(Tls::Auto),
            belief: self.belief.unwrap_or(Belief::Host),
            ca: self.ca,
            login: self.login.unwrap_or_default(),
            token: self.token,
            interval,
            deadline: self.deadline.unwrap_or(poll.deadline).min(interval),
            stale_after: self.stale_after.unwrap_or(interval * STALE_AFTER),
            services,
            rules: Rules::new(self.rules).with_processes(self.processes),
            name,
        }
    }
}

fn name(value: Value) -> Result<String, String> {
    let name = Table::text(value)?;
    crate::cli::name(&name).map_err(|why| format!("is wrong: {why}"))
}

fn address(value: Value) -> Result<String, String> {
    let text = Table::text(value)?;
    match Place::parse(&text) {
        // A port has a key of its own.
        Ok(place) if place.address == text => Ok(text),
        _ => Err(format!("{text:?} is neither a name nor an IP address")),
    }
}

fn mode(value: Value) -> Result<Mode, String> {
    match Table::text(value)?.as_str() {
        "pull" => Ok(Mode::Pull),
        "push" => Ok(Mode::Push),
        other => Err(format!("{other:?} is neither \"pull\" nor \"push\"")),
    }
}

fn tls(value: Value) -> Result<Tls, String> {
    match Table::text(value)?.as_str() {
        "off" => Ok(Tls::Off),
        "certificate" => Ok(Tls::Certificate),
        "auto" => Ok(Tls::Auto),
        other => Err(format!(
            "{other:?} is none of \"off\", \"certificate\" and \"auto\""
        )),
    }
}

fn port(value: Value) -> Result<u16, String> {
    let number = u16::try_from(Table::integer(value)?).ok();
    number
        .filter(|port| *port != 0)
        .ok_or_else(|| "must be from 1 to 65535".to_owned())
}

fn login(value: Value) -> Result<Login, String> {
    let pair = secret(value)?;
    match pair.contains(':') {
        true => Ok(Login::Basic(pair)),
        false => Err("names a file whose first line is not USER:PASSWORD".to_owned()),
    }
}

fn descriptions(value: Value) -> Result<Vec<BString>, String> {
    let texts = Table::texts(value)?;
    if let Some(text) = texts.iter().find(|text| crate::cli::name(text).is_err()) {
        return Err(format!("has {text:?}, which no service can be called"));
    }
    Ok(texts.into_iter().map(BString::from).collect())
}

/// `[host.service."PATTERN"]`
fn parse_rules(table: &mut Table, problems: &mut Vec<String>) -> Vec<Rule> {
    let Some(mut services) = table.take("service", Table::table, problems) else {
        return Vec::new();
    };
    let mut rules = Vec::new();
    for (pattern, mut table) in services.take_rest(Table::table, problems) {
        let is_given = table.has("warn") | table.has("crit");
        let thresholds = parse_thresholds(&mut table, problems);
        let mut rule = Rule::new(pattern, is_given.then_some(thresholds));
        for name in ["errors", "drops"] {
            rule = match parse_named(&mut table, name, problems) {
                Some(thresholds) => rule.with(name, thresholds),
                None => rule,
            };
        }
        table.finish(problems);
        rules.push(rule);
    }
    rules
}

/// `[host.process.NAME]`
fn parse_processes(table: &mut Table, problems: &mut Vec<String>) -> Vec<ProcessRule> {
    let Some(mut processes) = table.take("process", Table::table, problems) else {
        return Vec::new();
    };
    let mut rules = Vec::new();
    for (name, mut table) in processes.take_rest(Table::table, problems) {
        let mut rule = ProcessRule::new(name);
        if let Some(text) = table.take("match", Table::text, problems) {
            rule.pattern = text;
        }
        if let Some(field) = table.take("field", Table::parsed, problems) {
            rule.field = field;
        }
        rule.strict = table
            .take("strict", Table::boolean, problems)
            .unwrap_or(false);
        for (name, place) in [
            ("number", &mut rule.number),
            ("cpu", &mut rule.cpu),
            ("memory", &mut rule.memory),
        ] {
            if let Some(thresholds) = parse_named(&mut table, name, problems) {
                *place = thresholds;
            }
        }
        table.finish(problems);
        rules.push(rule);
    }
    rules
}

/// `NAME = { warn = "…", crit = "…" }`
fn parse_named(
    table: &mut Table,
    name: &'static str,
    problems: &mut Vec<String>,
) -> Option<Thresholds> {
    let mut table = table.take(name, Table::table, problems)?;
    let thresholds = parse_thresholds(&mut table, problems);
    table.finish(problems);
    Some(thresholds)
}

fn parse_thresholds(table: &mut Table, problems: &mut Vec<String>) -> Thresholds {
    let mut range = |key| table.take(key, Table::text, problems).unwrap_or_default();
    let (warn, crit) = (range("warn"), range("crit"));
    match Thresholds::parse(warn.as_bytes(), crit.as_bytes()) {
        Ok(thresholds) => thresholds,
        Err(error) => {
            problems.push(table.problem(&error.to_string()));
            Thresholds::default()
        }
    }
}
