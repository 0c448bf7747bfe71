//! Reading a spool's journal without its lock: while the daemon runs, and when
//! it is dead.

use std::path::Path;

use objects::{NotificationId, UnixTime};

use crate::journal::Recovery;
use crate::record::Event;
use crate::{Error, Message};

/// All that the journal of `spool` still has about an id, oldest first.
pub fn of(spool: &Path, id: NotificationId) -> Result<Vec<(UnixTime, Event<'static>)>, Error> {
    let _ = (spool, id);
    todo!()
}

/// The messages of `spool` that have not ended, in the order of acceptance, and
/// what a recovery would say.
pub fn open_messages(spool: &Path) -> Result<(Vec<Message>, Recovery), Error> {
    let _ = spool;
    todo!()
}
