//! The bodies of records as bytes. See [`super`] for the table of them.

use std::borrow::Cow;

use objects::{NotificationId, SiteId, UnixTime};

use crate::Label;

use super::{
    CHECKPOINT, End, Event, FIRST_GLOBAL_KIND, Job, MAX_DETAILS, MAX_LANE, MAX_TARGETS, MAX_TEXT,
    Record, Standing, TOTALS, Target, Totals, Verdict,
};

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
                put_short(out, peer.as_ref().map_or("", SiteId::as_str).as_bytes());
                out.extend_from_slice(&(ids.len() as u32).to_le_bytes());
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
        const AROUND: usize = 96;
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
            if let Some(label) = label {
                put_label(&mut before, *label);
            }
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
            let (standing, label) = match len {
                0 => (Standing::default(), None),
                _ => (before.standing()?, before.label()),
            };
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
        Some(Standing { targets, held })
    }

    fn label(&mut self) -> Option<Label> {
        if self.u8()? != 1 {
            return None;
        }
        Some(Label { about: self.u32()? })
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
mod tests {
    use super::*;

    fn records() -> Vec<Record<'static>> {
        let id = NotificationId::from_bytes([7; 16]);
        let site = SiteId::new("central").unwrap();
        let peer = Target::Peer(site.clone());
        let lane = Target::Lane("ops".into());
        let job = Target::Job(Job::new("ops", "{\"rules\":[]}"));
        let mut totals = Totals::default();
        totals.submitted = 7;
        totals.received = u64::MAX;
        totals.add_ended(End::Dropped, 3);
        let message = |event| Record::Message {
            id,
            time: UnixTime::from_micros(1_795_217_983_000_001),
            event,
        };
        vec![
            message(Event::Accepted {
                order: 9,
                from: None,
                standing: Standing::default(),
                label: None,
                body: b"{}"[..].into(),
            }),
            message(Event::Accepted {
                order: 10,
                from: None,
                standing: Standing::default(),
                label: Some(Label { about: 0x0102_0304 }),
                body: b"{}"[..].into(),
            }),
            message(Event::Accepted {
                order: u64::MAX,
                from: Some(site.clone()),
                standing: Standing {
                    targets: vec![
                        (peer.clone(), 0, Some(End::StoredByPeer)),
                        (lane.clone(), 2, None),
                    ],
                    held: true,
                },
                label: Some(Label { about: u32::MAX }),
                body: b""[..].into(),
            }),
            message(Event::Assigned {
                targets: vec![peer.clone(), lane.clone(), job.clone()],
            }),
            message(Event::Settled {
                target: job,
                end: End::Delivered,
                detail: b"x"[..].into(),
            }),
            message(Event::Attempt {
                target: lane.clone(),
                number: 3,
            }),
            message(Event::Result {
                target: lane,
                number: 3,
                verdict: Verdict::Temporary,
                text: b"\xff"[..].into(),
            }),
            message(Event::Settled {
                target: peer,
                end: End::StoredByPeer,
                detail: b""[..].into(),
            }),
            message(Event::Ended {
                end: End::NobodyToNotify,
                detail: b"why"[..].into(),
                order: 9,
            }),
            message(Event::Held {
                detail: b"by ann: storm"[..].into(),
            }),
            message(Event::Released {
                detail: b""[..].into(),
            }),
            message(Event::RetryAsked {
                detail: b"by ann"[..].into(),
            }),
            Record::Totals {
                next_order: 10,
                totals,
                partial: true,
            },
            Record::Checkpoint {
                peer: Some(site),
                ids: vec![id, NotificationId::from_bytes([8; 16])],
            },
            Record::Checkpoint {
                peer: None,
                ids: Vec::new(),
            },
        ]
    }

    #[test]
    fn records_survive_encoding() {
        for record in records() {
            let mut body = Vec::new();
            record.encode(&mut body);
            assert_eq!(Record::decode(record.kind(), &body), Some(record));
        }
    }

    #[test]
    fn the_detail_of_a_job_stands_where_it_is_assigned_and_nowhere_else() {
        let detail = "who is told, by which means".repeat(40);
        let job = Target::Job(Job::new("ops", &detail));
        let encoded = |event| {
            let mut body = Vec::new();
            Record::Message {
                id: NotificationId::from_bytes([7; 16]),
                time: UnixTime::from_secs(1),
                event,
            }
            .encode(&mut body);
            body
        };
        let assigned = encoded(Event::Assigned {
            targets: vec![job.clone()],
        });
        let attempt = encoded(Event::Attempt {
            target: job.clone(),
            number: 1,
        });
        assert!(assigned.len() > detail.len() && attempt.len() < 60);
        let target = |kind, body: &[u8]| match Record::decode(kind, body) {
            Some(Record::Message {
                event: Event::Assigned { targets },
                ..
            }) => targets[0].clone(),
            Some(Record::Message {
                event: Event::Attempt { target, .. },
                ..
            }) => target,
            other => panic!("{other:?}"),
        };
        let (whole, named) = (target(2, &assigned), target(3, &attempt));
        assert_eq!(whole, job);
        assert_eq!(named, job);
        let detail_of = |target: &Target| match target {
            Target::Job(job) => job.detail().map(str::to_owned),
            _ => None,
        };
        assert_eq!((detail_of(&whole), detail_of(&named)), (Some(detail), None));
    }

    #[test]
    fn a_cut_body_is_no_record() {
        for record in records() {
            let mut body = Vec::new();
            record.encode(&mut body);
            if let Record::Message {
                event: Event::Accepted { body: inner, .. },
                ..
            } = &record
            {
                body.truncate(body.len() - inner.len());
            }
            if let Record::Message {
                event: Event::Ended { .. },
                ..
            } = &record
            {
                // Its order may be missing.
                body.truncate(body.len() - 8);
            }
            for len in 0..body.len() {
                assert_eq!(
                    Record::decode(record.kind(), &body[..len]),
                    None,
                    "{record:?} {len}"
                );
            }
        }
    }

    #[test]
    fn a_copy_of_an_early_release_is_not_held() {
        let accepted = |held| Record::Message {
            id: NotificationId::from_bytes([7; 16]),
            time: UnixTime::from_secs(1),
            event: Event::Accepted {
                order: 1,
                from: None,
                standing: Standing {
                    targets: vec![(Target::Lane("ops".into()), 2, None)],
                    held,
                },
                label: None,
                body: b"{}"[..].into(),
            },
        };
        let mut body = Vec::new();
        accepted(true).encode(&mut body);
        // Its standing ended with the targets: 16 id, 8 time, 8 order, 1 peer,
        // then the length, 2 for the count and 10 for the target.
        let flag = 33 + 4 + 2 + 10;
        assert_eq!((body[33], body[flag]), (13, 1));
        body[33] -= 1;
        body.remove(flag);
        assert_eq!(Record::decode(1, &body), Some(accepted(false)));
    }

    #[test]
    fn kinds_of_later_releases_are_told_apart() {
        let id = [1; 24];
        assert!(matches!(
            Record::decode(99, &id),
            Some(Record::Message {
                event: Event::Unknown { kind: 99 },
                ..
            })
        ));
        assert_eq!(
            Record::decode(200, b"?"),
            Some(Record::Unknown { kind: 200 })
        );
    }
}
