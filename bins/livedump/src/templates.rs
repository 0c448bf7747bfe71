//! The objects that all others refer to: with `--dump-templates` a dump has its
//! own, under names of its site, so that dumps of any number of sites fit
//! together; without, the central core is expected to have those that the
//! original livedump writes.

use objects::SiteId;

use crate::cli::{Configuration, Switch};

/// What hosts and services refer to.
#[derive(Debug)]
pub(crate) struct Templates {
    pub(crate) host: String,
    pub(crate) service: String,
    /// The check that says that the object is checked elsewhere.
    pub(crate) command: String,
    /// No time at all.
    never: String,
}

impl Templates {
    pub(crate) fn of(args: &Configuration, site: &SiteId) -> Self {
        let is_own = args.dump_templates && !args.original_names;
        let name = |name: &str| match is_own {
            true => format!("{name}-{site}"),
            false => name.to_owned(),
        };
        Self {
            host: name("livedump-host"),
            service: name("livedump-service"),
            command: name("check-livedump"),
            never: match is_own {
                true => format!("livedump-never-{site}"),
                false => "0x0".to_owned(),
            },
        }
    }

    /// Their definitions.
    pub(crate) fn print(&self, args: &Configuration, out: &mut Vec<u8>) {
        let switch = |switch| match switch {
            Switch::On => "1",
            Switch::Off => "0",
        };
        let interval = args.interval.map(|minutes| minutes.to_string());
        let common = [
            ("use", args.uses.as_deref().unwrap_or_default()),
            ("register", "0"),
            ("active_checks_enabled", "0"),
            ("passive_checks_enabled", "1"),
            ("check_interval", interval.as_deref().unwrap_or_default()),
            ("notifications_enabled", switch(args.notifications)),
            ("flap_detection_enabled", switch(args.flap_detection)),
        ];
        object("host", &[&[("name", &self.host)], &common[..]], out);
        let never = [("check_period", &self.never[..])];
        object(
            "service",
            &[&[("name", &self.service)], &common, &never],
            out,
        );
        let line = "echo \"WARN - You did an active check, but this check is passive\" && exit 1";
        let command = [("command_name", &self.command[..]), ("command_line", line)];
        object("command", &[&command], out);
        let never = [
            ("timeperiod_name", &self.never[..]),
            ("alias", "Never ever"),
        ];
        object("timeperiod", &[&never], out);
    }
}

fn object(kind: &str, directives: &[&[(&str, &str)]], out: &mut Vec<u8>) {
    let directives = directives.iter().copied().flatten();
    let bytes = directives.map(|(key, value)| (key.as_bytes(), value.as_bytes()));
    nagios::object::print(kind, bytes, out);
}
