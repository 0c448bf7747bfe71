//! Takes dumps of one site. Whoever delivers a dump can do nothing else: there
//! are no answers to queries here, and the site is the socket's, whatever the
//! dump says; unless the socket is the merged one, which may be told to believe
//! the dump.
//!
//! | what comes | what happens | answer |
//! |---|---|---|
//! | begin mark | the site is reserved for this stream; an older dump is refused | |
//! | record | applied, counted as unknown, or counted as refused | |
//! | end mark that fits | the site is complete | `taken N, unknown N, refused N` |
//! | end mark that does not fit, end of stream | the site is incomplete | `incomplete: REASON; taken …` |
//! | anything else outside a dump | the stream is not read on | `refused: REASON` |

use std::sync::Arc;
use std::time::Duration;

use bstr::ByteSlice;
use livestatus::dump::{DumpReader, Item, Record};
use objects::{DumpBegin, DumpContent, DumpMode, UnixTime};
use program::log::quote;
use tokio::io::AsyncWriteExt;
use tokio::task::block_in_place;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::batch::Batch;
use crate::client::Service;
use crate::counters::Counters;
use crate::remarks::{Extent, Remarks, TooMany};
use crate::store::{DumpCounts, Receiving, Site, Store};
use crate::stream::Stream;

/// How long a refused sender is listened to, so that it reads the refusal
/// before it finds the connection closed.
const DRAIN: Duration = Duration::from_secs(10);

/// Whose dumps a connection may bring.
pub(crate) enum Source {
    /// Those of one site, whatever they say.
    Site(Arc<Site>),
    /// Those of any site that is configured, as they say. The first is known.
    Named(Arc<Site>),
}

/// Serves a connection that brings dumps, of which `first` has come already.
pub(crate) async fn serve(mut stream: Stream, first: &[u8], source: Source, service: Arc<Service>) {
    converse(&mut stream, first, source, &service).await;
    stream.end().await;
}

async fn converse(stream: &mut Stream, first: &[u8], source: Source, service: &Service) {
    let mut intake = Intake::new(source, service);
    // Small queries are not to wait for it behind this connection.
    let mut answers = block_in_place(|| intake.push(first, now(), &service.counters));
    let mut ended = false;
    let mut buffer = Vec::new();
    loop {
        if !tell(stream, &answers.lines.concat(), service).await {
            debug!(site = %intake.site.id, "the sender of a dump did not wait for the answer");
            return;
        }
        if answers.close && !ended {
            return drain(stream, service).await;
        }
        if ended {
            return;
        }
        answers = match hear(stream, &mut buffer, service).await {
            Heard::Bytes(length) => {
                block_in_place(|| intake.push(&buffer[..length], now(), &service.counters))
            }
            Heard::End => {
                ended = true;
                intake.finish(now(), &service.counters)
            }
            Heard::Nothing(why) => {
                ended = true;
                intake.break_off(&why, now())
            }
        };
    }
}

/// Tells a sender that nothing of what it has is taken.
pub(crate) async fn turn_away(mut stream: Stream, reason: &str, service: &Service) {
    if tell(&mut stream, &format!("refused: {reason}\n"), service).await {
        drain(&mut stream, service).await;
    }
}

/// Whether the sender took it.
async fn tell(stream: &mut Stream, text: &str, service: &Service) -> bool {
    let told = async {
        stream.write_all(text.as_bytes()).await?;
        stream.flush().await
    };
    let told = timeout(service.limits.write_timeout, told).await;
    matches!(told, Ok(Ok(())))
}

/// Listens on without taking anything, until the sender stops.
async fn drain(stream: &mut Stream, service: &Service) {
    let _ = stream.shutdown().await;
    let mut buffer = Vec::new();
    let until_it_stops =
        async { while matches!(hear(stream, &mut buffer, service).await, Heard::Bytes(_)) {} };
    let _ = timeout(DRAIN, until_it_stops).await;
}

enum Heard {
    /// So many bytes are in the buffer.
    Bytes(usize),
    /// The sender has sent all it wants to.
    End,
    /// Nothing more is to be expected.
    Nothing(String),
}

async fn hear(stream: &mut Stream, buffer: &mut Vec<u8>, service: &Service) -> Heard {
    // It takes room only once there is something to hear.
    buffer.clear();
    let heard = stream.receive(|bytes| buffer.extend_from_slice(bytes));
    let mut stopping = service.stopping.clone();
    tokio::select! {
        heard = timeout(service.limits.idle_timeout, heard) => match heard {
            Ok(Ok(0)) => Heard::End,
            Ok(Ok(length)) => Heard::Bytes(length),
            Ok(Err(error)) => Heard::Nothing(format!("the connection broke: {error}")),
            Err(_) => Heard::Nothing("the sender fell silent".to_owned()),
        },
        _ = stopping.wait_for(|stop| *stop) => Heard::Nothing("livestatusd was stopped".to_owned()),
    }
}

/// Seconds that the source's clock may be ahead without a word in the log.
const CLOCK_TOLERANCE: f64 = 60.0;

const NOTHING: &str = "the stream ended before a dump began";

fn now() -> UnixTime {
    std::time::SystemTime::now().into()
}

/// What is to be said to the sender.
#[derive(Debug, Default, PartialEq)]
struct Answers {
    lines: Vec<String>,
    close: bool,
}

/// The receiving side of one stream, without its socket.
struct Intake {
    site: Arc<Site>,
    /// Where to find the site that a dump names, if that counts.
    sites: Option<Arc<Store>>,
    allow_unmarked: bool,
    reader: DumpReader,
    /// The first bytes since the last dump, for the log.
    first_bytes: Vec<u8>,
    phase: Phase,
    /// Dumps that ended, complete or not.
    dumps: u64,
    stream_ended: bool,
}

enum Phase {
    /// Between dumps.
    Outside,
    /// In one.
    Inside(Box<Dump>),
    /// The sender was told that nothing more is taken.
    Closed,
}

struct Dump {
    /// `None` if records came without a frame.
    begin: Option<DumpBegin>,
    counts: DumpCounts,
    /// Services of the host whose states come just now.
    batch: Batch,
    remarks: Remarks,
    number: u64,
    _receiving: Receiving,
}

impl Intake {
    fn new(source: Source, service: &Service) -> Self {
        let (site, sites) = match source {
            Source::Site(site) => (site, None),
            Source::Named(site) => (site, Some(Arc::clone(&service.store))),
        };
        Self {
            site,
            // Without a mark nothing tells the site.
            allow_unmarked: service.allow_unmarked && sites.is_none(),
            sites,
            reader: DumpReader::new(),
            first_bytes: Vec::new(),
            phase: Phase::Outside,
            dumps: 0,
            stream_ended: false,
        }
    }

    fn push(&mut self, bytes: &[u8], now: UnixTime, counters: &Counters) -> Answers {
        if self.first_bytes.is_empty() {
            self.first_bytes
                .extend_from_slice(&bytes[..bytes.len().min(80)]);
        }
        self.reader.push(bytes);
        self.drain(now, counters)
    }

    /// The stream has ended.
    fn finish(&mut self, now: UnixTime, counters: &Counters) -> Answers {
        self.stream_ended = true;
        self.reader.finish();
        let mut answers = self.drain(now, counters);
        match &self.phase {
            Phase::Inside(dump) if dump.begin.is_none() => {
                let reason = "the dump has no marks, so nobody knows whether it is complete";
                self.end(Err(reason.to_owned()), now, &mut answers);
            }
            Phase::Inside(_) => self.end(Err("end mark missing".to_owned()), now, &mut answers),
            Phase::Outside if self.dumps == 0 => {
                self.end(
                    Err("the stream ended before a dump began".to_owned()),
                    now,
                    &mut answers,
                );
            }
            Phase::Outside | Phase::Closed => {}
        }
        answers
    }

    /// The stream is not read on.
    fn break_off(&mut self, reason: &str, now: UnixTime) -> Answers {
        let mut answers = Answers {
            close: true,
            ..Answers::default()
        };
        if let Phase::Inside(_) = self.phase {
            self.end(Err(reason.to_owned()), now, &mut answers);
        }
        answers
    }

    fn drain(&mut self, now: UnixTime, counters: &Counters) -> Answers {
        let mut answers = Answers::default();
        while let Some(item) = self.reader.poll_item() {
            match (item, &mut self.phase) {
                (_, Phase::Closed) => break,
                (Item::Begin(begin), _) => self.begin(*begin, now, &mut answers),
                (Item::Record(record), Phase::Inside(dump)) => {
                    apply(&self.site, *record, dump, now, counters);
                }
                (Item::Record(record), Phase::Outside) => {
                    self.unmarked(*record, now, counters, &mut answers);
                }
                (Item::Refused(error), Phase::Inside(dump)) => {
                    dump.counts.refused += 1;
                    if dump.counts.refused == 1 {
                        warn!(site = %self.site.id, "refused a line of a dump: {error}");
                    }
                }
                (Item::Refused(error), Phase::Outside) => {
                    self.not_a_dump(&error, now, &mut answers);
                }
                (Item::End(end), Phase::Inside(_)) => {
                    let end = end.map(|_| ()).map_err(|incomplete| incomplete.to_string());
                    self.end(end, now, &mut answers);
                }
                (Item::End(_), Phase::Outside) => {
                    self.refuse("an end mark without a dump", &mut answers);
                }
            }
        }
        answers
    }

    fn begin(&mut self, begin: DumpBegin, now: UnixTime, answers: &mut Answers) {
        // The reader reports the end of a dump before it begins the next.
        if let Some(sites) = &self.sites {
            match sites.site(&begin.site) {
                Some(site) => self.site = site,
                None => {
                    let reason = format!("site {} is not configured here", begin.site);
                    return self.refuse(&reason, answers);
                }
            }
        }
        if begin.content != DumpContent::State {
            return self.refuse(
                "this socket takes dumps of states, not of configuration",
                answers,
            );
        }
        let Some(receiving) = self.site.receive() else {
            return self.refuse("another dump of this site is being received", answers);
        };
        let version = (begin.epoch, begin.sequence);
        let mut status = self.site.status();
        if let Some((epoch, sequence)) = status.dumps.newest.filter(|newest| version < *newest) {
            drop(status);
            let reason = format!("older than the dump of epoch {epoch}, sequence {sequence}");
            return self.refuse(&reason, answers);
        }
        // Nothing may have come since its base, not even a part of a dump: what
        // that has changed the delta does not know.
        if let DumpMode::Delta { base } = begin.mode
            && (status.dumps.last_complete != Some((begin.epoch, base))
                || status.dumps.newest != status.dumps.last_complete
                || status.dumps.completeness.is_err())
        {
            let reason =
                format!("it builds upon sequence {base}, which is not the last complete dump here");
            status.dumps.completeness = Err(format!("a delta was refused: {reason}"));
            status.dumps.received_at = now;
            drop(status);
            self.site.changed();
            return self.refuse(&reason, answers);
        }
        status.dumps.newest = Some(version);
        drop(status);
        let ahead = begin.time.as_secs_f64() - now.as_secs_f64();
        if ahead > CLOCK_TOLERANCE {
            warn!(
                site = %self.site.id,
                "the clock of the dump's source is {ahead:.0} s ahead: its states look younger than they are"
            );
        }
        self.phase = Phase::Inside(Box::new(Dump {
            begin: Some(begin),
            counts: DumpCounts::default(),
            batch: Batch::default(),
            remarks: Remarks::default(),
            number: self.site.next_dump(),
            _receiving: receiving,
        }));
    }

    /// A line outside a dump that does not begin one.
    fn not_a_dump(&mut self, error: &livestatus::Error, now: UnixTime, answers: &mut Answers) {
        let is_command =
            self.first_bytes.starts_with(b"COMMAND") || b"COMMAND".starts_with(&self.first_bytes);
        if self.stream_ended && is_command {
            return self.end(Err(NOTHING.to_owned()), now, answers);
        }
        if self.first_bytes.starts_with(b"GET") {
            return self.refuse("this socket takes dumps and answers no queries", answers);
        }
        self.refuse(&format!("this is not a dump: {error}"), answers);
    }

    /// A record outside a dump.
    fn unmarked(
        &mut self,
        record: Record,
        now: UnixTime,
        counters: &Counters,
        answers: &mut Answers,
    ) {
        if !self.allow_unmarked {
            let reason = "the dump has no begin mark, so nobody would know whether it is complete; \
                          `allow_unmarked` takes such dumps";
            return self.refuse(reason, answers);
        }
        let Some(receiving) = self.site.receive() else {
            return self.refuse("another dump of this site is being received", answers);
        };
        let mut dump = Box::new(Dump {
            begin: None,
            counts: DumpCounts::default(),
            batch: Batch::default(),
            remarks: Remarks::default(),
            number: self.site.next_dump(),
            _receiving: receiving,
        });
        apply(&self.site, record, &mut dump, now, counters);
        self.phase = Phase::Inside(dump);
    }

    /// Ends the dump, if one began, and notes what became of it.
    fn end(&mut self, end: Result<(), String>, now: UnixTime, answers: &mut Answers) {
        if let Phase::Inside(dump) = &mut self.phase {
            apply_batch(&self.site, dump, now);
        }
        // The right to receive is given back at the end, not before.
        let (begin, mut counts, number, remarks, _receiving) =
            match std::mem::replace(&mut self.phase, Phase::Outside) {
                Phase::Inside(dump) => {
                    let dump = *dump;
                    let receiving = Some(dump._receiving);
                    (
                        dump.begin,
                        dump.counts,
                        dump.number,
                        dump.remarks,
                        receiving,
                    )
                }
                Phase::Outside | Phase::Closed => Default::default(),
            };
        let completeness = end.and_then(|()| match counts.refused {
            0 => Ok(()),
            refused => Err(format!("{refused} records were refused")),
        });
        if let (Ok(()), Some(begin)) = (&completeness, &begin) {
            let extent = if begin.mode == DumpMode::Full {
                counts.missing = self.site.objects().not_in_dump(number);
                Extent::All
            } else {
                counts.missing = self.site.status().dumps.counts.missing;
                Extent::Changes
            };
            let outcome = remarks.apply(&self.site, number, extent, now);
            counts.taken += outcome.taken;
            counts.unknown += outcome.unknown;
        }
        let line = format!(
            "taken {}, unknown {}, refused {}\n",
            counts.taken, counts.unknown, counts.refused
        );
        match &completeness {
            Ok(()) => {
                info!(site = %self.site.id, missing = counts.missing, "dump taken: {}", line.trim_end());
                answers.lines.push(line);
            }
            Err(reason) => {
                warn!(site = %self.site.id, "incomplete dump: {reason}; {}", line.trim_end());
                answers.lines.push(format!("incomplete: {reason}; {line}"));
            }
        }
        {
            let mut status = self.site.status();
            let dumps = &mut status.dumps;
            dumps.received_at = now;
            if let Some(begin) = &begin {
                dumps.claimed_site = Some(begin.site.clone());
                if completeness.is_ok() {
                    dumps.last_complete = Some((begin.epoch, begin.sequence));
                    dumps.time = begin.time;
                }
            }
            dumps.counts = counts;
            dumps.completeness = completeness;
        }
        self.site.changed();
        self.dumps += 1;
        self.first_bytes.clear();
    }

    /// Tells the sender that nothing of this is taken.
    fn refuse(&mut self, reason: &str, answers: &mut Answers) {
        warn!(
            site = %self.site.id,
            "refused what came to the ingest socket: {reason}; it begins with '{}'",
            quote(self.first_bytes.as_bstr(), 80)
        );
        answers.lines.push(format!("refused: {reason}\n"));
        answers.close = true;
        self.phase = Phase::Closed;
    }
}

/// Applies one record, whole.
fn apply(site: &Site, record: Record, dump: &mut Dump, now: UnixTime, counters: &Counters) {
    if !matches!(record, Record::Service { .. }) {
        apply_batch(site, dump, now);
    }
    let number = dump.number;
    let known = match record {
        Record::Host { host_name, state } => {
            counters.host_checks.add();
            site.with_host(host_name.as_bstr(), |_, host| {
                host.take_shadow(state, number, now);
            })
        }
        Record::Service {
            host_name,
            service_description,
            state,
        } => {
            counters.service_checks.add();
            if !dump.batch.has_room_for(host_name.as_bstr()) {
                apply_batch(site, dump, now);
            }
            dump.batch.add(host_name, service_description, state);
            return;
        }
        Record::Comment(owner, comment) => return keep(dump.remarks.comment(owner, comment), dump),
        Record::Downtime(owner, downtime) => {
            return keep(dump.remarks.downtime(owner, downtime), dump);
        }
        Record::CommentGone(id) => return keep(dump.remarks.comment_gone(id), dump),
        Record::DowntimeGone(id) => return keep(dump.remarks.downtime_gone(id), dump),
        Record::Checked(hosts) => {
            for host in hosts {
                match site.take_check_times(&host, number, now) {
                    Some(count) => dump.counts.taken += count,
                    None => dump.counts.unknown += host.last_checks.iter().flatten().count() as u64,
                }
            }
            return;
        }
    };
    if known {
        dump.counts.taken += 1;
    } else {
        dump.counts.unknown += 1;
    }
}

/// Applies what has come of the services of a host.
fn apply_batch(site: &Site, dump: &mut Dump, now: UnixTime) {
    let Some((host_name, services)) = dump.batch.take() else {
        return;
    };
    let count = services.len() as u64;
    let taken = site.take_services(host_name, services, dump.number, now);
    dump.counts.taken += taken;
    dump.counts.unknown += count - taken;
}

/// Comments and downtimes are counted at the end of the dump.
fn keep(kept: Result<(), TooMany>, dump: &mut Dump) {
    if kept == Err(TooMany) {
        dump.counts.refused += 1;
        if dump.counts.refused == 1 {
            warn!("refused comments and downtimes of a dump: there are too many");
        }
    }
}
