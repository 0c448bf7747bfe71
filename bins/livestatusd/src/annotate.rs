//! The commands by which people comment on objects, acknowledge problems and
//! schedule downtimes. They are for objects that are checked by what is handed
//! in here; of a shadow, its own site has the say.

use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};
use livestatus::Command;
use livestatus::query::Trigger;
use objects::{AcknowledgementType, UnixTime};

use crate::annotations::{Annotated, Comment, Downtime, DowntimeKind, EntryType, Origin};
use crate::command::{name, the_site_of};
use crate::history::{Step, utc};
use crate::owners::Owner;
use crate::store::Site;

/// Longest author and text of a comment, together.
const MAX_TEXT: usize = 64 * 1024;

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    AddComment,
    RemoveComment,
    RemoveAllComments,
    Acknowledge,
    AcknowledgeUntil,
    RemoveAcknowledgement,
    AddDowntime,
    RemoveDowntime,
}

/// The commands, and whether they are about services.
const COMMANDS: [(&str, bool, Action); 16] = [
    ("ADD_HOST_COMMENT", false, Action::AddComment),
    ("ADD_SVC_COMMENT", true, Action::AddComment),
    ("DEL_HOST_COMMENT", false, Action::RemoveComment),
    ("DEL_SVC_COMMENT", true, Action::RemoveComment),
    ("DEL_ALL_HOST_COMMENTS", false, Action::RemoveAllComments),
    ("DEL_ALL_SVC_COMMENTS", true, Action::RemoveAllComments),
    ("ACKNOWLEDGE_HOST_PROBLEM", false, Action::Acknowledge),
    ("ACKNOWLEDGE_SVC_PROBLEM", true, Action::Acknowledge),
    (
        "ACKNOWLEDGE_HOST_PROBLEM_EXPIRE",
        false,
        Action::AcknowledgeUntil,
    ),
    (
        "ACKNOWLEDGE_SVC_PROBLEM_EXPIRE",
        true,
        Action::AcknowledgeUntil,
    ),
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
    let mut order = Order::parse(action, arguments, id, now)?;
    let mut waits_for = 0;
    if let Order::Downtime(downtime, comment) = &mut order {
        comment.id = site.next_id();
        downtime.comment_id = comment.id;
        waits_for = begin_with(downtime, site, now)?;
        comment.comment = announcement(downtime).into();
    }
    let mut outcome = Ok(());
    let found = site.annotate(&owner, now, Step::Stopped, &mut |object| {
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
    let owners = site.owners();
    let mut kind = Trigger::Comment;
    match order {
        Order::Comment(_) | Order::Acknowledge(..) => owners.remember(id, owner),
        Order::Downtime(_, comment) => {
            kind = Trigger::Downtime;
            owners.wait_for(waits_for, owner.clone());
            owners.remember(comment.id, owner.clone());
            owners.remember(id, owner);
        }
        Order::RemoveAllComments | Order::RemoveAcknowledgement => {}
    }
    site.annotations_changed(kind);
    site.note_command(command, now);
    Ok(())
}

/// Looks for the downtime that is to trigger this one. Returns its id if it is
/// yet to begin.
fn begin_with(downtime: &mut Downtime, site: &Site, now: UnixTime) -> Result<u64, String> {
    let DowntimeKind::Triggered { by, began, .. } = &mut downtime.kind else {
        return Ok(0);
    };
    let id = *by;
    let mut trigger = None;
    if let Some(owner) = site.owners().of(id) {
        site.with_object(&owner, &mut |object| {
            let mut all = object.annotations().downtimes.iter();
            trigger = all
                .find(|other| other.id == id && !other.is_over(now))
                .map(|other| other.is_in_effect(now));
        });
    }
    match trigger {
        Some(true) => {
            *began = Some(now);
            Ok(0)
        }
        Some(false) => Ok(id),
        None => Err(format!(
            "there is no downtime with the id {id} that could trigger it"
        )),
    }
}

/// What the comment says that comes with a downtime.
fn announcement(downtime: &Downtime) -> String {
    let (start, end) = (utc(downtime.start_time), utc(downtime.end_time));
    match downtime.kind {
        DowntimeKind::Fixed => format!("Fixed downtime from {start} to {end}"),
        DowntimeKind::Flexible { .. } => format!(
            "Flexible downtime of {} s, from a problem between {start} and {end}",
            downtime.duration
        ),
        DowntimeKind::Triggered {
            by, fixed: true, ..
        } => {
            format!("Downtime from the beginning of downtime {by} to {end}")
        }
        DowntimeKind::Triggered { by, .. } => format!(
            "Downtime of {} s, from the beginning of downtime {by}",
            downtime.duration
        ),
    }
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
    let owner = sites
        .iter()
        .find_map(|site| Some((site, site.owners().of(id)?)))
        .filter(|(_, owner)| owner.service_description.is_some() == of_service);
    if let Some((site, owner)) = owner {
        site.annotate(&owner, now, Step::Cancelled, &mut |object| {
            let all = object.annotations();
            if action == Action::RemoveComment {
                let is = |comment: &Comment| comment.id == id && comment.origin == Origin::Here;
                removed = all.comments.iter().any(is);
                object.remove_comments(&is, now);
            } else {
                let is = |downtime: &Downtime| downtime.id == id && downtime.origin == Origin::Here;
                removed = all.downtimes.iter().any(is);
                object.remove_downtimes(&is, now);
            }
        });
        if removed {
            site.cancel_waiting(id, now);
            site.note_command(command, now);
        }
        site.annotations_changed(if action == Action::RemoveComment {
            Trigger::Comment
        } else {
            Trigger::Downtime
        });
    }
    if removed {
        Ok(())
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
            // sticky, notify, persistent, until, author, comment
            Self::AcknowledgeUntil => 6,
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
    Downtime(Downtime, Comment),
}

impl Order {
    fn parse<'c>(
        action: Action,
        mut arguments: Arguments<impl Iterator<Item = &'c BStr>>,
        id: u64,
        now: UnixTime,
    ) -> Result<Self, String> {
        Ok(match action {
            Action::AddComment => {
                let persistent = arguments.number("persistent")? != 0;
                let text = arguments.author_and_comment()?;
                Self::Comment(comment(id, EntryType::User, persistent, text, now))
            }
            Action::Acknowledge | Action::AcknowledgeUntil => {
                let how = match arguments.number("sticky")? {
                    2 => AcknowledgementType::Sticky,
                    _ => AcknowledgementType::Normal,
                };
                arguments.number("notify")?;
                let persistent = arguments.number("persistent")? != 0;
                let mut until = UnixTime::NEVER;
                if action == Action::AcknowledgeUntil {
                    until = UnixTime::from_secs(arguments.number("expire time")?);
                    if until <= now {
                        return Err("the acknowledgement expires in the past".to_owned());
                    }
                }
                let text = arguments.author_and_comment()?;
                let mut comment = comment(id, EntryType::Acknowledgement, persistent, text, now);
                comment.expire_time = until;
                Self::Acknowledge(how, comment)
            }
            Action::AddDowntime => {
                let text = ("(livestatusd)".into(), BString::default());
                let comment = comment(0, EntryType::Downtime, false, text, now);
                Self::Downtime(arguments.downtime(id, now)?, comment)
            }
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
            Self::Downtime(downtime, comment) => {
                let there_is_room = object.add_downtime(downtime.clone(), now);
                there_is_room.then_some(()).ok_or(FULL.to_owned())?;
                // Too many comments keep nobody from scheduling a downtime.
                object.add_comment(comment.clone(), now);
                Ok(())
            }
            Self::Acknowledge(how, comment) => object
                .acknowledge(*how, comment.clone(), now)
                .then_some(())
                .ok_or("it has no problem to be acknowledged".to_owned()),
            Self::RemoveAcknowledgement => {
                object.remove_acknowledgement(now);
                Ok(())
            }
            Self::RemoveAllComments => {
                object.remove_comments(&|comment| comment.origin == Origin::Here, now);
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

    fn downtime(&mut self, id: u64, entry_time: UnixTime) -> Result<Downtime, String> {
        let start_time = UnixTime::from_secs(self.number("start time")?);
        let end_time = UnixTime::from_secs(self.number("end time")?);
        let fixed = self.number("fixed")? != 0;
        let by =
            u64::try_from(self.number("trigger id")?).map_err(|_| "the trigger id is negative")?;
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
            author,
            comment,
            entry_time,
            start_time,
            end_time,
            duration,
            kind: match (by, fixed) {
                (0, true) => DowntimeKind::Fixed,
                (0, false) => DowntimeKind::Flexible { began: None },
                (by, fixed) => DowntimeKind::Triggered {
                    by,
                    fixed,
                    began: None,
                },
            },
            comment_id: 0,
            has_begun: false,
            origin: Origin::Here,
        })
    }
}

fn comment(
    id: u64,
    entry_type: EntryType,
    persistent: bool,
    (author, comment): (BString, BString),
    entry_time: UnixTime,
) -> Comment {
    Comment {
        id,
        author,
        comment,
        entry_time,
        entry_type,
        persistent,
        expire_time: UnixTime::NEVER,
        origin: Origin::Here,
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
