//! What a dump may say about an object of Nagios or Naemon: kinds, directives,
//! and what their values may look like. What is not in these lists is refused.

use bstr::ByteSlice;

/// Kinds of objects, in the order in which they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Command,
    Timeperiod,
    Contactgroup,
    Contact,
    Hostgroup,
    Servicegroup,
    Host,
    Service,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Command,
        Self::Timeperiod,
        Self::Contactgroup,
        Self::Contact,
        Self::Hostgroup,
        Self::Servicegroup,
        Self::Host,
        Self::Service,
    ];

    pub(super) fn from_word(word: &[u8]) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|kind| kind.word().as_bytes() == word)
    }

    /// The word behind `define`.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Timeperiod => "timeperiod",
            Self::Contactgroup => "contactgroup",
            Self::Contact => "contact",
            Self::Hostgroup => "hostgroup",
            Self::Servicegroup => "servicegroup",
            Self::Host => "host",
            Self::Service => "service",
        }
    }

    /// How a template of that kind is called in messages and among keys.
    pub(super) fn template_word(self) -> &'static str {
        match self {
            Self::Host => "host template",
            Self::Service => "service template",
            Self::Contact => "contact template",
            _ => "template",
        }
    }

    /// The directive that names the object.
    pub(super) fn name_key(self) -> &'static str {
        match self {
            Self::Command => "command_name",
            Self::Timeperiod => "timeperiod_name",
            Self::Contactgroup => "contactgroup_name",
            Self::Contact => "contact_name",
            Self::Hostgroup => "hostgroup_name",
            Self::Servicegroup => "servicegroup_name",
            Self::Host => "host_name",
            Self::Service => "service_description",
        }
    }

    /// What a directive's value may be; `None` for one that a dump may not have.
    pub(super) fn directive(self, key: &[u8]) -> Option<Value> {
        let own: &[(&str, Value)] = match self {
            Self::Command => &[("command_name", Value::Name), ("command_line", Value::Line)],
            Self::Timeperiod => TIMEPERIOD,
            Self::Contactgroup => &[("contactgroup_name", Value::Name), ("alias", Value::Text)],
            Self::Contact => CONTACT,
            Self::Hostgroup => &[("hostgroup_name", Value::Name), ("alias", Value::Text)],
            Self::Servicegroup => &[("servicegroup_name", Value::Name), ("alias", Value::Text)],
            Self::Host => HOST,
            Self::Service => SERVICE,
        };
        let common: &[(&str, Value)] = match self {
            Self::Host | Self::Service => CHECKED,
            _ => &[],
        };
        let mut known = own.iter().chain(common).chain(TEMPLATE);
        if let Some((_, value)) = known.find(|(name, _)| name.as_bytes() == key) {
            return Some(*value);
        }
        let is_custom = |key: &[u8]| {
            key.len() > 1
                && key[0] == b'_'
                && key.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
        };
        let has_custom = matches!(self, Self::Host | Self::Service | Self::Contact);
        (has_custom && is_custom(key)).then_some(Value::Text)
    }
}

/// The other words that Nagios takes for the same directive.
const SYNONYMS: &[(&str, &str)] = &[
    ("host", "host_name"),
    ("host_groups", "hostgroups"),
    ("service_groups", "servicegroups"),
    ("description", "service_description"),
    ("normal_check_interval", "check_interval"),
    ("retry_check_interval", "retry_interval"),
];

/// The directive's usual word.
pub(super) fn usual(key: &[u8]) -> &[u8] {
    let found = SYNONYMS.iter().find(|(other, _)| other.as_bytes() == key);
    found.map_or(key, |(_, usual)| usual.as_bytes())
}

/// What the value of a directive may look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// The name of an object.
    Name,
    /// Names of hosts, with commas between them.
    Hosts,
    /// Names of other objects, with commas between them.
    Names,
    /// Free text for people.
    Text,
    /// An IP address or the name of a machine.
    Address,
    /// The name of a picture's file.
    Image,
    /// A number, a switch, or letters with commas between them.
    Plain,
    /// Hours of a day.
    Hours,
    /// A command that the core may run.
    Check,
    /// Commands that the core may run, with commas between them.
    Checks,
    /// Templates, with commas between them.
    Use,
    /// The line of a command.
    Line,
}

const TEMPLATE: &[(&str, Value)] = &[
    ("use", Value::Use),
    ("name", Value::Name),
    ("register", Value::Plain),
];

const HOST: &[(&str, Value)] = &[
    ("host_name", Value::Name),
    ("address", Value::Address),
    ("parents", Value::Hosts),
    ("hostgroups", Value::Names),
];

const SERVICE: &[(&str, Value)] = &[
    ("host_name", Value::Name),
    ("service_description", Value::Name),
    ("servicegroups", Value::Names),
    ("is_volatile", Value::Plain),
];

/// What hosts and services have alike. No `event_handler`, and nothing that
/// becomes a link in a browser.
const CHECKED: &[(&str, Value)] = &[
    ("alias", Value::Text),
    ("display_name", Value::Text),
    ("check_command", Value::Check),
    ("check_period", Value::Name),
    ("check_interval", Value::Plain),
    ("retry_interval", Value::Plain),
    ("max_check_attempts", Value::Plain),
    ("active_checks_enabled", Value::Plain),
    ("passive_checks_enabled", Value::Plain),
    ("check_freshness", Value::Plain),
    ("freshness_threshold", Value::Plain),
    ("event_handler_enabled", Value::Plain),
    ("flap_detection_enabled", Value::Plain),
    ("process_perf_data", Value::Plain),
    ("retain_status_information", Value::Plain),
    ("retain_nonstatus_information", Value::Plain),
    ("initial_state", Value::Plain),
    ("contacts", Value::Names),
    ("contact_groups", Value::Names),
    ("notifications_enabled", Value::Plain),
    ("notification_interval", Value::Plain),
    ("notification_period", Value::Name),
    ("notification_options", Value::Plain),
    ("notes", Value::Text),
    ("icon_image", Value::Image),
    ("icon_image_alt", Value::Text),
];

const CONTACT: &[(&str, Value)] = &[
    ("contact_name", Value::Name),
    ("alias", Value::Text),
    ("contactgroups", Value::Names),
    ("host_notifications_enabled", Value::Plain),
    ("service_notifications_enabled", Value::Plain),
    ("host_notification_period", Value::Name),
    ("service_notification_period", Value::Name),
    ("host_notification_options", Value::Plain),
    ("service_notification_options", Value::Plain),
    ("host_notification_commands", Value::Checks),
    ("service_notification_commands", Value::Checks),
    ("can_submit_commands", Value::Plain),
];

const TIMEPERIOD: &[(&str, Value)] = &[
    ("timeperiod_name", Value::Name),
    ("alias", Value::Text),
    ("monday", Value::Hours),
    ("tuesday", Value::Hours),
    ("wednesday", Value::Hours),
    ("thursday", Value::Hours),
    ("friday", Value::Hours),
    ("saturday", Value::Hours),
    ("sunday", Value::Hours),
];

impl Value {
    /// Why a value cannot be taken, whoever it comes from: only characters are
    /// looked at.
    pub(super) fn check(self, value: &[u8]) -> Result<(), String> {
        if let Some(at) = value.find_byteset(b"$`") {
            return Err(match value[at] {
                b'$' => "has a `$`: macros are not taken".to_owned(),
                _ => "has a backtick, which a shell would act on".to_owned(),
            });
        }
        let also: &[u8] = match self {
            Self::Plain => b"._,-",
            Self::Hours => b":,-",
            Self::Address => b"._:%/-",
            Self::Image => b"._/ -",
            _ => return Ok(()),
        };
        let fits = |b: &u8| b.is_ascii_alphanumeric() || also.contains(b);
        if let Some(strange) = value.iter().find(|b| !fits(b)) {
            return Err(format!("has a {:?}", char::from(*strange)));
        }
        if self == Self::Image && value.contains_str("..") {
            return Err("leads out of the directory of icons".to_owned());
        }
        Ok(())
    }
}

/// Text for people, with look-alikes for what a shell acts on: notification
/// commands put aliases and notes into their lines, and Nagios removes nothing
/// from those.
pub(super) fn harmless(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for b in text {
        let instead = match b {
            b'"' => "\u{201d}",
            b'\'' => "\u{2019}",
            b'\\' => "\u{2216}",
            b';' => "\u{ff1b}",
            b'|' => "\u{2502}",
            b'&' => "\u{ff06}",
            b'<' => "\u{2039}",
            b'>' => "\u{203a}",
            _ => {
                out.push(*b);
                continue;
            }
        };
        out.extend_from_slice(instead.as_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_carries_what_a_shell_or_a_core_would_act_on() {
        for (value, text, why) in [
            (Value::Text, "$USER1$/x", "macros"),
            (Value::Name, "a$", "macros"),
            (Value::Text, "`id`", "backtick"),
            (Value::Address, "10.0.0.1; id", "';'"),
            (Value::Address, "10.0.0.1 -x", "' '"),
            (Value::Image, "../../x.png", "out of"),
            (Value::Image, "http://x/", "':'"),
            (Value::Plain, "1 2", "' '"),
            (Value::Hours, "00:00-24:00;x", "';'"),
        ] {
            let error = value.check(text.as_bytes()).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        for (value, text) in [
            (Value::Address, "fe80::1%eth0"),
            (Value::Address, "db-1.example.org"),
            (Value::Image, "base/linux 40.png"),
            (Value::Plain, "d,u,r"),
            (Value::Plain, "0.5"),
            (Value::Hours, "00:00-09:00,17:00-24:00"),
            (Value::Text, "Größe (alt): 5 % of #1 \u{1f600}"),
            (Value::Name, "Drive C:\\"),
        ] {
            assert_eq!(value.check(text.as_bytes()), Ok(()), "{text}");
        }
        let text = harmless(b"Bob's \"A&B\" | c:\\d; <e>");
        assert!(text.find_byteset(b"'\"&|\\;<>").is_none());
    }

    #[test]
    fn what_runs_programs_is_in_no_list() {
        for kind in Kind::ALL {
            for key in [
                "event_handler",
                "obsess",
                "action_url",
                "notes_url",
                "members",
                "hostgroup_name ",
                "cfg_file",
                "email",
            ] {
                assert_eq!(kind.directive(key.as_bytes()), None, "{kind:?} {key}");
            }
        }
    }
}
