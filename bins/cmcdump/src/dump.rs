//! The dump of a state as it is written: in full, or what has changed since
//! another one.

use aws_lc_rs::digest::{SHA256, digest};
use bstr::BString;
use livestatus::dump::{DumpWriter, Layout, print_content};
use objects::{
    Comment, Downtime, DumpBegin, HostState, ObjectName, ServiceState, ShadowState, StateCode,
    UnixTime,
};
use program::{Failure, Status};
use transfer::Output;

use crate::checked::CheckTimes;
use crate::since::{Entry, Key, Known, Remark, Since};

/// Most bytes that are kept of a text that does not fit in a record.
const KEPT: usize = 1 << 16;

/// A dump that begins with its first record, so that a server which refuses to
/// answer leaves no trace in the output.
pub(crate) struct Dump<'a> {
    begin: &'a DumpBegin,
    layout: Layout,
    writer: Option<DumpWriter>,
    since: Option<Since>,
    checked: CheckTimes,
    out: &'a mut Output,
    /// What is compared, before it is hashed.
    scratch: Vec<u8>,
}

impl<'a> Dump<'a> {
    /// Nothing is written yet.
    pub(crate) fn new(
        begin: &'a DumpBegin,
        layout: Layout,
        since: Option<Since>,
        out: &'a mut Output,
    ) -> Self {
        Self {
            begin,
            layout,
            writer: None,
            since,
            checked: CheckTimes::default(),
            out,
            scratch: Vec::new(),
        }
    }

    pub(crate) fn host(
        &mut self,
        name: &BString,
        state: &mut ShadowState<HostState>,
    ) -> Result<(), Failure> {
        let known = self.compare(&[b"h", name], state);
        if self.is_delta() {
            self.checked.host(name, known.time());
        }
        if known != Known::Other {
            return Ok(());
        }
        self.state(state, |writer, state, out| writer.host(name, state, out))
    }

    pub(crate) fn service(
        &mut self,
        host_name: &BString,
        description: &BString,
        state: &mut ShadowState<ServiceState>,
    ) -> Result<(), Failure> {
        let known = self.compare(&[b"s", host_name, description], state);
        if self.is_delta() {
            self.checked.service(host_name, description, known.time());
        }
        if known != Known::Other {
            return Ok(());
        }
        self.state(state, |writer, state, out| {
            writer.service(host_name, description, state, out)
        })
    }

    pub(crate) fn comment(
        &mut self,
        object: &ObjectName,
        comment: &Comment,
    ) -> Result<(), Failure> {
        let known = self.compare_remark(Key::remark(Remark::Comment(comment.id)), object, comment);
        self.remark(known, |writer, out| writer.comment(object, comment, out))
    }

    pub(crate) fn downtime(
        &mut self,
        object: &ObjectName,
        downtime: &Downtime,
    ) -> Result<(), Failure> {
        let known =
            self.compare_remark(Key::remark(Remark::Downtime(downtime.id)), object, downtime);
        self.remark(known, |writer, out| writer.downtime(object, downtime, out))
    }

    /// Ends the dump. What it said is remembered before anybody can have all of it.
    pub(crate) fn end(mut self) -> Result<(), Failure> {
        let mut checked = std::mem::take(&mut self.checked);
        self.write(|writer, out| {
            for host in checked.hosts() {
                writer.checked(&host, out)?;
            }
            writer.end_checked(out)
        })?;
        if let Some(since) = self.since.take() {
            self.write(|writer, out| {
                for gone in since.gone() {
                    match gone {
                        Remark::Comment(id) => writer.comment_gone(id, out),
                        Remark::Downtime(id) => writer.downtime_gone(id, out),
                    }
                }
                Ok(())
            })?;
            since.finish(self.begin)?;
        }
        // Begun by now, whatever there was to say.
        if let Some(writer) = self.writer.take() {
            writer.end(self.out.buffer());
        }
        self.out.settle()
    }

    fn is_delta(&self) -> bool {
        self.since.as_ref().is_some_and(Since::is_delta)
    }

    /// What the dump before had about the object.
    fn compare<S: StateCode>(&mut self, name: &[&[u8]], state: &ShadowState<S>) -> Known {
        let Some(since) = &mut self.since else {
            return Known::Other;
        };
        self.scratch.clear();
        for part in name {
            self.scratch.extend_from_slice(part);
            self.scratch.push(0);
        }
        let key = Key::object(half(&self.scratch));
        self.scratch.clear();
        print_content(state, &mut self.scratch);
        since.compare(Entry {
            key,
            content: half(&self.scratch),
            last_check: if state.has_been_checked {
                state.last_check
            } else {
                UnixTime::NEVER
            },
        })
    }

    fn compare_remark(
        &mut self,
        key: Key,
        object: &ObjectName,
        remark: &impl std::fmt::Debug,
    ) -> Known {
        let Some(since) = &mut self.since else {
            return Known::Other;
        };
        since.compare(Entry {
            key,
            content: half(format!("{object:?} {remark:?}").as_bytes()),
            last_check: UnixTime::NEVER,
        })
    }

    fn state<S>(
        &mut self,
        state: &mut ShadowState<S>,
        print: impl Fn(&mut DumpWriter, &ShadowState<S>, &mut Vec<u8>) -> Result<(), livestatus::Error>,
    ) -> Result<(), Failure> {
        self.write(|writer, out| {
            if let Err(error) = print(writer, state, out) {
                eprintln!("cmcdump: {error}: only the beginning of its output is dumped");
                shorten(state);
                print(writer, state, out)?;
            }
            Ok(())
        })
    }

    fn remark(
        &mut self,
        known: Known,
        print: impl Fn(&mut DumpWriter, &mut Vec<u8>) -> Result<(), livestatus::Error>,
    ) -> Result<(), Failure> {
        if known != Known::Other {
            return Ok(());
        }
        self.write(|writer, out| {
            if let Err(error) = print(writer, out) {
                eprintln!("cmcdump: {error}: it is left out");
            }
            Ok(())
        })
    }

    fn write(
        &mut self,
        print: impl FnOnce(&mut DumpWriter, &mut Vec<u8>) -> Result<(), livestatus::Error>,
    ) -> Result<(), Failure> {
        if self.writer.is_none() {
            if let Some(since) = &self.since {
                since.begin()?;
            }
            let layout = self.layout.clone();
            let writer = DumpWriter::begin_as(self.begin, layout, self.out.buffer());
            self.writer = Some(writer);
        }
        if let Some(writer) = &mut self.writer {
            print(writer, self.out.buffer())
                .map_err(|error| Failure::caused(Status::Failed, "a record", error))?;
        }
        self.out.settle()
    }
}

/// Enough of a hash to tell what is different.
fn half(text: &[u8]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&digest(&SHA256, text).as_ref()[..16]);
    half
}

/// Cuts the texts so that they fit in a record in any case.
fn shorten<S>(state: &mut ShadowState<S>) {
    state.plugin_output.truncate(KEPT);
    state.long_plugin_output.truncate(KEPT);
    // Half a perf data would be wrong figures.
    if state.perf_data.len() > KEPT {
        state.perf_data.clear();
    }
}
