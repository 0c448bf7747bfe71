//! What rules said of one delivery, as a spool keeps it: so that what was decided
//! is carried out, whatever the rules say by then.

use std::collections::BTreeMap;
use std::sync::Arc;

use bstr::BString;
use objects::notification::{Context, parse_context, print_json_string};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::contact::Contact;
use crate::decide::Delivery;

/// What a lane is told beside the notification. Everything is empty where there
/// are no rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// The rules that chose the delivery, by name, in their order.
    pub rules: Vec<String>,
    /// What plugins see as `PARAMETER_*`, without that prefix, by name.
    pub parameters: Vec<(String, String)>,
    /// Who is told: names and addresses, nothing else of a contact.
    pub contacts: Vec<Arc<Contact>>,
    /// Whether it stands in for a site that did not acknowledge in time.
    pub instead: bool,
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(default)]
    rules: Vec<String>,
    #[serde(default)]
    parameters: Vec<(String, String)>,
    #[serde(default, borrow)]
    contacts: Vec<&'a RawValue>,
    #[serde(default)]
    instead: bool,
}

/// In front of the names of attributes.
const ATTRIBUTE: &str = "_";

impl Told {
    /// What the rules said of `delivery`.
    pub fn of(delivery: &Delivery) -> Self {
        Self {
            rules: delivery.rules.clone(),
            parameters: delivery.parameters.clone(),
            contacts: delivery.contacts.clone(),
            instead: false,
        }
    }

    /// One line of JSON; bytes that are not UTF-8 as in a notification.
    pub fn print(&self) -> String {
        let mut out = String::from("{\"rules\":");
        list(&mut out, &self.rules, |out, rule| text(out, rule));
        if !self.parameters.is_empty() {
            out.push_str(",\"parameters\":");
            list(&mut out, &self.parameters, |out, (name, value)| {
                list(out, &[name, value], |out, part| text(out, part));
            });
        }
        if !self.contacts.is_empty() {
            out.push_str(",\"contacts\":");
            list(&mut out, &self.contacts, |out, contact| {
                print_contact(out, contact);
            });
        }
        if self.instead {
            out.push_str(",\"instead\":true");
        }
        out.push('}');
        out
    }

    /// Reads what [`Told::print`] gave. Members of later releases do not count.
    pub fn parse(json: &str) -> Result<Self, String> {
        let raw: Raw<'_> = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let contact = |raw: &&RawValue| {
            let entries = parse_context(raw.get()).map_err(|error| error.to_string())?;
            Ok(Arc::new(read_contact(entries)))
        };
        Ok(Self {
            rules: raw.rules,
            parameters: raw.parameters,
            contacts: raw
                .contacts
                .iter()
                .map(contact)
                .collect::<Result<_, String>>()?,
            instead: raw.instead,
        })
    }

    /// The names of those who are told.
    pub fn names(&self) -> impl Iterator<Item = &BString> {
        self.contacts.iter().map(|contact| &contact.name)
    }
}

fn list<T>(out: &mut String, items: &[T], print: impl Fn(&mut String, &T)) {
    out.push('[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        print(out, item);
    }
    out.push(']');
}

fn text(out: &mut String, text: &str) {
    print_json_string(out, text.as_bytes());
}

fn print_contact(out: &mut String, contact: &Contact) {
    let fixed = [
        ("name", &contact.name),
        ("alias", &contact.alias),
        ("email", &contact.email),
        ("pager", &contact.pager),
    ];
    let fixed = fixed
        .into_iter()
        .filter(|(name, value)| *name == "name" || !value.is_empty())
        .map(|(name, value)| (name.to_owned(), value));
    // No variable of a plugin can have such a name.
    let fits = |name: &str| name.len() < 200 && !name.contains(['=', '\0']);
    let attributes = contact.attributes.iter();
    let attributes = attributes
        .filter(|(name, _)| fits(name))
        .map(|(name, value)| (format!("{ATTRIBUTE}{name}"), value));
    out.push('{');
    for (at, (name, value)) in fixed.chain(attributes).enumerate() {
        if at > 0 {
            out.push(',');
        }
        text(out, &name);
        out.push(':');
        print_json_string(out, value);
    }
    out.push('}');
}

fn read_contact(mut entries: Context) -> Contact {
    let mut take = |name: &str| entries.remove(name).unwrap_or_default();
    let (name, alias) = (take("name"), take("alias"));
    let (email, pager) = (take("email"), take("pager"));
    let attributes = entries.into_iter().filter_map(|(name, value)| {
        let name = name.strip_prefix(ATTRIBUTE)?;
        Some((name.to_owned(), value))
    });
    Contact {
        name,
        alias,
        email,
        pager,
        attributes: attributes.collect::<BTreeMap<_, _>>(),
        ..Contact::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_survives_printing() {
        let contact = Contact {
            name: "anna".into(),
            alias: BString::from(b"Anna \xe4 \"A\"\n".to_vec()),
            email: "anna@example.org".into(),
            attributes: BTreeMap::from([("JABBER".to_owned(), "a@chat".into())]),
            ..Contact::default()
        };
        let told = Told {
            rules: vec!["disks at night".to_owned()],
            parameters: vec![("FROM".to_owned(), "mon@example.org".to_owned())],
            contacts: vec![Arc::new(contact)],
            instead: true,
        };
        let json = told.print();
        assert!(!json.contains('\n'), "{json}");
        assert_eq!(Told::parse(&json), Ok(told));
        assert_eq!(Told::parse("{}"), Ok(Told::default()));
        assert_eq!(Told::parse(&Told::default().print()), Ok(Told::default()));
        assert_eq!(
            Told::parse("{\"rules\":[\"a\"],\"later\":{\"x\":1}}").map(|told| told.rules),
            Ok(vec!["a".to_owned()])
        );
        for bad in ["", "1", "{\"rules\":1}", "{\"contacts\":[1]}"] {
            assert!(Told::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn attributes_that_no_variable_can_have_are_left_out() {
        let mut contact = Contact::default();
        contact.attributes.insert("A=B".to_owned(), "x".into());
        contact.attributes.insert("x".repeat(300), "x".into());
        let told = Told {
            contacts: vec![Arc::new(contact)],
            ..Told::default()
        };
        let told = Told::parse(&told.print()).unwrap();
        assert!(told.contacts[0].attributes.is_empty());
    }
}
