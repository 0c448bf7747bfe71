//! What rules said of a delivery, as the journal keeps it, in words.

use rules::Told;
use serde_json::{Value, json};
use spool::Target;

use crate::words;

/// Longest list of contacts that is shown.
const MOST_CONTACTS: usize = 20;

/// ` by rule "disks" to anna, joe`; empty for what no rule chose.
pub(crate) fn describe(target: &Target) -> String {
    let Some(told) = of(target) else {
        return String::new();
    };
    let mut text = match told.instead {
        true => " (not acknowledged in time)".to_owned(),
        false => String::new(),
    };
    let rules: Vec<String> = told.rules.iter().map(|rule| format!("{rule:?}")).collect();
    if !rules.is_empty() {
        text.push_str(&format!(" by {}", rules.join(", ")));
    }
    let names = told.names().map(|name| words::one_line(name, 80));
    let mut names: Vec<String> = names.collect();
    if names.len() > MOST_CONTACTS {
        let more = names.len() - MOST_CONTACTS;
        names.truncate(MOST_CONTACTS);
        names.push(format!("{more} more"));
    }
    if !names.is_empty() {
        text.push_str(&format!(" to {}", names.join(", ")));
    }
    text
}

/// Target, rules, parameters and contacts.
pub(crate) fn json(target: &Target) -> Value {
    let mut all = json!({"target": target.to_string()});
    if let Some(told) = of(target) {
        let contact = |contact: &std::sync::Arc<rules::Contact>| {
            json!({
                "name": contact.name.to_string(),
                "email": contact.email.to_string(),
                "pager": contact.pager.to_string(),
            })
        };
        let parameters = told.parameters.into_iter();
        let parameters = parameters.map(|(name, value)| (name, Value::from(value)));
        all["instead"] = told.instead.into();
        all["rules"] = told.rules.into();
        all["parameters"] = Value::Object(parameters.collect());
        all["contacts"] = told.contacts.iter().map(contact).collect();
    }
    all
}

fn of(target: &Target) -> Option<Told> {
    match target {
        Target::Job(job) => Told::parse(job.detail()?).ok(),
        Target::Peer(_) | Target::Lane(_) => None,
    }
}
