//! What people have said about hosts and services: comments, of which
//! acknowledgements have one each, and downtimes. Each table is asked once.

use livestatus::json::Row;
use objects::{Comment, Downtime, DowntimeKind, EntryType, ObjectName, UnixTime};
use program::Failure;

use crate::cells::{count, is_true, text, time};
use crate::pieces::each_row_if_any;
use crate::{Columns, Scope, Source};

/// In the order in which [`read_comment`] expects them.
const COMMENTS: [&str; 11] = [
    "host_name",
    "service_description",
    "is_service",
    "id",
    "author",
    "comment",
    "entry_time",
    "entry_type",
    "persistent",
    "expires",
    "expire_time",
];

/// In the order in which [`read_downtime`] expects them.
const DOWNTIMES: [&str; 12] = [
    "host_name",
    "service_description",
    "is_service",
    "id",
    "author",
    "comment",
    "entry_time",
    "start_time",
    "end_time",
    "fixed",
    "duration",
    "is_pending",
];

/// Gives all comments to `visit`.
pub fn each_comment(
    source: &Source,
    scope: &Scope,
    mut visit: impl FnMut(&ObjectName, &Comment) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut columns = Columns::choose(source, "comments", &COMMENTS)?;
    each_row_if_any(source, scope, &mut columns, |columns, row| {
        let (object, comment) = read_comment(columns, row);
        visit(&object, &comment)
    })
}

/// Gives all downtimes to `visit`.
pub fn each_downtime(
    source: &Source,
    scope: &Scope,
    mut visit: impl FnMut(&ObjectName, &Downtime) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut columns = Columns::choose(source, "downtimes", &DOWNTIMES)?;
    each_row_if_any(source, scope, &mut columns, |columns, row| {
        let (object, downtime) = read_downtime(columns, row);
        visit(&object, &downtime)
    })
}

fn read_comment(columns: &Columns, row: &Row) -> (ObjectName, Comment) {
    let mut cell = columns.cells(row);
    let object = object(&mut cell);
    let id = count(cell());
    let (author, comment, entry_time) = (text(cell()), text(cell()), time(cell()));
    let entry_type = cell().int().and_then(EntryType::from_code);
    let persistent = is_true(cell());
    let expires = is_true(cell());
    let expire_time = time(cell());
    let comment = Comment {
        id,
        author,
        comment,
        entry_time,
        entry_type: entry_type.unwrap_or(EntryType::User),
        persistent,
        expire_time: if expires {
            expire_time
        } else {
            UnixTime::NEVER
        },
    };
    (object, comment)
}

fn read_downtime(columns: &Columns, row: &Row) -> (ObjectName, Downtime) {
    let mut cell = columns.cells(row);
    let object = object(&mut cell);
    let id = count(cell());
    let (author, comment, entry_time) = (text(cell()), text(cell()), time(cell()));
    let (start_time, end_time) = (time(cell()), time(cell()));
    let fixed = is_true(cell());
    let duration = cell().int().unwrap_or(0).max(0);
    let kind = if fixed {
        DowntimeKind::Fixed
    } else {
        // When it began no server tells, some not even whether.
        let has_begun = cell().int() == Some(0);
        DowntimeKind::Flexible {
            began: has_begun.then_some(start_time.max(entry_time)),
        }
    };
    let downtime = Downtime {
        id,
        author,
        comment,
        entry_time,
        start_time,
        end_time,
        duration,
        kind,
    };
    (object, downtime)
}

fn object<'r>(cell: &mut impl FnMut() -> livestatus::json::Cell<'r>) -> ObjectName {
    let (host_name, service) = (text(cell()), text(cell()));
    let is_service = is_true(cell());
    ObjectName {
        host_name,
        service_description: is_service.then_some(service),
    }
}
