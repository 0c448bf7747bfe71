//! The bodies of records as bytes. See [`super`] for the table of them.

use std::borrow::Cow;

use objects::{NotificationId, SiteId, UnixTime};

use crate::Label;

use super::{
    CHECKPOINT, End, Event, FIRST_GLOBAL_KIND, Job, MAX_DETAILS, MAX_LANE, MAX_TARGETS, MAX_TEXT,
    Note, Record, Standing, TOTALS, Target, Totals, Verdict,
};

/// What most bodies have beside a notification.
const AROUND: usize = 96;

/// How the body of a [`Record::Checkpoint`] begins; so many ids follow.
pub(crate) fn checkpoint_head(peer: Option<&SiteId>, ids: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(AROUND);
    put_short(&mut out, peer.map_or("", SiteId::as_str).as_bytes());
    out.extend_from_slice(&(ids as u32).to_le_bytes());
    out
}

impl<'a> Record<'a> {
    /// Appends the body to `out`. Texts that are too long are cut.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Message { id, time, event } => {
                out.extend_from_slice(id.as_bytes());
                out.extend_from_slice(&time.micros().to_le_bytes());
                encode_event(event, out);
            }
            Self::Checkpoint { peer, ids } => {
                out.extend_from_slice(&checkpoint_head(peer.as_ref(), ids.len()));
                for id in ids {
                    out.extend_from_slice(id.as_bytes());
                }
            }
            Self::Totals {
                next_order,
                totals,
                partial,
            } => {
                out.extend_from_slice(&next_order.to_le_bytes());
                put_totals(out, totals);
                out.push((*partial).into());
            }
            Self::Unknown { .. } => {}
        }
    }

    /// How long the body is, or a little less.
    pub(crate) fn likely_len(&self) -> usize {
        match self {
            Self::Message {
                event: Event::Accepted { body, .. },
                ..
            } => body.len() + AROUND,
            Self::Checkpoint { ids, .. } => ids.len() * 16 + AROUND,
            _ => AROUND,
        }
    }

    /// Decodes the body of a valid record. What this release cannot read is
    /// of a later one.
    pub fn read(kind: u8, body: &'a [u8]) -> Self {
        let unknown = || {
            let id = body.first_chunk().filter(|_| kind < FIRST_GLOBAL_KIND)?;
            Some(Self::Message {
                id: NotificationId::from_bytes(*id),
                time: UnixTime::NEVER,
                event: Event::Unknown { kind },
            })
        };
        let known = Self::decode(kind, body).or_else(unknown);
        known.unwrap_or(Self::Unknown { kind })
    }

    /// Decodes a body. `None` if it is not what its kind says.
    pub fn decode(kind: u8, body: &'a [u8]) -> Option<Self> {
        let mut input = Input(body);
        if kind < FIRST_GLOBAL_KIND {
            let id = NotificationId::from_bytes(input.array()?);
            let time = UnixTime::from_micros(i64::from_le_bytes(input.array()?));
            let event = decode_event(kind, input)?;
            return Some(Self::Message { id, time, event });
        }
        match kind {
            CHECKPOINT => input.checkpoint(),
            TOTALS => Some(Self::Totals {
                next_order: input.u64()?,
                totals: input.totals()?,
                partial: input.u8()? == 1,
            }),
            kind => Some(Self::Unknown { kind }),
        }
    }
}

fn encode_event(event: &Event<'_>, out: &mut Vec<u8>) {
    match event {
        Event::Accepted {
            order,
            from,
            standing,
            label,
            body,
        } => {
            out.extend_from_slice(&order.to_le_bytes());
            put_short(out, from.as_ref().map_or("", SiteId::as_str).as_bytes());
            let mut before = Vec::new();
            if !standing.is_empty() || label.is_some() {
                put_standing(&mut before, standing);
            }
            match label {
                Some(label) => put_label(&mut before, *label),
                None if standing.notes.is_empty() => {}
                None => before.push(0),
            }
            put_notes(&mut before, &standing.notes);
            out.extend_from_slice(&(before.len() as u32).to_le_bytes());
            out.extend_from_slice(&before);
            out.extend_from_slice(body);
        }
        Event::Assigned { targets } => {
            let targets = &targets[..targets.len().min(MAX_TARGETS)];
            out.extend_from_slice(&(targets.len() as u16).to_le_bytes());
            for target in targets {
                put_whole_target(out, target);
            }
        }
        Event::Attempt { target, number } => {
            put_target(out, target);
            out.extend_from_slice(&number.to_le_bytes());
        }
        Event::Result {
            target,
            number,
            verdict,
            text,
        } => {
            put_target(out, target);
            out.extend_from_slice(&number.to_le_bytes());
            out.push(*verdict as u8);
            put_text(out, text);
        }
        Event::Settled {
            target,
            end,
            detail,
        } => {
            put_target(out, target);
            out.push(*end as u8);
            put_text(out, detail);
        }
        Event::Ended { end, detail, order } => {
            out.push(*end as u8);
            put_text(out, detail);
            out.extend_from_slice(&order.to_le_bytes());
        }
        Event::Held { detail } | Event::Released { detail } | Event::RetryAsked { detail } => {
            put_text(out, detail);
        }
        Event::Noted { target, detail } => {
            put_target(out, target);
            put_text(out, detail);
        }
        Event::Standing(_) | Event::Unknown { .. } => {}
    }
}

fn decode_event<'a>(kind: u8, mut input: Input<'a>) -> Option<Event<'a>> {
    Some(match kind {
        1 => {
            let order = u64::from_le_bytes(input.array()?);
            let from = input.site()?;
            let len = input.u32()?;
            let mut before = Input(input.take(len as usize)?);
            let (mut standing, label) = match len {
                0 => (Standing::default(), None),
                _ => (before.standing()?, before.label()),
            };
            standing.notes = before.notes();
            Event::Accepted {
                order,
                from,
                standing,
                label,
                body: Cow::Borrowed(input.0),
            }
        }
        2 => Event::Assigned {
            targets: input.targets(|input| input.target())?,
        },
        3 => Event::Attempt {
            target: input.target()?,
            number: input.u32()?,
        },
        4 => Event::Result {
            target: input.target()?,
            number: input.u32()?,
            verdict: Verdict::from_code(input.u8()?)?,
            text: Cow::Borrowed(input.text()?),
        },
        5 => Event::Settled {
            target: input.target()?,
            end: End::from_code(input.u8()?)?,
            detail: Cow::Borrowed(input.text()?),
        },
        6 => Event::Ended {
            end: End::from_code(input.u8()?)?,
            detail: Cow::Borrowed(input.text()?),
            // The first release had none.
            order: input.u64().unwrap_or(0),
        },
        7 => Event::Held {
            detail: Cow::Borrowed(input.text()?),
        },
        8 => Event::Released {
            detail: Cow::Borrowed(input.text()?),
        },
        9 => Event::RetryAsked {
            detail: Cow::Borrowed(input.text()?),
        },
        10 => Event::Noted {
            target: input.target()?,
            detail: Cow::Borrowed(input.text()?),
        },
        kind => Event::Unknown { kind },
    })
}

/// At most `limit` bytes of `text`, whole characters.
fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

fn put_short(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(bytes.len() as u8);
    out.extend_from_slice(bytes);
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    let text = &text[..text.len().min(MAX_TEXT)];
    out.extend_from_slice(&(text.len() as u16).to_le_bytes());
    out.extend_from_slice(text);
}

fn put_standing(out: &mut Vec<u8>, standing: &Standing) {
    let targets = &standing.targets[..standing.targets.len().min(MAX_TARGETS)];
    out.extend_from_slice(&(targets.len() as u16).to_le_bytes());
    for (target, attempts, end) in targets {
        put_whole_target(out, target);
        out.extend_from_slice(&attempts.to_le_bytes());
        out.push(end.map_or(0, |end| end as u8));
    }
    out.push(standing.held.into());
}

fn put_label(out: &mut Vec<u8>, label: Label) {
    out.push(1);
    out.extend_from_slice(&label.about.to_le_bytes());
}

/// Nothing, if there are none: most messages have none.
fn put_notes(out: &mut Vec<u8>, notes: &[(Target, Note)]) {
    if notes.is_empty() {
        return;
    }
    let notes = &notes[..notes.len().min(MAX_TARGETS)];
    out.extend_from_slice(&(notes.len() as u16).to_le_bytes());
    for (target, note) in notes {
        put_target(out, target);
        out.push(note.is_running.into());
        put_text(out, &note.detail);
    }
}

fn put_totals(out: &mut Vec<u8>, totals: &Totals) {
    out.extend_from_slice(&totals.submitted.to_le_bytes());
    out.extend_from_slice(&totals.received.to_le_bytes());
    out.push(End::ALL.len() as u8);
    for end in End::ALL {
        out.push(end as u8);
        out.extend_from_slice(&totals.ended(end).to_le_bytes());
    }
}

/// A target where it becomes one. Of a job without its detail only the name is
/// known, and stays.
fn put_whole_target(out: &mut Vec<u8>, target: &Target) {
    match target {
        Target::Job(job) if let Some(detail) = job.detail() => {
            out.push(3);
            put_short(out, job.lane().as_bytes());
            out.extend_from_slice(&(detail.len() as u32).to_le_bytes());
            out.extend_from_slice(detail.as_bytes());
        }
        target => put_target(out, target),
    }
}

fn put_target(out: &mut Vec<u8>, target: &Target) {
    out.push(match target {
        Target::Peer(_) => 1,
        Target::Lane(_) => 2,
        Target::Job(_) => 4,
    });
    put_short(out, cut(target.name(), MAX_LANE).as_bytes());
    if let Target::Job(job) = target {
        out.extend_from_slice(job.key());
    }
}

/// What is left to decode.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn short(&mut self) -> Option<&'a str> {
        let len = self.u8()?;
        std::str::from_utf8(self.take(len.into())?).ok()
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let len = self.u16()?;
        self.take(len.into())
    }

    /// A site, or none for the empty name.
    fn site(&mut self) -> Option<Option<SiteId>> {
        match self.short()? {
            "" => Some(None),
            name => SiteId::new(name).ok().map(Some),
        }
    }

    fn target(&mut self) -> Option<Target> {
        let sort = self.u8()?;
        let name = self.short()?;
        match sort {
            1 => SiteId::new(name).ok().map(Target::Peer),
            2 => Some(Target::Lane(name.to_owned())),
            3 => {
                let len = self.u32()? as usize;
                let detail = self.take(len).filter(|_| len <= MAX_DETAILS)?;
                let detail = std::str::from_utf8(detail).ok()?;
                Some(Target::Job(Job::new(name, detail)))
            }
            4 => Some(Target::Job(Job::named(name, self.array()?))),
            _ => None,
        }
    }

    fn standing(&mut self) -> Option<Standing> {
        let targets = self.targets(|input| {
            let target = input.target()?;
            let attempts = input.u32()?;
            let end = match input.u8()? {
                0 => None,
                code => Some(End::from_code(code)?),
            };
            Some((target, attempts, end))
        })?;
        // The first release ended here.
        let held = self.u8() == Some(1);
        Some(Standing {
            targets,
            held,
            notes: Vec::new(),
        })
    }

    fn label(&mut self) -> Option<Label> {
        if self.u8()? != 1 {
            return None;
        }
        Some(Label { about: self.u32()? })
    }

    /// What follows in records of releases that note something; nothing in others.
    fn notes(&mut self) -> Vec<(Target, Note)> {
        let notes = self.targets(|input| {
            let target = input.target()?;
            let is_running = input.u8()? == 1;
            let detail = input.text()?.into();
            Some((target, Note { is_running, detail }))
        });
        notes.unwrap_or_default()
    }

    fn checkpoint(&mut self) -> Option<Record<'a>> {
        let peer = self.site()?;
        let count = self.u32()? as usize;
        let ids = self.take(count.checked_mul(16)?)?;
        let ids = ids.chunks_exact(16).map(|bytes| {
            NotificationId::from_bytes(bytes.try_into().expect("chunks of sixteen bytes"))
        });
        Some(Record::Checkpoint {
            peer,
            ids: ids.collect(),
        })
    }

    fn totals(&mut self) -> Option<Totals> {
        let mut totals = Totals::default();
        totals.submitted = self.u64()?;
        totals.received = self.u64()?;
        for _ in 0..self.u8()? {
            let (end, count) = (self.u8()?, self.u64()?);
            // An end of a later release is one of those that somebody should look at.
            let end = End::from_code(end).unwrap_or(End::Refused);
            totals.add_ended(end, count);
        }
        Some(totals)
    }

    fn targets<T>(&mut self, read: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.u16()?;
        if usize::from(count) > MAX_TARGETS {
            return None;
        }
        (0..count).map(|_| read(self)).collect()
    }
}

#[cfg(test)]
mod tests;
