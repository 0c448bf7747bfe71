//! Reading a spool's journal without its lock: while the daemon runs, and when
//! it is dead.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use objects::{NotificationId, UnixTime};

use crate::directory::JOURNAL;
use crate::index::Index;
use crate::journal::{Options, Place, Recovery};
use crate::record::{Event, Record};
use crate::replay::replay;
use crate::segment::Frame;
use crate::trace::Trace;
use crate::{DirectoryStorage, Error, Message, Totals};

/// All that the journal of `spool` still has about an id, oldest first.
pub fn of(spool: &Path, id: NotificationId) -> Result<Vec<(UnixTime, Event<'static>)>, Error> {
    let (trace, _) = read(spool, || Trace::new(id), |trace, _, frame| trace.add(frame))?;
    Ok(trace.into_events())
}

/// What [`of`] tells, of many ids with one reading.
pub fn of_each(
    spool: &Path,
    ids: &[NotificationId],
) -> Result<HashMap<NotificationId, Vec<(UnixTime, Event<'static>)>>, Error> {
    let new = || -> HashMap<NotificationId, Trace> {
        ids.iter().map(|id| (*id, Trace::new(*id))).collect()
    };
    let (traces, _) = read(spool, new, |traces, _, frame| {
        let id = frame.body.first_chunk().copied();
        let id = id.map(NotificationId::from_bytes);
        if let Some(trace) = id.and_then(|id| traces.get_mut(&id)) {
            trace.add(frame);
        }
    })?;
    let events = traces.into_iter();
    Ok(events
        .map(|(id, trace)| (id, trace.into_events()))
        .collect())
}

/// Hands all valid records of a journal to `visit`, oldest first, together with
/// what is made of them. It is made anew if the journal changes so much in the
/// meantime that it has to be read again.
pub fn fold<T>(
    spool: &Path,
    new: impl Fn() -> T,
    visit: impl Fn(&mut T, &Record<'_>),
) -> Result<T, Error> {
    let (made, _) = read(spool, new, |made, _, frame| {
        visit(made, &Record::read(frame.kind, frame.body));
    })?;
    Ok(made)
}

/// What a journal held when it was read.
#[derive(Debug)]
pub struct Snapshot {
    /// The messages that had not ended, in the order of acceptance.
    pub open: Vec<Message>,
    /// What was accepted over the life of the spool, and how it ended.
    pub totals: Totals,
    /// What a recovery would say.
    pub recovery: Recovery,
}

/// What is open in `spool`, and what has ended.
pub fn snapshot(spool: &Path) -> Result<Snapshot, Error> {
    let new = || Index::new(&Options::default());
    let (mut index, mut recovery) = read(spool, new, |index, place, frame| {
        let record = Record::read(frame.kind, frame.body);
        index.apply(&record, frame.flags, place.into());
    })?;
    index.finish_replay();
    recovery.open = index.len();
    let orders = index.entries().map(|(order, _)| order);
    Ok(Snapshot {
        open: orders.filter_map(|order| index.message(order)).collect(),
        totals: *index.totals(),
        recovery,
    })
}

/// How often to start over because a segment went away while it was read.
const TRIES: usize = 5;

fn read<T>(
    spool: &Path,
    new: impl Fn() -> T,
    visit: impl Fn(&mut T, Place, &Frame<'_>),
) -> Result<(T, Recovery), Error> {
    let path = spool.join(JOURNAL);
    let mut tries = 0;
    loop {
        tries += 1;
        let storage = DirectoryStorage::open_read_only(&path).map_err(Error::io("open", &path))?;
        let mut state = new();
        match replay(&storage, &mut |place, frame, _| {
            visit(&mut state, place, frame);
        }) {
            Ok(replay) => return Ok((state, replay.recovery)),
            Err(Error::Io { source, .. })
                if source.kind() == io::ErrorKind::NotFound && tries < TRIES => {}
            Err(error) => return Err(error),
        }
    }
}
