//! Groups and contacts that hosts and services name. They are not in a dump
//! unless asked for: the central core may have them.

use std::collections::BTreeMap;

use bstr::{BString, ByteSlice, ByteVec};
use livestatus::json::Cell;
use program::Failure;
use source::{Columns, Scope, Source};

use crate::names::Names;

/// A kind of object that is referred to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Contactgroup,
    Contact,
    Hostgroup,
    Servicegroup,
}

impl Kind {
    const ALL: [Self; 4] = [
        Self::Contactgroup,
        Self::Contact,
        Self::Hostgroup,
        Self::Servicegroup,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Contactgroup => "contactgroup",
            Self::Contact => "contact",
            Self::Hostgroup => "hostgroup",
            Self::Servicegroup => "servicegroup",
        }
    }

    fn table(self) -> &'static str {
        match self {
            Self::Contactgroup => "contactgroups",
            Self::Contact => "contacts",
            Self::Hostgroup => "hostgroups",
            Self::Servicegroup => "servicegroups",
        }
    }

    fn name_key(self) -> &'static [u8] {
        match self {
            Self::Contactgroup => b"contactgroup_name",
            Self::Contact => b"contact_name",
            Self::Hostgroup => b"hostgroup_name",
            Self::Servicegroup => b"servicegroup_name",
        }
    }
}

/// What was referred to, with the alias that it is to have.
#[derive(Debug)]
pub(crate) struct Referred {
    prefix: String,
    named: BTreeMap<(Kind, BString), BString>,
}

impl Referred {
    pub(crate) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            named: BTreeMap::new(),
        }
    }

    /// The names in a cell as the central core is to know them, with commas
    /// between, in their order.
    pub(crate) fn list(&mut self, kind: Kind, names: &Names, cell: Cell<'_>) -> BString {
        let mut list: Vec<BString> = cell
            .elements()
            .map(|element| self.name(names, &element.text()))
            .filter(|name| !name.is_empty())
            .collect();
        list.sort_unstable();
        list.dedup();
        let joined = bstr::join(",", &list).into();
        for name in list {
            self.named.entry((kind, name)).or_default();
        }
        joined
    }

    fn name(&self, names: &Names, original: &[u8]) -> BString {
        let mut name = BString::default();
        names.other(original, &mut name);
        if !name.is_empty() {
            name.insert_str(0, &self.prefix);
        }
        name
    }

    /// Asks for the aliases of what is referred to.
    pub(crate) fn ask_aliases(
        &mut self,
        source: &Source,
        scope: &Scope,
        names: &Names,
    ) -> Result<(), Failure> {
        for kind in Kind::ALL {
            if !self.named.keys().any(|(named, _)| *named == kind) {
                continue;
            }
            let mut columns = Columns::choose(source, kind.table(), &["name", "alias"])?;
            source::each_row_if_any(source, scope, &mut columns, |columns, row| {
                let name = self.name(names, &columns.cell(row, 0).text());
                if let Some(alias) = self.named.get_mut(&(kind, name)) {
                    *alias = columns.cell(row, 1).text().into_owned();
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Their definitions. Contacts get no notifications: those are the site's. A
    /// core wants to know how they would be sent all the same; `command` does
    /// nothing.
    pub(crate) fn print(&self, command: &str, out: &mut Vec<u8>) {
        let command = command.as_bytes();
        for ((kind, name), alias) in &self.named {
            let directives = [(kind.name_key(), name), (b"alias", alias)];
            let directives = directives.map(|(key, value)| (key, value.as_bytes()));
            let silent: &[_] = match kind {
                Kind::Contact => &[
                    (&b"host_notifications_enabled"[..], &b"0"[..]),
                    (b"service_notifications_enabled", b"0"),
                    (b"host_notification_commands", command),
                    (b"service_notification_commands", command),
                ],
                _ => &[],
            };
            let all = directives.into_iter().chain(silent.iter().copied());
            nagios::object::print(kind.word(), all, out);
        }
    }
}
