//! Where a lane delivers to: one key of each lane says it.

use program::config::Table;

use super::checkmk::CheckmkLane;
use super::command::CommandLane;
use super::mail::{self, MailLane, Transport};
use super::script::ScriptLane;
use super::syslog::SyslogLane;
use super::webhook::WebhookLane;

/// Where a lane delivers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    /// A plugin that is run once per notification.
    Script(ScriptLane),
    /// Any program.
    Command(Box<CommandLane>),
    /// One mail per notification.
    Mail(Box<MailLane>),
    /// One HTTP request per notification.
    Webhook(Box<WebhookLane>),
    /// One line per notification.
    Syslog(Box<SyslogLane>),
    /// Another who decides.
    Checkmk(CheckmkLane),
}

/// The keys of which a lane has exactly one.
const KINDS: [&str; 8] = [
    "script", "command", "maildir", "smtp", "sendmail", "webhook", "syslog", "checkmk",
];

impl Destination {
    pub(super) fn parse(table: &mut Table, site: &str, problems: &mut Vec<String>) -> Option<Self> {
        let mut kinds = KINDS.into_iter().filter(|key| table.has(key));
        let (Some(kind), None) = (kinds.next(), kinds.next()) else {
            let names = KINDS.map(|key| format!("`{key}`")).join(", ");
            problems.push(table.problem(&format!("[[lane]] needs one of {names}")));
            return None;
        };
        match kind {
            "script" => ScriptLane::parse(table, problems).map(Self::Script),
            "command" => CommandLane::parse(table, problems)
                .map(Box::new)
                .map(Self::Command),
            "webhook" => WebhookLane::parse(table, problems)
                .map(Box::new)
                .map(Self::Webhook),
            "syslog" => SyslogLane::parse(table, problems)
                .map(Box::new)
                .map(Self::Syslog),
            "checkmk" => CheckmkLane::parse(table, problems).map(Self::Checkmk),
            _ => mail::parse(table, kind, site, problems)
                .map(Box::new)
                .map(Self::Mail),
        }
    }

    /// Whether every delivery is a process of its own.
    pub(crate) fn runs_processes(&self) -> bool {
        match self {
            Self::Script(_) | Self::Command(_) | Self::Checkmk(CheckmkLane::Command { .. }) => true,
            Self::Mail(mail) => matches!(mail.transport, Transport::Sendmail { .. }),
            Self::Webhook(_) | Self::Syslog(_) | Self::Checkmk(CheckmkLane::Spool(_)) => false,
        }
    }

    /// What is wrong with the files that it needs, and with its templates; files
    /// that are made at the first delivery need not be there.
    pub(in crate::config) fn check_files(&self, lane: &str) -> Option<String> {
        match self {
            Self::Script(script) => script.check_files(),
            Self::Command(command) => command.check_files(lane),
            Self::Mail(mail) => mail.check_files(),
            Self::Webhook(webhook) => webhook.check_files(lane),
            Self::Syslog(syslog) => syslog.check_files(lane),
            Self::Checkmk(checkmk) => checkmk.check_files(),
        }
    }
}
