//! Whether what a query waits for is there.

use std::ops::ControlFlow;

use bstr::{BStr, BString, ByteSlice};
use livestatus::filter::Compiler;
use livestatus::query::Trigger;
use livestatus::{Filter, Matcher, Query, Status};

use super::Refusal;
use super::plan::{Cell, Plan, Resolver, shown};
use crate::tables::{Selection, Table, View};

/// What a query waits for.
pub(crate) struct Wait {
    table: Table,
    /// The object in question, as its site and the configuration name it.
    object: Option<Object>,
    /// `None` if the first event will do.
    condition: Option<Matcher<Cell>>,
    /// The events after which it is worth another look.
    pub(crate) trigger: Trigger,
}

enum Object {
    Host(BString),
    /// Host and description; more than one way to read `HOST DESCRIPTION`.
    Services(Vec<(BString, BString)>),
}

impl Wait {
    /// What this query waits for, if for anything. A query that has faults is
    /// refused at once and not only when it has waited.
    pub(crate) fn of(query: &Query, view: &View<'_>) -> Result<Option<Self>, Refusal> {
        let asked = &query.wait;
        if asked.conditions.is_empty() && asked.trigger.is_none() {
            return Ok(None);
        }
        Plan::new(query, view, super::MAX_ANSWER)?;
        let Some(table) = Table::named(&query.table) else {
            return Ok(None);
        };
        let resolver = Resolver::new(table, query, view)?;
        let condition = resolver.apply("WaitCondition", |resolve| {
            Compiler::default().compile(&asked.conditions, resolve)
        })?;
        let hopeless = asked.conditions.contains(&Filter::Or(Vec::new()));
        if hopeless && asked.timeout.is_none() {
            return Err(invalid("waiting for WaitCondition would hang forever"));
        }
        let wait = Self {
            table,
            object: object(table, asked.object.as_ref())?,
            condition: (!asked.conditions.is_empty()).then_some(condition),
            trigger: asked.trigger.unwrap_or(Trigger::All),
        };
        if wait.object.is_none() && wait.condition.is_some() && table != Table::Status {
            return Err(invalid("missing WaitObject"));
        }
        if let (Some(name), None) = (&asked.object, wait.look(view)) {
            let name = shown(&name.to_str_lossy());
            let what = format!("object '{name}' not found or not supported by this table");
            return Err(Refusal::bad_header("WaitObject", &what));
        }
        Ok(Some(wait))
    }

    /// Whether the condition holds. Without one, only an event ends the waiting.
    pub(crate) fn is_met(&self, view: &View<'_>) -> bool {
        self.condition.is_some() && self.look(view) == Some(true)
    }

    /// Whether the first event ends the waiting.
    pub(crate) fn is_for_any_event(&self) -> bool {
        self.condition.is_none()
    }

    /// Whether the condition holds for the object, at any site that has it;
    /// `None` if there is no such object.
    fn look(&self, view: &View<'_>) -> Option<bool> {
        let mut found = None;
        let mut look = |selection: &Selection<'_>| {
            self.table.for_each(view, selection, |row| {
                let condition = self.condition.as_ref();
                let holds = condition
                    .is_none_or(|condition| condition.matches(&mut |cell: &Cell| cell.value(row)));
                found = Some(holds || found == Some(true));
                ControlFlow::Continue(())
            });
        };
        match &self.object {
            None => look(&Selection::default()),
            Some(Object::Host(name)) => look(&Selection::one(name.as_bstr(), None)),
            Some(Object::Services(names)) => {
                for (host, description) in names {
                    look(&Selection::one(host.as_bstr(), Some(description.as_bstr())));
                }
            }
        }
        found
    }
}

fn object(table: Table, name: Option<&BString>) -> Result<Option<Object>, Refusal> {
    Ok(match (table, name) {
        (_, None) => None,
        (Table::Hosts, Some(name)) => Some(Object::Host(name.clone())),
        (Table::Services, Some(name)) => {
            Some(Object::Services(host_and_description(name.as_ref())))
        }
        (_, Some(_)) => {
            let what = format!("table '{}' has no objects that can be named", table.name());
            return Err(Refusal::bad_header("WaitObject", &what));
        }
    })
}

/// `HOST;DESCRIPTION`, or `HOST DESCRIPTION`, where either may have blanks in it.
fn host_and_description(name: &BStr) -> Vec<(BString, BString)> {
    let at = |index: usize| {
        let description = name[index + 1..].trim_ascii_start();
        (name[..index].into(), description.into())
    };
    match name.find_byte(b';') {
        Some(index) => vec![at(index)],
        None => name.find_iter(" ").map(at).collect(),
    }
}

fn invalid(what: &str) -> Refusal {
    Refusal {
        status: Status::InvalidRequest,
        message: what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_named_in_two_ways() {
        for (name, want) in [
            ("db1;Disk /", &[("db1", "Disk /")][..]),
            ("db 1;Disk /", &[("db 1", "Disk /")]),
            ("db1 CPU", &[("db1", "CPU")]),
            ("db1 Disk /", &[("db1", "Disk /"), ("db1 Disk", "/")]),
            ("db1", &[]),
        ] {
            let want: Vec<(BString, BString)> = want
                .iter()
                .map(|(host, description)| ((*host).into(), (*description).into()))
                .collect();
            assert_eq!(host_and_description(name.into()), want, "{name}");
        }
    }
}
