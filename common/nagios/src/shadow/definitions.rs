//! Contacts and the aliases of groups, in the form of Checkmk's `contacts` and
//! `define_…groups`. Reading and printing stand side by side.

use std::collections::BTreeMap;

use bstr::{BString, ByteSlice};
use objects::Contact;

use super::dict::Dict;
use super::is_name;
use crate::Error;
use crate::python::{Reader, Value, print_str};

/// What there is beside hosts and services. Groups exist without members, too.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Definitions {
    /// The contacts, by name.
    pub contacts: BTreeMap<BString, Contact>,
    /// Aliases of the host groups that are defined.
    pub hostgroups: BTreeMap<BString, BString>,
    /// Aliases of the service groups that are defined.
    pub servicegroups: BTreeMap<BString, BString>,
    /// Aliases of the contact groups that are defined.
    pub contactgroups: BTreeMap<BString, BString>,
}

impl Definitions {
    /// Whether nothing is defined.
    pub fn is_empty(&self) -> bool {
        self.contacts.is_empty()
            && self.hostgroups.is_empty()
            && self.servicegroups.is_empty()
            && self.contactgroups.is_empty()
    }

    /// Adds what `later` defines; it replaces what has the same name.
    pub fn extend(&mut self, later: Self) {
        self.contacts.extend(later.contacts);
        self.hostgroups.extend(later.hostgroups);
        self.servicegroups.extend(later.servicegroups);
        self.contactgroups.extend(later.contactgroups);
    }
}

/// Prints a statement for each kind of which there is one, and each name on a
/// line of its own.
pub(super) fn print(definitions: &Definitions, out: &mut Vec<u8>) {
    print_statement("contacts", &definitions.contacts, print_contact, out);
    for (variable, aliases) in [
        ("define_contactgroups", &definitions.contactgroups),
        ("define_hostgroups", &definitions.hostgroups),
        ("define_servicegroups", &definitions.servicegroups),
    ] {
        print_statement(variable, aliases, |alias, out| print_str(alias, out), out);
    }
}

fn print_statement<T>(
    variable: &str,
    entries: &BTreeMap<BString, T>,
    print: impl Fn(&T, &mut Vec<u8>),
    out: &mut Vec<u8>,
) {
    if entries.is_empty() {
        return;
    }
    out.extend(variable.as_bytes());
    out.extend(b".update({\n");
    for (name, entry) in entries {
        print_str(name, out);
        out.extend(b": ");
        print(entry, out);
        out.extend(b",\n");
    }
    out.extend(b"})\n");
}

fn print_contact(contact: &Contact, out: &mut Vec<u8>) {
    let mut dict = Dict::open(out);
    dict.text("alias", &contact.alias);
    dict.list("contactgroups", &contact.contact_groups);
    dict.text("email", &contact.email);
    dict.text("notification_period", &contact.notification_period);
    dict.text("pager", &contact.pager);
    dict.close();
}

/// Reads a dict of contacts; a later one of the same name replaces an earlier one.
pub(super) fn read_contacts(
    reader: &mut Reader<'_>,
    contacts: &mut BTreeMap<BString, Contact>,
) -> Result<(), Error> {
    expect_dict(reader, "a dict of contacts")?;
    reader.dict(|reader, name, at| {
        let name = check_name(reader, name, at, "contact")?;
        let contact = read_contact(reader, &name)?;
        contacts.insert(name, contact);
        Ok(())
    })
}

/// Reads a dict from the names of groups to their aliases.
pub(super) fn read_aliases(
    reader: &mut Reader<'_>,
    aliases: &mut BTreeMap<BString, BString>,
) -> Result<(), Error> {
    expect_dict(reader, "a dict of aliases")?;
    reader.dict(|reader, name, at| {
        let name = check_name(reader, name, at, "group")?;
        let at = reader.at();
        match reader.value()? {
            Value::Str(alias) => aliases.insert(name, alias),
            Value::None => aliases.insert(name, BString::default()),
            other => {
                let what = format!(
                    "the alias of group {:?} must be a str, not {}",
                    name.as_bstr(),
                    other.type_name()
                );
                return Err(reader.syntax(at, what));
            }
        };
        Ok(())
    })
}

fn read_contact(reader: &mut Reader<'_>, name: &BString) -> Result<Contact, Error> {
    let mut contact = Contact::default();
    if reader.rest().first() != Some(&b'{') {
        let at = reader.at();
        let found = reader.value()?.type_name();
        let what = format!("contact {:?} must be a dict, not {found}", name.as_bstr());
        return Err(reader.syntax(at, what));
    }
    reader.dict(|reader, key, _| {
        let at = reader.at();
        let value = reader.value()?;
        let Value::Str(key) = key else { return Ok(()) };
        let wrong = |wanted: &str, found: &Value| {
            let (name, key, found) = (name.as_bstr(), key.as_bstr(), found.type_name());
            let what = format!("contact {name:?}, key {key:?}: must be {wanted}, not {found}");
            reader.syntax(at, what)
        };
        match key.as_slice() {
            b"alias" => contact.alias = text(value, wrong)?,
            b"email" => contact.email = text(value, wrong)?,
            b"pager" => contact.pager = text(value, wrong)?,
            b"notification_period" => contact.notification_period = text(value, wrong)?,
            b"contactgroups" => contact.contact_groups = list(value, wrong)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(contact)
}

fn text(value: Value, wrong: impl Fn(&str, &Value) -> Error) -> Result<BString, Error> {
    match value {
        Value::Str(text) => Ok(text),
        Value::None => Ok(BString::default()),
        other => Err(wrong("a str", &other)),
    }
}

fn list(value: Value, wrong: impl Fn(&str, &Value) -> Error) -> Result<Vec<BString>, Error> {
    let items = match value {
        Value::List(items) | Value::Tuple(items) | Value::Set(items) => items,
        Value::None => Vec::new(),
        other => return Err(wrong("a list of str", &other)),
    };
    let text = |item| match item {
        Value::Str(text) => Ok(text),
        other => Err(wrong("a list of str", &other)),
    };
    items.into_iter().map(text).collect()
}

fn expect_dict(reader: &mut Reader<'_>, wanted: &str) -> Result<(), Error> {
    if reader.rest().first() == Some(&b'{') {
        Ok(())
    } else {
        Err(reader.unexpected(wanted))
    }
}

fn check_name(reader: &Reader<'_>, name: Value, at: usize, what: &str) -> Result<BString, Error> {
    match name {
        Value::Str(name) if is_name(&name) => Ok(name),
        Value::Str(_) => {
            let what = format!("a {what}'s name is empty or has a line feed or NUL in it");
            Err(reader.syntax(at, what))
        }
        other => {
            let what = format!("a {what}'s name must be a str, not a {}", other.type_name());
            Err(reader.syntax(at, what))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::super::{Limits, ShadowConfiguration, parse};
    use super::*;

    fn read(text: &[u8]) -> Result<ShadowConfiguration, Error> {
        parse(text, Limits::default())
    }

    #[test]
    fn contacts_and_groups_are_read_as_checkmk_writes_them() {
        let text = "contacts.update({'joe': {'alias': 'Joe', 'contactgroups': ['ops', 'all'], 'email': 'joe@example.org',\n\
                    'pager': None, 'notification_period': '24X7', 'disable_notifications': {}}, 'eve': {}})\n\
                    define_hostgroups.update({'web': 'Web servers'})\ndefine_servicegroups = {'disks': 'Disks'}\n\
                    define_contactgroups = {'old': 'x'}; define_contactgroups = {'ops': 'Operators'}\n";
        let read = read(text.as_bytes()).unwrap();
        let joe = Contact {
            alias: "Joe".into(),
            email: "joe@example.org".into(),
            pager: "".into(),
            contact_groups: vec!["ops".into(), "all".into()],
            notification_period: "24X7".into(),
        };
        assert_eq!(
            read.definitions.contacts,
            [("joe".into(), joe), ("eve".into(), Contact::default())].into()
        );
        assert_eq!(
            read.definitions.hostgroups,
            [("web".into(), "Web servers".into())].into()
        );
        assert_eq!(
            read.definitions.servicegroups,
            [("disks".into(), "Disks".into())].into()
        );
        assert_eq!(
            read.definitions.contactgroups,
            [("ops".into(), "Operators".into())].into()
        );
        assert!(read.hosts.is_empty() && read.begin.is_none());
    }

    #[test]
    fn mistakes_in_contacts_are_told_with_their_place() {
        for (text, want) in [
            (
                "contacts = []",
                "1:12: expected a dict of contacts, found `[`",
            ),
            (
                "contacts = {'joe': 1}",
                "1:20: contact \"joe\" must be a dict, not int",
            ),
            (
                "contacts = {'joe': {'email': 1}}",
                "1:30: contact \"joe\", key \"email\": must be a str, not int",
            ),
            (
                "contacts = {'joe': {'contactgroups': [1]}}",
                "1:38: contact \"joe\", key \"contactgroups\": must be a list of str, not int",
            ),
            (
                "contacts = {'': {}}",
                "1:13: a contact's name is empty or has a line feed or NUL in it",
            ),
            (
                "contacts.add('x')",
                "1:13: expected `.update({...})` or ` = {...}` behind `contacts`, found `(`",
            ),
            (
                "define_hostgroups = 1",
                "1:21: expected a dict of aliases, found `1`",
            ),
            (
                "define_hostgroups = {'a': 1}",
                "1:27: the alias of group \"a\" must be a str, not int",
            ),
            (
                "define_hostgroups = {'a\\nb': ''}",
                "1:22: a group's name is empty or has a line feed or NUL in it",
            ),
        ] {
            assert_eq!(
                read(text.as_bytes()).unwrap_err().to_string(),
                want,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_not_defined_is_not_printed() {
        let mut out = Vec::new();
        print(&Definitions::default(), &mut out);
        assert_eq!(out.as_bstr(), "");
        let only = Definitions {
            contacts: [("eve".into(), Contact::default())].into(),
            ..Definitions::default()
        };
        print(&only, &mut out);
        assert_eq!(out.as_bstr(), "contacts.update({\n'eve': {},\n})\n");
    }

    fn any_text() -> impl Strategy<Value = BString> {
        vec(any::<u8>(), 0..12).prop_map(BString::from)
    }

    fn any_name() -> impl Strategy<Value = BString> {
        any_text().prop_filter("no core can have it", |name| is_name(name))
    }

    prop_compose! {
        fn any_contact()(
            texts in [any_text(), any_text(), any_text(), any_text()],
            contact_groups in vec(any_text(), 0..4),
        ) -> Contact {
            let [alias, email, pager, notification_period] = texts;
            Contact { alias, email, pager, contact_groups, notification_period }
        }
    }

    prop_compose! {
        fn any_definitions()(
            contacts in btree_map(any_name(), any_contact(), 0..4),
            [hostgroups, servicegroups, contactgroups] in [(); 3].map(|()| btree_map(any_name(), any_text(), 0..4)),
        ) -> Definitions {
            Definitions { contacts, hostgroups, servicegroups, contactgroups }
        }
    }

    proptest! {
        #[test]
        fn what_was_printed_is_read(definitions in any_definitions()) {
            let mut out = b"shadow_hosts = {}\n".to_vec();
            print(&definitions, &mut out);
            prop_assert!(out.is_ascii(), "{}", out.as_bstr());
            let read = read(&out).unwrap();
            prop_assert_eq!(read.definitions, definitions);
        }
    }
}
