//! Who can be told: contacts out of the rules' own file, out of a Nagios
//! configuration, out of Checkmk's `contacts.mk`, or out of the notification.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bstr::{BString, ByteSlice};
use nagios::object::{Definition, definitions};
use nagios::python::{self, Limits, Value};

use crate::event::Event;
use crate::period::{Period, Periods};

/// Largest file that is read, in bytes.
const MAX_FILE: usize = 16 << 20;
/// Templates of Nagios are followed so deep.
const MAX_TEMPLATES: usize = 16;

/// Somebody, or something, that can be told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contact {
    /// What it is called in rules and at the cores.
    pub name: BString,
    /// Name for people.
    pub alias: BString,
    /// Address of mail.
    pub email: BString,
    /// Number of a pager or telephone.
    pub pager: BString,
    /// Groups it is a member of.
    pub groups: BTreeSet<BString>,
    /// Time period in which it is told of hosts; empty means always.
    pub host_period: String,
    /// Time period in which it is told of services; empty means always.
    pub service_period: String,
    /// Whether it wants nothing at present.
    pub is_disabled: bool,
    /// What else is known: plugins see `CONTACT_` and the name.
    pub attributes: BTreeMap<String, BString>,
}

impl Contact {
    /// The contact that a core put into a notification itself.
    pub(crate) fn of_event(event: &Event<'_>) -> Option<Self> {
        let name = event.own_contact()?;
        let attributes = event.context.iter().filter_map(|(key, value)| {
            let name = key.strip_prefix("CONTACT_")?;
            Some((name.to_owned(), value.clone()))
        });
        Some(Self {
            name: name.into(),
            alias: event.get("CONTACTALIAS").into(),
            email: event.get("CONTACTEMAIL").into(),
            pager: event.get("CONTACTPAGER").into(),
            attributes: attributes.collect(),
            ..Self::default()
        })
    }

    /// Somebody of whom only the address is known.
    pub(crate) fn of_address(address: &str) -> Self {
        Self {
            name: format!("mailto:{address}").into(),
            email: address.into(),
            ..Self::default()
        }
    }

    /// The period that counts for `event`.
    pub(crate) fn period(&self, event: &Event<'_>) -> &str {
        match event.service {
            Some(_) => &self.service_period,
            None => &self.host_period,
        }
    }
}

/// All contacts, by name. Those that are read first stay.
#[derive(Debug, Clone, Default)]
pub(crate) struct Contacts(BTreeMap<BString, Arc<Contact>>);

impl Contacts {
    /// `false` if there is one of that name.
    pub(crate) fn insert(&mut self, contact: Contact) -> bool {
        if self.0.contains_key(&contact.name) {
            return false;
        }
        self.0.insert(contact.name.clone(), Arc::new(contact));
        true
    }

    pub(crate) fn get(&self, name: &[u8]) -> Option<&Arc<Contact>> {
        self.0.get(name.as_bstr())
    }

    pub(crate) fn members<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a Arc<Contact>> {
        let group = group.as_bytes().as_bstr();
        self.0
            .values()
            .filter(move |contact| contact.groups.contains(group))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Reads `define contact`, `define contactgroup` and `define timeperiod`,
    /// templates included; all other objects are passed over.
    pub(crate) fn read_nagios(&mut self, text: &[u8], periods: &mut Periods) -> Result<(), String> {
        check_size(text)?;
        let mut contacts = Vec::new();
        let mut groups = Vec::new();
        for definition in definitions(text) {
            let definition = definition.map_err(|error| error.to_string())?;
            match definition.kind.as_slice() {
                b"contact" => contacts.push(definition),
                b"contactgroup" => groups.push(definition),
                b"timeperiod" => add_period(&definition, periods)?,
                _ => {}
            }
        }
        let templates: BTreeMap<&[u8], &Definition> = contacts
            .iter()
            .filter_map(|contact| Some((directive(contact, "name")?, contact)))
            .collect();
        let mut read: BTreeMap<BString, Contact> = BTreeMap::new();
        for definition in &contacts {
            let get = |key: &str| inherited(definition, key, &templates, 0);
            // A template that is no contact of its own.
            let Some(name) = directive(definition, "contact_name") else {
                continue;
            };
            let text = |key: &str| BString::from(get(key).unwrap_or_default());
            let period = |key: &str| get(key).map_or(String::new(), |v| v.to_str_lossy().into());
            let mut contact = Contact {
                name: name.into(),
                alias: text("alias"),
                email: text("email"),
                pager: text("pager"),
                groups: names(get("contactgroups").unwrap_or_default()).collect(),
                host_period: period("host_notification_period"),
                service_period: period("service_notification_period"),
                ..Contact::default()
            };
            for directive in &definition.directives {
                if let Some(name) = directive.key.strip_prefix(b"_") {
                    let name = name.to_str_lossy().to_ascii_uppercase();
                    contact.attributes.insert(name, directive.value.clone());
                }
            }
            read.insert(contact.name.clone(), contact);
        }
        for group in &groups {
            let Some(name) = directive(group, "contactgroup_name") else {
                continue;
            };
            for member in names(directive(group, "members").unwrap_or_default()) {
                if let Some(contact) = read.get_mut(&member) {
                    contact.groups.insert(name.into());
                }
            }
        }
        for contact in read.into_values() {
            self.insert(contact);
        }
        Ok(())
    }

    /// Reads `contacts.update({...})` of Checkmk, as data.
    pub(crate) fn read_checkmk(&mut self, text: &[u8]) -> Result<(), String> {
        let limits = Limits {
            bytes: MAX_FILE,
            ..Limits::default()
        };
        let settings =
            python::parse_assignments(text, limits).map_err(|error| error.to_string())?;
        for (name, value) in settings {
            if name != "contacts" {
                continue;
            }
            let Value::Dict(entries) = value else {
                return Err(format!("contacts is a {}, not a dict", value.type_name()));
            };
            for (name, contact) in entries {
                if let (Value::Str(name), Value::Dict(entries)) = (name, contact) {
                    self.insert(of_checkmk(name, &entries));
                }
            }
        }
        Ok(())
    }
}

fn of_checkmk(name: BString, entries: &[(Value, Value)]) -> Contact {
    let get = |key: &str| {
        let entry = |(k, _): &&(Value, Value)| matches!(k, Value::Str(k) if k == key);
        entries.iter().find(entry).map(|(_, value)| value)
    };
    let text = |key: &str| match get(key) {
        Some(Value::Str(text)) => text.clone(),
        _ => BString::default(),
    };
    let groups = match get("contactgroups") {
        Some(Value::List(items)) => items
            .iter()
            .filter_map(|item| match item {
                Value::Str(name) => Some(name.clone()),
                _ => None,
            })
            .collect(),
        _ => BTreeSet::new(),
    };
    let is_disabled = match get("disable_notifications") {
        Some(Value::Bool(disabled)) => *disabled,
        Some(Value::Dict(entries)) => entries.iter().any(|(key, value)| {
            matches!(key, Value::Str(k) if k == "disable") && *value == Value::Bool(true)
        }),
        _ => false,
    };
    let period = text("notification_period").to_str_lossy().into_owned();
    let attributes = entries
        .iter()
        .filter_map(|(key, value)| match (key, value) {
            (Value::Str(key), Value::Str(value)) => {
                let name = key.strip_prefix(b"_")?;
                Some((name.to_str_lossy().to_ascii_uppercase(), value.clone()))
            }
            _ => None,
        });
    Contact {
        alias: text("alias"),
        email: text("email"),
        pager: text("pager"),
        groups,
        host_period: period.clone(),
        service_period: period,
        is_disabled,
        attributes: attributes.collect(),
        name,
    }
}

fn add_period(definition: &Definition, periods: &mut Periods) -> Result<(), String> {
    let Some(name) = directive(definition, "timeperiod_name") else {
        return Ok(());
    };
    let mut period = Period::default();
    for directive in &definition.directives {
        let (key, value) = (directive.key.to_str_lossy(), directive.value.to_str_lossy());
        match &*key {
            "timeperiod_name" | "alias" | "use" | "name" | "register" => {}
            "exclude" => {
                for other in value.split(',') {
                    period.exclude(other.trim().to_owned());
                }
            }
            day => period
                .add(day, value.split(',').filter(|range| !range.is_empty()))
                .map_err(|what| format!("line {}: {what}", directive.line))?,
        }
    }
    periods.insert(name.to_str_lossy().into_owned(), period);
    Ok(())
}

fn directive<'d>(definition: &'d Definition, key: &str) -> Option<&'d [u8]> {
    let mut all = definition.directives.iter();
    let found = all.find(|directive| directive.key == key)?;
    Some(found.value.as_slice())
}

/// A directive of the object, or of the first template that has it.
fn inherited<'d>(
    definition: &'d Definition,
    key: &str,
    templates: &BTreeMap<&[u8], &'d Definition>,
    depth: usize,
) -> Option<&'d [u8]> {
    if let Some(own) = directive(definition, key) {
        return Some(own);
    }
    if depth == MAX_TEMPLATES {
        return None;
    }
    names(directive(definition, "use")?)
        .filter_map(|name| templates.get(name.as_slice()))
        .find_map(|template| inherited(template, key, templates, depth + 1))
}

/// What stands between commas; a `+` before all of it adds to a template, which
/// is not told apart here.
fn names(value: &[u8]) -> impl Iterator<Item = BString> {
    let value = value.strip_prefix(b"+").unwrap_or(value);
    let names = value.split(|b| *b == b',').map(<[u8]>::trim);
    names.filter(|name| !name.is_empty()).map(BString::from)
}

fn check_size(text: &[u8]) -> Result<(), String> {
    if text.len() > MAX_FILE {
        return Err(format!("has {} bytes, the limit is {MAX_FILE}", text.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contacts_of_nagios_come_with_groups_templates_and_periods() {
        let text = b"define contact {\n  name generic\n  register 0\n  service_notification_period work\n  contactgroups all\n}\n\
            define contact {\n  contact_name anna\n  use generic\n  alias Anna Admin\n  email anna@example.org\n  _jabber anna@chat\n}\n\
            define contact {\n  contact_name joe\n  pager 123\n}\n\
            define contactgroup {\n  contactgroup_name ops\n  members joe, anna,nobody\n}\n\
            define timeperiod {\n  timeperiod_name work\n  alias Work\n  monday 08:00-12:00,13:00-17:00\n  exclude 24x7\n}\n\
            define command {\n  command_name x\n  command_line /bin/true\n}\n";
        let mut contacts = Contacts::default();
        let mut periods = Periods::default();
        contacts.read_nagios(text, &mut periods).unwrap();
        assert_eq!(contacts.len(), 2);
        let anna = contacts.get(b"anna").unwrap();
        assert_eq!(anna.alias, "Anna Admin");
        assert_eq!(anna.service_period, "work");
        assert_eq!(anna.host_period, "");
        assert_eq!(anna.attributes["JABBER"], "anna@chat");
        assert!(anna.groups.iter().eq(["all", "ops"]));
        let ops: Vec<_> = contacts.members("ops").map(|c| c.name.clone()).collect();
        assert_eq!(ops, ["anna", "joe"]);
        assert!(periods.knows("work"));
    }

    #[test]
    fn contacts_of_checkmk_are_read_as_data() {
        let text = b"# Written by WATO\ncontacts.update({\n 'anna': {'alias': u'Anna', 'email': 'anna@example.org', 'pager': '',\n  \
            'contactgroups': ['ops'], 'notification_period': '24X7', '_jabber': 'a@chat', 'disable_notifications': {}},\n \
            'joe': {'disable_notifications': {'disable': True}}})\n";
        let mut contacts = Contacts::default();
        contacts.read_checkmk(text).unwrap();
        let anna = contacts.get(b"anna").unwrap();
        assert_eq!(
            (anna.email.as_bstr(), anna.is_disabled),
            (b"anna@example.org".as_bstr(), false)
        );
        assert_eq!(anna.attributes["JABBER"], "a@chat");
        assert!(contacts.get(b"joe").unwrap().is_disabled);
        for bad in [
            "contacts.update(__import__('os'))",
            "contacts = [1]",
            "import os",
        ] {
            assert!(
                Contacts::default().read_checkmk(bad.as_bytes()).is_err(),
                "{bad}"
            );
        }
    }
}
