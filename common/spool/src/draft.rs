//! Records on their way into the journal.

use std::borrow::Cow;
use std::sync::Arc;

use objects::NotificationId;

use crate::record::Record;
use crate::segment::room;

/// A record that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Its kind.
    pub kind: u8,
    /// Whether it is a copy of one in an older segment.
    pub copy: bool,
    /// The sequence number of the record that it repeats, if that one may count, too.
    pub again: Option<u64>,
    /// Its body, or the beginning of it.
    pub body: Vec<u8>,
    /// What comes behind that.
    pub rest: Rest,
}

/// What of a body is somewhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rest {
    /// Nothing.
    None,
    /// A notification that others have, too, until it is written.
    Shared(Arc<String>),
    /// Much, in parts: memory of that length in one piece would seldom be given back.
    Parts(Vec<Vec<u8>>),
}

/// The bytes of such a part, about.
const PART: usize = 64 << 10;

impl Draft {
    /// One of a whole record.
    pub fn of(record: &Record<'_>, copy: bool) -> Self {
        let mut body = Vec::with_capacity(record.likely_len());
        record.encode(&mut body);
        Self {
            kind: record.kind(),
            copy,
            again: None,
            body,
            rest: Rest::None,
        }
    }

    /// One of a body that is written by and by: `print` is called with where to print
    /// the next bit to until it prints none.
    pub fn in_parts(kind: u8, body: Vec<u8>, mut print: impl FnMut(&mut Vec<u8>)) -> Self {
        let mut parts = Vec::new();
        loop {
            let mut part = Vec::with_capacity(PART);
            loop {
                let before = part.len();
                print(&mut part);
                if part.len() == before || part.len() * 2 - before > PART {
                    break;
                }
            }
            if part.is_empty() {
                break;
            }
            parts.push(part);
        }
        Self {
            kind,
            copy: false,
            again: None,
            body,
            rest: Rest::Parts(parts),
        }
    }

    /// What comes behind `body`.
    pub(crate) fn rest(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let (shared, parts) = match &self.rest {
            Rest::None => (None, &[][..]),
            Rest::Shared(text) => (Some(text.as_bytes()), &[][..]),
            Rest::Parts(parts) => (None, &parts[..]),
        };
        shared.into_iter().chain(parts.iter().map(Vec::as_slice))
    }

    /// How long that is.
    pub(crate) fn rest_len(&self) -> usize {
        self.rest().map(<[u8]>::len).sum()
    }

    /// How much room its record takes.
    pub fn room(&self) -> usize {
        room(self.body.len() + self.rest_len() + self.again.map_or(0, |_| 8))
    }

    /// The whole body.
    pub fn whole(&self) -> Cow<'_, [u8]> {
        match &self.rest {
            Rest::None => Cow::Borrowed(&self.body),
            Rest::Shared(_) | Rest::Parts(_) => {
                let mut whole = self.body.clone();
                self.rest().for_each(|part| whole.extend_from_slice(part));
                Cow::Owned(whole)
            }
        }
    }

    /// The message that it is about, if its kind is about one.
    pub fn id(&self) -> Option<NotificationId> {
        self.body
            .first_chunk()
            .copied()
            .map(NotificationId::from_bytes)
    }
}
