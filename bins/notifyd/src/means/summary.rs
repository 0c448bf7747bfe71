//! Several notifications as one, for plugins that know one at a time only.

use bstr::BString;
use objects::UnixTime;

use super::environment::{self, Variable};
use crate::delivery::Why;
use crate::facts::{self, Opened};

/// The environment of a plugin that is to tell of all: that of a notification
/// about a host, whose long output has a line for each.
pub(super) fn environment(
    all: &[Opened<'_>],
    why: Why,
    lane: &str,
    now: UnixTime,
) -> Vec<Variable> {
    let Some(first) = all.first() else {
        return Vec::new();
    };
    let (facts, _) = facts::of_several(all, why, lane, now);
    let fact = |name: &str| facts.get(name).map(ToString::to_string).unwrap_or_default();
    let mut context = first.context.clone();
    context.retain(|name, _| {
        let of_object = [
            "SERVICE",
            "LASTSERVICE",
            "PREVIOUSSERVICE",
            "HOST",
            "LASTHOST",
        ];
        !of_object.iter().any(|prefix| name.starts_with(prefix))
    });
    let state = match fact("state").as_str() {
        "OK" | "UP" => "UP",
        "" => "",
        _ => "DOWN",
    };
    let kind = match fact("type") {
        kind if kind.contains(' ') => "CUSTOM".to_owned(),
        kind => kind,
    };
    let ids: Vec<String> = all.iter().map(|one| one.job.id.to_string()).collect();
    for (name, value) in [
        ("WHAT", "HOST".to_owned()),
        ("NOTIFICATIONTYPE", kind),
        ("NOTIFICATIONCOMMENT", fact("comment")),
        ("NOTIFICATIONAUTHOR", fact("author")),
        ("HOSTNAME", fact("host")),
        ("HOSTALIAS", fact("host")),
        ("HOSTADDRESS", fact("address")),
        ("HOSTSTATE", state.to_owned()),
        ("HOSTSHORTSTATE", state.to_owned()),
        ("HOSTOUTPUT", fact("output")),
        ("LONGHOSTOUTPUT", fact("details")),
        ("COUNT", all.len().to_string()),
        ("IDS", ids.join(",")),
    ] {
        context.insert(name.to_owned(), BString::from(value));
    }
    match Opened::of(first.job) {
        Ok(one) => environment::of_one(&Opened { context, ..one }, lane, now),
        // It could be read a moment ago.
        Err(_) => Vec::new(),
    }
}
