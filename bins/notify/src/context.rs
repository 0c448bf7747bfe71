//! The variables of a notification, from the places where cores leave them.
//!
//! Later places count more: `NAGIOS_*` and `ICINGA_*` in the environment,
//! `NOTIFY_*` in the environment, standard input, arguments. Values are bytes
//! throughout.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use bstr::ByteSlice;
use objects::notification::Context;
use objects::{SiteId, UnixTime};

/// The variables of the environment.
pub(crate) fn from_environment(
    variables: impl IntoIterator<Item = (OsString, OsString)> + Clone,
) -> Context {
    let mut context = Context::new();
    for (name, value) in variables.clone() {
        // Icinga 1 has the macros of Nagios under its own prefix.
        let name = name.to_str().and_then(|name| {
            let nagios = name.strip_prefix("NAGIOS_");
            nagios.or_else(|| name.strip_prefix("ICINGA_"))
        });
        for name in name.iter().flat_map(|name| nagios_names(name)) {
            insert(&mut context, name, &value);
        }
    }
    for (name, value) in variables {
        let name = name.to_str().and_then(|name| name.strip_prefix("NOTIFY_"));
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            insert(&mut context, name.to_owned(), &value);
        }
    }
    context
}

/// What plugins know a variable of Nagios as. Most names are the same.
fn nagios_names(name: &str) -> Vec<String> {
    if let Some(attribute) = name.strip_prefix("_HOST") {
        let mut names = vec![format!("HOST_{attribute}")];
        // Checkmk's tags, which its plugins expect under this name.
        names.extend((attribute == "TAGS").then(|| "HOSTTAGS".to_owned()));
        return names;
    }
    for object in ["SERVICE", "CONTACT"] {
        let custom = name.strip_prefix('_').and_then(|n| n.strip_prefix(object));
        if let Some(attribute) = custom {
            return vec![format!("{object}_{attribute}")];
        }
    }
    // Counted from 0 in the environment, from 1 as a macro.
    if let Some(Ok(number)) = name.strip_prefix("CONTACTADDRESS").map(str::parse::<u8>) {
        return vec![format!("CONTACTADDRESS{}", u16::from(number) + 1)];
    }
    // The core's own resource macros, among them passwords.
    let resource = name
        .strip_prefix("USER")
        .is_some_and(|n| n.parse::<u16>().is_ok());
    if name.is_empty() || resource {
        return Vec::new();
    }
    vec![name.to_owned()]
}

/// Adds `KEY=VALUE` arguments. An error names the one that is none.
pub(crate) fn add_arguments(context: &mut Context, arguments: &[OsString]) -> Result<(), String> {
    for argument in arguments {
        let (name, value) = argument
            .as_bytes()
            .split_once_str("=")
            .ok_or_else(|| format!("{argument:?} is not of the form NAME=VALUE"))?;
        let name = name
            .to_str()
            .ok()
            .filter(|name| !name.is_empty())
            .ok_or_else(|| format!("{argument:?} has no proper NAME"))?;
        insert(context, name.to_owned(), OsStr::from_bytes(value));
    }
    Ok(())
}

fn insert(context: &mut Context, name: String, value: &OsStr) {
    if !is_macro(value.as_bytes()) {
        context.insert(name, value.as_bytes().into());
    }
}

/// `$LIKETHIS$`: the core did not know what to put there.
fn is_macro(value: &[u8]) -> bool {
    let name = value.strip_prefix(b"$").and_then(|v| v.strip_suffix(b"$"));
    let allowed = |b: &u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b"_:".contains(b);
    name.is_some_and(|name| !name.is_empty() && name.iter().all(allowed))
}

/// Adds what can be computed, and says what must be there and is not.
pub(crate) fn complete(context: &mut Context, site: &SiteId, now: UnixTime) -> Result<(), String> {
    let has = |name: &str| context.get(name).is_some_and(|value| !value.is_empty());
    for name in ["NOTIFICATIONTYPE", "HOSTNAME"] {
        if !has(name) {
            return Err(format!(
                "{name} is not given, neither as NOTIFY_{name} in the environment nor as {name}=VALUE"
            ));
        }
    }
    let what = if has("SERVICEDESC") {
        "SERVICE"
    } else {
        "HOST"
    };
    if context["NOTIFICATIONTYPE"] == "FLAPPINGEND" {
        // Icinga's word. Plugins know that of Nagios and Checkmk.
        context.insert("NOTIFICATIONTYPE".to_owned(), "FLAPPINGSTOP".into());
    }
    for (name, value) in [
        ("WHAT", what.to_owned()),
        ("MICROTIME", now.micros().to_string()),
        ("OMD_SITE", site.to_string()),
    ] {
        let entry = context.entry(name.to_owned()).or_default();
        if entry.is_empty() {
            *entry = value.into();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &[u8])]) -> Context {
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| (OsString::from(name), OsStr::from_bytes(value).to_owned()))
            .collect();
        from_environment(variables)
    }

    #[test]
    fn names_of_nagios_become_those_that_plugins_know() {
        for (nagios, names) in [
            ("HOSTNAME", &["HOSTNAME"][..]),
            ("SERVICEDESC", &["SERVICEDESC"]),
            ("_HOSTTAGS", &["HOST_TAGS", "HOSTTAGS"]),
            ("_HOSTSL", &["HOST_SL"]),
            ("_SERVICEEC_CONTACT", &["SERVICE_EC_CONTACT"]),
            ("_CONTACTPHONE", &["CONTACT_PHONE"]),
            ("CONTACTADDRESS0", &["CONTACTADDRESS1"]),
            ("CONTACTADDRESS", &["CONTACTADDRESS"]),
            ("USER3", &[]),
            ("USERNAME", &["USERNAME"]),
            ("", &[]),
        ] {
            assert_eq!(nagios_names(nagios), names, "{nagios}");
        }
    }

    #[test]
    fn later_places_count_more_and_bytes_survive() {
        let mut context = environment(&[
            ("NOTIFY_HOSTNAME", b"b"),
            ("NAGIOS_HOSTNAME", b"a"),
            ("NAGIOS_HOSTALIAS", b"caf\xe9"),
            ("ICINGA_HOSTSTATE", b"DOWN"),
            ("HOSTADDRESS", b"not ours"),
        ]);
        assert_eq!(context["HOSTNAME"], "b");
        assert_eq!(context["HOSTALIAS"], &b"caf\xe9"[..]);
        assert_eq!(context["HOSTSTATE"], "DOWN");
        assert_eq!(context.len(), 3);
        add_arguments(&mut context, &["HOSTNAME=c=d".into()]).unwrap();
        assert_eq!(context["HOSTNAME"], "c=d");
        assert!(add_arguments(&mut context, &["HOSTNAME".into()]).is_err());
        assert!(add_arguments(&mut context, &["=x".into()]).is_err());
    }

    #[test]
    fn macros_that_the_core_did_not_replace_are_dropped() {
        for (value, dropped) in [
            (&b"$HOSTADDRESS$"[..], true),
            (b"$ARG1$", true),
            (b"$_HOSTTAGS$", true),
            (b"$HOSTADDRESS:db1$", false),
            (b"$$", false),
            (b"costs $5$", false),
            (b"$lower$", false),
        ] {
            let context = environment(&[("NOTIFY_X", value)]);
            assert_eq!(context.is_empty(), dropped, "{}", value.as_bstr());
        }
    }

    #[test]
    fn what_and_time_are_computed_and_the_rest_demanded() {
        let now = UnixTime::from_micros(5);
        let mut context = environment(&[("NOTIFY_HOSTNAME", b"a")]);
        let site = SiteId::new("remote1").unwrap();
        assert!(
            complete(&mut context, &site, now)
                .unwrap_err()
                .contains("NOTIFICATIONTYPE")
        );
        context.insert("NOTIFICATIONTYPE".into(), "PROBLEM".into());
        let mut service = context.clone();
        service.insert("SERVICEDESC".into(), "Disk /".into());
        complete(&mut context, &site, now).unwrap();
        complete(&mut service, &site, now).unwrap();
        assert_eq!(
            (&context["WHAT"][..], &context["MICROTIME"][..]),
            (&b"HOST"[..], &b"5"[..])
        );
        assert_eq!(service["WHAT"], "SERVICE");
        context.insert("NOTIFICATIONTYPE".into(), "FLAPPINGEND".into());
        complete(&mut context, &site, now).unwrap();
        assert_eq!(context["NOTIFICATIONTYPE"], "FLAPPINGSTOP");
    }
}
