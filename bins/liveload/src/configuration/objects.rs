//! Configurations for Nagios and Naemon: object definitions, checked against a
//! list of what a dump may say, and printed anew in a fixed order.
//!
//! A dump may name objects of its own and refer to those. It may not run
//! anything: the only command it has is the one that says that an object is
//! checked elsewhere, and that one is written by us, whatever the dump's
//! looked like.

mod definition;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use bstr::{BStr, BString, ByteSlice, ByteVec};
use objects::SiteId;

use super::Hosts;
use super::content::{Content, Key};
use crate::cli;
use definition::{Definition, definitions};
use rules::{Kind, Value};

/// The command that a dump may have, alone or with `-SITE` behind it.
const INERT: &str = "check-livedump";
/// What it does: nothing but to say that somebody forced an active check.
const INERT_LINE: &str =
    "/bin/sh -c 'echo \"WARN - this object is checked at its own site\" && exit 1'";
/// Templates that the centre has of its own when no dump brings them.
const TEMPLATES: [&str; 2] = ["livedump-host", "livedump-service"];

/// What comes before the first object.
const HEADER: &str =
    "# Written by liveload, which replaces this file with every configuration of the site.\n\n";

/// Reads a dump and prints what the core is to have.
pub(super) fn read(text: &[u8], site: &SiteId, args: &cli::Import) -> Result<Content, String> {
    let mut own = Dump::gather(definitions(text)?)?;
    let rules = Rules {
        site,
        args,
        trusted: args.configuration.trust_config,
    };
    rules.check(&own)?;
    own.prefix_hosts(args.reading.prefix.as_bytes());
    let mut bytes = HEADER.as_bytes().to_vec();
    for (place, definition) in &own.objects {
        let is_inert = place.kind == Kind::Command && !rules.trusted;
        rules.print(definition, is_inert, &mut bytes);
    }
    Ok(Content {
        file: format!("sitewire-{site}.cfg"),
        bytes,
        hosts: own.hosts(),
        services: own.services(),
        keys: own.keys(),
    })
}

/// Hosts in a file of ours.
pub(super) fn hosts(text: &[u8]) -> Hosts {
    Dump::gather(definitions(text).unwrap_or_default())
        .map(|dump| dump.hosts())
        .unwrap_or_default()
}

/// Everything in a file of the directory, whoever wrote it, that may be in a
/// configuration only once. Of a file that we do not understand, what comes
/// before that place: the core's own check has the last word.
pub(super) fn keys(text: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    for definition in definition::readable(text) {
        let Ok(definition) = definition else { break };
        let Some(kind) = Kind::from_word(&definition.kind) else {
            continue;
        };
        keys.extend(definition.key(kind));
    }
    keys
}

/// The site whose file that is, if it is one of ours.
pub(super) fn site_of(file: &str) -> Option<SiteId> {
    let site = file.strip_prefix("sitewire-")?.strip_suffix(".cfg")?;
    SiteId::new(site).ok()
}

/// Where an object stands in the file: by kind, templates first, by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    kind: Kind,
    is_object: bool,
    name: BString,
    description: BString,
}

/// All objects of a dump.
#[derive(Debug, Default)]
struct Dump {
    objects: BTreeMap<Place, Definition>,
}

impl Dump {
    fn gather(definitions: Vec<Definition>) -> Result<Self, String> {
        let mut dump = Self::default();
        for definition in definitions {
            let place = definition.place()?;
            if let Some(first) = dump.objects.get(&place) {
                return Err(definition.wrong(&format!(
                    "the same object stands in line {} already",
                    first.line
                )));
            }
            dump.objects.insert(place, definition);
        }
        Ok(dump)
    }

    fn named<'a>(&'a self, kind: Kind, is_object: bool) -> impl Iterator<Item = &'a BString> {
        let of_kind = move |place: &&'a Place| place.kind == kind && place.is_object == is_object;
        self.objects.keys().filter(of_kind).map(|place| &place.name)
    }

    fn hosts(&self) -> Hosts {
        self.named(Kind::Host, true).cloned().collect()
    }

    fn services(&self) -> u64 {
        self.named(Kind::Service, true).count() as u64
    }

    /// Services are not among them: they belong to hosts, which are.
    fn keys(&self) -> Vec<Key> {
        let key = |(place, definition): (&Place, &Definition)| definition.key(place.kind);
        self.objects.iter().filter_map(key).collect()
    }

    fn prefix_hosts(&mut self, prefix: &[u8]) {
        if prefix.is_empty() {
            return;
        }
        let all = std::mem::take(&mut self.objects);
        for (mut place, mut definition) in all {
            let is_host_object = matches!(place.kind, Kind::Host | Kind::Service);
            for (key, value) in &mut definition.directives {
                let names_hosts = key == "host_name" || key == "parents";
                if is_host_object && names_hosts {
                    let names = value
                        .split_str(",")
                        .map(|name| [prefix, name.trim_ascii()].concat());
                    *value = bstr::join(",", names).into();
                }
            }
            if is_host_object && place.is_object {
                place.name.insert_str(0, prefix);
            }
            self.objects.insert(place, definition);
        }
    }
}

/// What one site may say.
struct Rules<'a> {
    site: &'a SiteId,
    args: &'a cli::Import,
    trusted: bool,
}

impl Rules<'_> {
    fn check(&self, dump: &Dump) -> Result<(), String> {
        let names = |kind, is_object| dump.named(kind, is_object).map(|n| n.as_bstr()).collect();
        let names = Names {
            hosts: names(Kind::Host, true),
            host_templates: names(Kind::Host, false),
            service_templates: names(Kind::Service, false),
            contact_templates: names(Kind::Contact, false),
        };
        if names.hosts.is_empty() {
            return Err(" it has no host".to_owned());
        }
        for (place, definition) in &dump.objects {
            self.check_definition(place, definition, &names)?;
        }
        Ok(())
    }

    fn check_definition(
        &self,
        place: &Place,
        definition: &Definition,
        names: &Names<'_>,
    ) -> Result<(), String> {
        if place.kind == Kind::Command && !self.trusted && !self.is_own_command(&place.name) {
            let what = format!("a dump may not define commands but {INERT}");
            return Err(definition.wrong(&what));
        }
        if place.kind == Kind::Service && place.is_object {
            let host = place.name.as_bstr();
            if !names.hosts.contains(host) {
                return Err(definition.wrong(&format!("host {host:?} is not in the dump")));
            }
        }
        for (key, value) in &definition.directives {
            self.check_directive(place.kind, key, value, names)
                .map_err(|why| definition.wrong(&format!("{} {why}", key.as_bstr())))?;
        }
        Ok(())
    }

    fn check_directive(
        &self,
        kind: Kind,
        key: &BString,
        value: &BString,
        names: &Names<'_>,
    ) -> Result<(), String> {
        let allowed = kind.directive(key);
        if self.trusted && !matches!(allowed, Some(Value::Hosts)) {
            return Ok(());
        }
        let Some(allowed) = allowed else {
            return Err("is not among what a dump may say".to_owned());
        };
        // The line of the inert command is not taken over.
        if allowed == Value::Line {
            return Ok(());
        }
        allowed.check(value)?;
        let all = || value.split_str(",").map(|name| name.trim_ascii().as_bstr());
        let unknown = |what: &str, name: &BStr| Err(format!("names {what} {name:?}"));
        match allowed {
            Value::Check | Value::Checks => match all().find(|name| !self.is_allowed_check(name)) {
                Some(name) => unknown(
                    "a command that is not allowed: --allow-check-command would:",
                    name,
                ),
                None => Ok(()),
            },
            Value::Use => match all().find(|name| !self.is_allowed_template(kind, name, names)) {
                Some(name) => unknown(
                    "a template that is not in the dump: --allow-template would allow it:",
                    name,
                ),
                None => Ok(()),
            },
            Value::Hosts => match all().find(|name| !names.hosts.contains(name)) {
                Some(name) => unknown("a host that is not in the dump:", name),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Whether a command's name is that of the inert one: the original's, or
    /// the one of this site, so that two dumps with templates fit together.
    fn is_own_command(&self, name: &[u8]) -> bool {
        let rest = name.strip_prefix(INERT.as_bytes());
        rest.is_some_and(|rest| {
            rest.is_empty() || rest.strip_prefix(b"-") == Some(self.site.as_str().as_bytes())
        })
    }

    fn is_allowed_check(&self, name: &[u8]) -> bool {
        let given = &self.args.configuration.allow_check_command;
        self.is_own_command(name) || given.iter().any(|allowed| allowed.as_bytes() == name)
    }

    fn is_allowed_template(&self, kind: Kind, name: &BStr, names: &Names<'_>) -> bool {
        let own = match kind {
            Kind::Host => names.host_templates.contains(name),
            Kind::Service => names.service_templates.contains(name),
            Kind::Contact => names.contact_templates.contains(name),
            _ => false,
        };
        let given = &self.args.configuration.allow_template;
        own || TEMPLATES.iter().any(|known| *known == name)
            || given.iter().any(|allowed| allowed.as_str() == name)
    }

    fn print(&self, definition: &Definition, is_inert: bool, out: &mut Vec<u8>) {
        definition.print(out, |key, value| {
            let kind = Kind::from_word(&definition.kind);
            match kind.and_then(|kind| kind.directive(key)) {
                Some(Value::Line) if is_inert => INERT_LINE.as_bytes().to_vec(),
                Some(Value::Text) if !self.trusted => rules::harmless(value),
                _ => value.to_vec(),
            }
        });
    }
}

/// What the objects of a dump may refer to.
struct Names<'a> {
    hosts: BTreeSet<&'a BStr>,
    host_templates: BTreeSet<&'a BStr>,
    service_templates: BTreeSet<&'a BStr>,
    contact_templates: BTreeSet<&'a BStr>,
}
