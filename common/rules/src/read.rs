//! Reading a file of rules.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use program::config::{Plain, Table, Value};

use crate::condition::{Condition, Field, Moment};
use crate::contact::{Contact, Contacts};
use crate::decide::{Choice, Mode, Rule, Rules};
use crate::event::{State, Type};
use crate::parameters::flatten;
use crate::pattern::Wanted;
use crate::period::{Period, Periods};

type Problems = Vec<String>;

impl Rules {
    /// Reads `path` and the files of contacts that it names; on any mistake all
    /// mistakes, one text each. Relative names are below the directory of `path`.
    pub fn read(path: &Path) -> Result<Self, Vec<String>> {
        let file = path.display().to_string();
        let text =
            std::fs::read_to_string(path).map_err(|error| vec![format!("{file}: {error}")])?;
        Self::parse(&file, &text, path.parent().unwrap_or(Path::new(".")))
    }

    /// Reads the text of a file; those of contacts that it names are below
    /// `directory`.
    pub fn parse(file: &str, text: &str, directory: &Path) -> Result<Self, Vec<String>> {
        let mut problems = Problems::new();
        let mut root = Table::parse(file, text, &mut problems);
        let mode = root.require("match", read_mode, &mut problems);
        let mut periods = Periods::default();
        for table in root.take_tables("period", &mut problems) {
            read_period(table, &mut periods, &mut problems);
        }
        let mut contacts = Contacts::default();
        for table in root.take_tables("contact", &mut problems) {
            read_contact(table, &mut contacts, &mut problems);
        }
        let sources = match root.take("contacts", Table::table, &mut problems) {
            Some(table) => {
                read_sources(table, directory, &mut contacts, &mut periods, &mut problems)
            }
            None => Vec::new(),
        };
        let known = Known {
            contacts: &contacts,
            periods: &periods,
        };
        let rules: Vec<Rule> = root
            .take_tables("rule", &mut problems)
            .into_iter()
            .enumerate()
            .filter_map(|(index, table)| known.rule(index, table, &mut problems))
            .collect();
        let fallback = root
            .take("fallback", Table::table, &mut problems)
            .and_then(|mut table| {
                let choice = known.choice(&mut table, true, &mut problems);
                table.finish(&mut problems);
                choice
            });
        root.finish(&mut problems);
        for (name, other) in periods.unknown() {
            problems.push(format!(
                "{file}: [[period]] {name} excludes {other:?}, which does not exist"
            ));
        }
        let mut names = BTreeSet::new();
        for rule in rules.iter().filter(|rule| !names.insert(&rule.name)) {
            problems.push(format!("{file}: [[rule]] {:?} stands twice", rule.name));
        }
        match (mode, problems.is_empty()) {
            (Some(mode), true) => Ok(Self {
                mode,
                rules,
                fallback,
                contacts,
                periods,
                sources,
            }),
            _ => Err(problems),
        }
    }

    /// The names of all lanes that rules send to, each once.
    pub fn lanes(&self) -> BTreeSet<&str> {
        let choices = self
            .rules
            .iter()
            .map(|rule| &rule.choice)
            .chain(&self.fallback);
        choices
            .flat_map(|choice| &choice.lanes)
            .map(String::as_str)
            .collect()
    }

    /// The files that contacts were read from.
    pub fn sources(&self) -> &[PathBuf] {
        &self.sources
    }

    /// How many rules and contacts there are.
    pub fn counts(&self) -> (usize, usize) {
        (self.rules.len(), self.contacts.len())
    }
}

/// What rules may name.
struct Known<'k> {
    contacts: &'k Contacts,
    periods: &'k Periods,
}

impl Known<'_> {
    fn rule(&self, index: usize, mut table: Table, problems: &mut Problems) -> Option<Rule> {
        let before = problems.len();
        let name = table.take("name", Table::text, problems);
        let mut conditions = Vec::new();
        // What is quickly looked at comes first.
        let mut push = |condition: Option<Condition>| conditions.extend(condition);
        push(table.take("about", read_about, problems));
        push(
            table
                .take("type", read_types, problems)
                .map(Condition::Type),
        );
        push(
            table
                .take("state", read_states, problems)
                .map(Condition::State),
        );
        push(
            table
                .take("previous", read_states, problems)
                .map(Condition::Previous),
        );
        let number = table.take("number", read_range, problems);
        push(number.map(|(from, to)| Condition::Number { from, to }));
        push(read_throttle(&mut table, problems));
        let attempt = table.take("attempt", read_range, problems);
        push(attempt.map(|(from, to)| Condition::Attempt { from, to }));
        push(
            table
                .take("older_than", Table::duration, problems)
                .map(Condition::OlderThan),
        );
        push(
            table
                .take("younger_than", Table::duration, problems)
                .map(Condition::YoungerThan),
        );
        for (key, not_key, field) in Field::KEYS {
            for (key, not) in [(key, false), (not_key, true)] {
                let wanted = table.take(key, read_wanted, problems);
                let value = field.clone();
                push(wanted.map(|wanted| Condition::Fits { value, wanted, not }));
            }
        }
        for (key, prefix) in [
            ("host_label", "HOSTLABEL_"),
            ("service_label", "SERVICELABEL_"),
            ("host_variable", "HOST_"),
            ("service_variable", "SERVICE_"),
            ("context", ""),
        ] {
            if let Some(table) = table.take(key, Table::table, problems) {
                for condition in read_entries(table, key, prefix, problems) {
                    push(Some(condition));
                }
            }
        }
        push(self.period(&mut table, problems));
        let cancels = table
            .take("cancel", Table::boolean, problems)
            .unwrap_or(false);
        let choice = self.choice(&mut table, !cancels, problems);
        table.finish(problems);
        (problems.len() == before).then_some(())?;
        Some(Rule {
            name: name.unwrap_or_else(|| format!("rule {}", index + 1)),
            conditions,
            cancels,
            choice: choice?,
        })
    }

    fn period(&self, table: &mut Table, problems: &mut Problems) -> Option<Condition> {
        let name = table.take("period", |value| self.period_name(value), problems);
        let of = table.take("period_of", read_moment, problems);
        if name.is_none() && of.is_some() {
            problems.push(table.problem("`period_of` is of no use without `period`"));
        }
        let of = of.unwrap_or(Moment::Now);
        name.map(|name| Condition::Period { name, of })
    }

    fn period_name(&self, value: Value) -> Result<String, String> {
        let name = Table::text(value)?;
        if self.periods.knows(&name) {
            Ok(name)
        } else {
            Err(format!("{name:?} is no [[period]]"))
        }
    }

    /// Whom a rule tells. `adds` is false where it takes away.
    fn choice(&self, table: &mut Table, adds: bool, problems: &mut Problems) -> Option<Choice> {
        let before = problems.len();
        let lanes = if adds {
            table.require("lanes", Table::one_or_more, problems)
        } else {
            table.take("lanes", Table::one_or_more, problems)
        };
        let contacts = table.take("contacts", |value| self.contact_names(value), problems);
        let groups = table.take("contact_groups", |value| self.group_names(value), problems);
        let addresses = table.take("addresses", read_addresses, problems);
        let of_object = table.take("contacts_of_object", Table::boolean, problems);
        let of_event = table.take("contact_of_notification", Table::boolean, problems);
        let parameters = table.take("parameters", Table::plain, problems);
        let parameters = match parameters {
            Some(Plain::Table(entries)) => flatten(&entries),
            Some(_) => {
                problems.push(table.problem("`parameters` must be a table"));
                Vec::new()
            }
            None => Vec::new(),
        };
        (problems.len() == before).then(|| Choice {
            lanes: lanes.unwrap_or_default(),
            parameters,
            contacts: contacts.unwrap_or_default(),
            groups: groups.unwrap_or_default(),
            addresses: addresses.unwrap_or_default(),
            of_object: of_object.unwrap_or(false),
            of_event: of_event.unwrap_or(false),
        })
    }

    fn contact_names(&self, value: Value) -> Result<Vec<bstr::BString>, String> {
        let names = Table::one_or_more(value)?;
        match names
            .iter()
            .find(|name| self.contacts.get(name.as_bytes()).is_none())
        {
            Some(name) => Err(format!("names {name:?}, who is no contact")),
            None => Ok(names.into_iter().map(Into::into).collect()),
        }
    }

    fn group_names(&self, value: Value) -> Result<Vec<String>, String> {
        let names = Table::one_or_more(value)?;
        match names
            .iter()
            .find(|name| self.contacts.members(name).next().is_none())
        {
            Some(name) => Err(format!("names {name:?}, a group that no contact is in")),
            None => Ok(names),
        }
    }
}

fn read_mode(value: Value) -> Result<Mode, String> {
    match &*Table::text(value)? {
        "first" => Ok(Mode::First),
        "all" => Ok(Mode::All),
        _ => Err("must be \"first\" or \"all\"".to_owned()),
    }
}

fn read_about(value: Value) -> Result<Condition, String> {
    match &*Table::text(value)? {
        "host" => Ok(Condition::OfService(false)),
        "service" => Ok(Condition::OfService(true)),
        _ => Err("must be \"host\" or \"service\"".to_owned()),
    }
}

fn read_moment(value: Value) -> Result<Moment, String> {
    match &*Table::text(value)? {
        "now" => Ok(Moment::Now),
        "event" => Ok(Moment::Event),
        _ => Err("must be \"now\" or \"event\"".to_owned()),
    }
}

fn read_wanted(value: Value) -> Result<Wanted, String> {
    Wanted::new(Table::one_or_more(value)?)
}

/// `downtime` and `flapping` are all of their kind.
fn read_types(value: Value) -> Result<Vec<Type>, String> {
    let mut types = Vec::new();
    for word in Table::one_or_more(value)? {
        let is_meant = |known: &str| match &*word {
            "downtime" | "flapping" => known.starts_with(&*word),
            word => known == word,
        };
        let before = types.len();
        types.extend(
            Type::KNOWN
                .iter()
                .filter(|(_, known)| is_meant(known))
                .map(|(what, _)| *what),
        );
        if types.len() == before {
            let known: Vec<&str> = Type::KNOWN.iter().map(|(_, word)| *word).collect();
            return Err(format!(
                "{word:?} is none of downtime, flapping, {}",
                known.join(", ")
            ));
        }
    }
    Ok(types)
}

fn read_states(value: Value) -> Result<Vec<State>, String> {
    let read = |word: &String| {
        let mut all = State::ALL.iter();
        let found = all
            .find(|(_, known)| *known == word)
            .map(|(state, _)| *state);
        let known = State::ALL.map(|(_, word)| word).join(", ");
        found.ok_or_else(|| format!("{word:?} is none of {known}"))
    };
    Table::one_or_more(value)?.iter().map(read).collect()
}

/// `"3"`, `"2-5"`, `"4-"`, or a number.
fn read_range(value: Value) -> Result<(u64, Option<u64>), String> {
    let wrong = || "must be a number or a range such as \"2-5\" or \"4-\"".to_owned();
    let text = match Table::plain(value)? {
        Plain::Integer(number) => number.to_string(),
        Plain::Text(text) => text,
        _ => return Err(wrong()),
    };
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| wrong());
    let (from, to) = match text.split_once('-') {
        None => (number(&text)?, Some(number(&text)?)),
        Some((from, "")) => (number(from)?, None),
        Some((from, to)) => (number(from)?, Some(number(to)?)),
    };
    if to.is_some_and(|to| to < from) {
        return Err("ends before it begins".to_owned());
    }
    Ok((from, to))
}

fn read_throttle(table: &mut Table, problems: &mut Problems) -> Option<Condition> {
    let mut table = table.take("throttle", Table::table, problems)?;
    let count = |value| match u64::try_from(Table::integer(value)?) {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("must be at least 1".to_owned()),
    };
    let from = table.require("after", count, problems);
    let every = table.require("every", count, problems);
    table.finish(problems);
    Some(Condition::Throttle {
        from: from?,
        every: every?,
    })
}

fn read_entries(
    mut table: Table,
    key: &str,
    prefix: &str,
    problems: &mut Problems,
) -> Vec<Condition> {
    let entries = table.take_rest(read_wanted, problems);
    let condition = |(name, wanted): (String, Wanted)| Condition::Fits {
        value: Field::Entry {
            called: format!("{key} {name}"),
            name: format!("{prefix}{name}"),
        },
        wanted,
        not: false,
    };
    entries.into_iter().map(condition).collect()
}

fn read_addresses(value: Value) -> Result<Vec<Arc<Contact>>, String> {
    let addresses = Table::one_or_more(value)?;
    match addresses.iter().find(|address| !address.contains('@')) {
        Some(address) => Err(format!("{address:?} is no address of mail")),
        None => Ok(addresses
            .iter()
            .map(|a| Arc::new(Contact::of_address(a)))
            .collect()),
    }
}

fn read_period(mut table: Table, periods: &mut Periods, problems: &mut Problems) {
    let mut period = Period::default();
    let name = table.require("name", Table::text, problems);
    table.take(
        "zone",
        |value| period.set_zone(&Table::text(value)?),
        problems,
    );
    for other in table
        .take("exclude", Table::one_or_more, problems)
        .unwrap_or_default()
    {
        period.exclude(other);
    }
    for (day, ranges) in table.take_rest(Table::one_or_more, problems) {
        if let Err(what) = period.add(&day, ranges.iter().map(String::as_str)) {
            problems.push(table.problem(&what));
        }
    }
    let Some(name) = name else { return };
    if periods.insert(name.clone(), period).is_some() {
        problems.push(table.problem(&format!("[[period]] {name:?} stands twice")));
    }
}

fn read_contact(mut table: Table, contacts: &mut Contacts, problems: &mut Problems) {
    let name = table.require("name", Table::text, problems);
    let mut text = |key| table.take(key, Table::text, problems).unwrap_or_default();
    let (alias, email, pager, period) =
        (text("alias"), text("email"), text("pager"), text("period"));
    let groups = table
        .take("groups", Table::one_or_more, problems)
        .unwrap_or_default();
    let is_disabled = table
        .take("disabled", Table::boolean, problems)
        .unwrap_or(false);
    let attributes = match table.take("attributes", Table::table, problems) {
        Some(mut table) => table.take_rest(Table::text, problems),
        None => Vec::new(),
    };
    let Some(name) = name else { return };
    let attribute = |(key, value): (String, String)| (key.to_ascii_uppercase(), value.into());
    let is_new = contacts.insert(Contact {
        name: name.clone().into(),
        alias: alias.into(),
        email: email.into(),
        pager: pager.into(),
        groups: groups.into_iter().map(Into::into).collect(),
        host_period: period.clone(),
        service_period: period,
        is_disabled,
        attributes: attributes.into_iter().map(attribute).collect(),
    });
    if !is_new {
        problems.push(table.problem(&format!("[[contact]] {name:?} stands twice")));
    }
    table.finish(problems);
}

fn read_sources(
    mut table: Table,
    directory: &Path,
    contacts: &mut Contacts,
    periods: &mut Periods,
    problems: &mut Problems,
) -> Vec<PathBuf> {
    let nagios = table
        .take("nagios", Table::one_or_more, problems)
        .unwrap_or_default();
    let checkmk = table
        .take("checkmk", Table::one_or_more, problems)
        .unwrap_or_default();
    table.finish(problems);
    let mut read = |name: &str, take: &mut dyn FnMut(&[u8]) -> Result<(), String>| {
        let path = directory.join(name);
        let text = std::fs::read(&path).map_err(|error| error.to_string());
        if let Err(what) = text.and_then(|text| take(&text)) {
            problems.push(format!("{}: {what}", path.display()));
        }
    };
    for name in &nagios {
        read(name, &mut |text| contacts.read_nagios(text, periods));
    }
    for name in &checkmk {
        read(name, &mut |text| contacts.read_checkmk(text));
    }
    let names = nagios.iter().chain(&checkmk);
    names.map(|name| directory.join(name)).collect()
}
