//! Reading a spool's journal without its lock: while the daemon runs, and when
//! it is dead.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use objects::{NotificationId, UnixTime};

use crate::directory::JOURNAL;
use crate::index::{Index, Whereabouts};
use crate::journal::{Options, Place, Recovery};
use crate::queue::Trace;
use crate::record::{Event, Record};
use crate::replay::replay;
use crate::segment::{COPY, Frame};
use crate::{DirectoryStorage, Error, Message};

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

/// The messages of `spool` that have not ended, in the order of acceptance, and
/// what a recovery would say.
pub fn open_messages(spool: &Path) -> Result<(Vec<Message>, Recovery), Error> {
    let new = || Index::new(&Options::default());
    let (index, mut recovery) = read(spool, new, |index, place, frame| {
        let record = Record::read(frame.kind, frame.body);
        index.apply(&record, frame.flags & COPY != 0, Whereabouts::Stored(place));
    })?;
    recovery.open = index.len();
    let orders = index.entries().map(|(order, _)| order);
    Ok((
        orders.filter_map(|order| index.message(order)).collect(),
        recovery,
    ))
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
        match replay(&storage, &mut |place, frame| {
            visit(&mut state, place, frame);
        }) {
            Ok(replay) => return Ok((state, replay.recovery)),
            Err(Error::Io { source, .. })
                if source.kind() == io::ErrorKind::NotFound && tries < TRIES => {}
            Err(error) => return Err(error),
        }
    }
}
