//! Where a lane delivers to: one key of each lane says it.

use program::config::Table;

use super::mail::{self, MailLane};
use super::script::ScriptLane;

/// Where a lane delivers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    /// A plugin that is run once per notification.
    Script(ScriptLane),
    /// One mail per notification.
    Mail(Box<MailLane>),
}

/// The keys of which a lane has exactly one.
const KINDS: [&str; 3] = ["script", "maildir", "smtp"];

impl Destination {
    pub(super) fn parse(table: &mut Table, site: &str, problems: &mut Vec<String>) -> Option<Self> {
        let mut kinds = KINDS.into_iter().filter(|key| table.has(key));
        match (kinds.next(), kinds.next()) {
            (Some("script"), None) => ScriptLane::parse(table, problems).map(Self::Script),
            (Some(key), None) => {
                let lane = mail::parse(table, key, site, problems)?;
                Some(Self::Mail(Box::new(lane)))
            }
            _ => {
                let what = "[[lane]] needs one of `script`, `maildir` and `smtp`";
                problems.push(table.problem(what));
                None
            }
        }
    }

    /// Whether every delivery is a process of its own.
    pub(crate) fn runs_processes(&self) -> bool {
        match self {
            Self::Script(_) => true,
            Self::Mail(_) => false,
        }
    }

    /// What is wrong with the files that it needs; files that are made at the
    /// first delivery need not be there.
    pub(in crate::config) fn check_files(&self) -> Option<String> {
        match self {
            Self::Script(script) => script.check_files(),
            Self::Mail(mail) => mail.check_files(),
        }
    }
}
