//! The commands by which people comment on objects, acknowledge problems and
//! schedule downtimes. They are for objects that are checked by what is handed
//! in here; of a shadow, its own site has the say.

use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};
use livestatus::Command;
use livestatus::query::Trigger;
use objects::{AcknowledgementType, Comment, Downtime, DowntimeKind, EntryType, UnixTime};

use crate::annotations::Annotated;
use crate::command::{name, the_site_of};
use crate::store::{Owner, Site};

/// Longest author and text of a comment, together.
const MAX_TEXT: usize = 64 * 1024;

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    AddComment,
    RemoveComment,
    RemoveAllComments,
    Acknowledge,
    RemoveAcknowledgement,
    AddDowntime,
    RemoveDowntime,
}

/// The commands, and whether they are about services.
const COMMANDS: [(&str, bool, Action); 14] = [
    ("ADD_HOST_COMMENT", false, Action::AddComment),
    ("ADD_SVC_COMMENT", true, Action::AddComment),
    ("DEL_HOST_COMMENT", false, Action::RemoveComment),
    ("DEL_SVC_COMMENT", true, Action::RemoveComment),
    ("DEL_ALL_HOST_COMMENTS", false, Action::RemoveAllComments),
    ("DEL_ALL_SVC_COMMENTS", true, Action::RemoveAllComments),
    ("ACKNOWLEDGE_HOST_PROBLEM", false, Action::Acknowledge),
    ("ACKNOWLEDGE_SVC_PROBLEM", true, Action::Acknowledge),
    (
        "REMOVE_HOST_ACKNOWLEDGEMENT",
        false,
        Action::RemoveAcknowledgement,
    ),
    (
        "REMOVE_SVC_ACKNOWLEDGEMENT",
        true,
        Action::RemoveAcknowledgement,
    ),
    ("SCHEDULE_HOST_DOWNTIME", false, Action::AddDowntime),
    ("SCHEDULE_SVC_DOWNTIME", true, Action::AddDowntime),
    ("DEL_HOST_DOWNTIME", false, Action::RemoveDowntime),
    ("DEL_SVC_DOWNTIME", true, Action::RemoveDowntime),
];

/// Carries the command out, if it is one of these. The error says why not.
pub(crate) fn execute(
    command: &Command,
    sites: &[Arc<Site>],
    now: UnixTime,
) -> Option<Result<(), String>> {
    let (_, of_service, action) = COMMANDS
        .into_iter()
        .find(|(name, ..)| command.name == *name)?;
    let result = match action {
        Action::RemoveComment | Action::RemoveDowntime => {
            remove_one(command, action, of_service, sites, now)
        }
        _ => change(command, action, of_service, sites, now),
    };
    Some(result.map_err(|reason| format!("{}: {reason}", command.name)))
}

/// The command names an object.
fn change(
    command: &Command,
    action: Action,
    of_service: bool,
    sites: &[Arc<Site>],
    now: UnixTime,
) -> Result<(), String> {
    let names = 1 + usize::from(of_service);
    let mut arguments = Arguments(command.split(names + action.arguments()));
    let host_name = arguments.text("host name")?.to_owned();
    let service_description = of_service
        .then(|| arguments.text("service description"))
        .transpose()?
        .map(BStr::to_owned);
    let owner = Owner {
        host_name,
        service_description,
    };
    let site = the_site_of(owner.host_name.as_bstr(), sites)?;
    let what = || show(&owner);
    let id = if action.arguments() > 0 {
        site.next_id()
    } else {
        0
    };
    let order = Order::parse(action, arguments, id, now)?;
    let mut outcome = Ok(());
    let found = site.with_object(&owner, &mut |object| {
        outcome = if object.is_own() {
            order.apply(object, now)
        } else {
            Err(format!(
                "it is a shadow, and is acknowledged, commented and put into downtime at its site {}",
                site.id
            ))
        };
    });
    if !found {
        return Err(format!("{} is not configured at site {}", what(), site.id));
    }
    outcome.map_err(|reason| format!("{}: {reason}", what()))?;
    if matches!(
        order,
        Order::Comment(_) | Order::Acknowledge(..) | Order::Downtime(_)
    ) {
        site.remember(id, owner);
    }
    let kind = if matches!(order, Order::Downtime(_)) {
        Trigger::Downtime
    } else {
        Trigger::Comment
    };
    site.annotations_changed(kind);
    Ok(())
}

/// The command names a comment or a downtime by its id.
fn remove_one(
    command: &Command,
    action: Action,
    of_service: bool,
    sites: &[Arc<Site>],
    now: UnixTime,
) -> Result<(), String> {
    let mut arguments = Arguments(command.split(1));
    let id = u64::try_from(arguments.number("id")?).map_err(|_| "the id is negative")?;
    let mut removed = false;
    let mut shadow_of = None;
    let owner = sites
        .iter()
        .find_map(|site| Some((site, site.owner(id)?)))
        .filter(|(_, owner)| owner.service_description.is_some() == of_service);
    if let Some((site, owner)) = owner {
        site.with_object(&owner, &mut |object| {
            let all = object.annotations();
            let origin = if action == Action::RemoveComment {
                let mut comments = all.comments.iter();
                comments
                    .find(|comment| comment.id == id)
                    .map(|comment| comment.origin)
            } else {
                let mut downtimes = all.downtimes.iter();
                downtimes
                    .find(|downtime| downtime.id == id)
                    .map(|downtime| downtime.origin)
            };
            shadow_of = origin.flatten().map(|_| site.id.clone());
            removed = origin.is_some() && shadow_of.is_none();
            if !removed {
                return;
            }
            if action == Action::RemoveComment {
                object.remove_comments(&|comment| comment.id == id, now);
            } else {
                object.remove_downtimes(&|downtime| downtime.id == id, now);
            }
        });
        site.annotations_changed(if action == Action::RemoveComment {
            Trigger::Comment
        } else {
            Trigger::Downtime
        });
    }
    if removed {
        Ok(())
    } else if let Some(site) = shadow_of {
        Err(format!(
            "the one with the id {id} is of the site {site}, and is removed there"
        ))
    } else {
        Err(format!("there is none with the id {id}"))
    }
}

impl Action {
    /// Arguments behind the name of the object; the last keeps its semicolons.
    fn arguments(self) -> usize {
        match self {
            // persistent, author, comment
            Self::AddComment => 3,
            // sticky, notify, persistent, author, comment
            Self::Acknowledge => 5,
            // start, end, fixed, trigger, duration, author, comment
            Self::AddDowntime => 7,
            Self::RemoveAllComments
            | Self::RemoveAcknowledgement
            | Self::RemoveComment
            | Self::RemoveDowntime => 0,
        }
    }
}

/// What is to be done to an object.
enum Order {
    Comment(Comment),
    RemoveAllComments,
    Acknowledge(AcknowledgementType, Comment),
    RemoveAcknowledgement,
    Downtime(Downtime),
}

impl Order {
    fn parse<'c>(
        action: Action,
        mut arguments: Arguments<impl Iterator<Item = &'c BStr>>,
        id: u64,
        now: UnixTime,
    ) -> Result<Self, String> {
        Ok(match action {
            Action::AddComment => Self::Comment(arguments.comment(id, EntryType::User, now)?),
            Action::Acknowledge => {
                let how = match arguments.number("sticky")? {
                    2 => AcknowledgementType::Sticky,
                    _ => AcknowledgementType::Normal,
                };
                arguments.number("notify")?;
                Self::Acknowledge(how, arguments.comment(id, EntryType::Acknowledgement, now)?)
            }
            Action::AddDowntime => Self::Downtime(arguments.downtime(id, now)?),
            Action::RemoveAcknowledgement => Self::RemoveAcknowledgement,
            Action::RemoveAllComments | Action::RemoveComment | Action::RemoveDowntime => {
                Self::RemoveAllComments
            }
        })
    }

    fn apply(&self, object: &mut dyn Annotated, now: UnixTime) -> Result<(), String> {
        const FULL: &str = "it has too many comments and downtimes";
        match self {
            Self::Comment(comment) => object
                .add_comment(comment.clone(), now)
                .then_some(())
                .ok_or(FULL.to_owned()),
            Self::Downtime(downtime) => object
                .add_downtime(downtime.clone(), now)
                .then_some(())
                .ok_or(FULL.to_owned()),
            Self::Acknowledge(how, comment) => object
                .acknowledge(*how, comment.clone(), now)
                .then_some(())
                .ok_or("it has no problem to be acknowledged".to_owned()),
            Self::RemoveAcknowledgement => {
                object.remove_acknowledgement(now);
                Ok(())
            }
            Self::RemoveAllComments => {
                object.remove_comments(&|comment| comment.origin.is_none(), now);
                Ok(())
            }
        }
    }
}

/// The arguments of a command, one after the other.
struct Arguments<I>(I);

impl<'c, I: Iterator<Item = &'c BStr>> Arguments<I> {
    fn text(&mut self, what: &str) -> Result<&'c BStr, String> {
        self.0
            .next()
            .filter(|text| !text.is_empty())
            .ok_or_else(|| format!("{what} is missing"))
    }

    fn number(&mut self, what: &str) -> Result<i64, String> {
        let text = self.text(what)?;
        let number = text.trim().to_str().ok().and_then(|text| text.parse().ok());
        number.ok_or_else(|| format!("{what} '{}' is not a number", name(text)))
    }

    fn author_and_comment(&mut self) -> Result<(BString, BString), String> {
        let author = self.text("author")?;
        let comment = self.0.next().unwrap_or_default();
        if author.len() + comment.len() > MAX_TEXT {
            return Err(format!("the comment is longer than {MAX_TEXT} bytes"));
        }
        Ok((author.to_owned(), comment.to_owned()))
    }

    fn comment(
        &mut self,
        id: u64,
        entry_type: EntryType,
        entry_time: UnixTime,
    ) -> Result<Comment, String> {
        let persistent = self.number("persistent")? != 0;
        let (author, comment) = self.author_and_comment()?;
        Ok(Comment {
            id,
            author,
            comment,
            entry_time,
            entry_type,
            persistent,
            expire_time: UnixTime::NEVER,
            origin: None,
        })
    }

    fn downtime(&mut self, id: u64, entry_time: UnixTime) -> Result<Downtime, String> {
        let start_time = UnixTime::from_secs(self.number("start time")?);
        let end_time = UnixTime::from_secs(self.number("end time")?);
        let fixed = self.number("fixed")? != 0;
        if self.number("trigger id")? != 0 {
            return Err("a downtime cannot be triggered by another one here".to_owned());
        }
        let duration = self.number("duration")?;
        let (author, comment) = self.author_and_comment()?;
        if end_time <= start_time || end_time <= entry_time {
            return Err("the downtime ends before it begins, or in the past".to_owned());
        }
        if !fixed && duration <= 0 {
            return Err("a flexible downtime needs a duration".to_owned());
        }
        Ok(Downtime {
            id,
            origin: None,
            author,
            comment,
            entry_time,
            start_time,
            end_time,
            duration,
            kind: if fixed {
                DowntimeKind::Fixed
            } else {
                DowntimeKind::Flexible { began: None }
            },
        })
    }
}

fn show(owner: &Owner) -> String {
    let host_name = name(owner.host_name.as_bstr());
    match &owner.service_description {
        None => format!("host '{host_name}'"),
        Some(description) => {
            format!(
                "service '{}' of host '{host_name}'",
                name(description.as_bstr())
            )
        }
    }
}
