//! Contacts and the aliases of groups, in the form of Checkmk's `contacts` and
//! `define_…groups`.

use std::collections::BTreeMap;

use bstr::{BString, ByteSlice};
use objects::Contact;

use crate::Error;
use crate::python::{Reader, Value};

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

/// No core can have such a name, and no request could ask for it.
fn check_name(reader: &Reader<'_>, name: Value, at: usize, what: &str) -> Result<BString, Error> {
    match name {
        Value::Str(name) if !name.is_empty() && name.find_byteset(b"\n\0").is_none() => Ok(name),
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
