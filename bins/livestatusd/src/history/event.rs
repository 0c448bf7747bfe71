//! What is kept in the history, and how it is written there.
//!
//! ```text
//! [1795217983] SERVICE ALERT: db1;Disk /;CRITICAL;HARD;3;full;OK;1795210000
//! [1795217990] HOST DOWNTIME ALERT: db1;STARTED
//! [1795218000] SERVICE FLAPPING ALERT: db1;Disk /;STOPPED
//! [1795218001] EXTERNAL COMMAND: ADD_HOST_COMMENT\sdb1\s1\sme\stext
//! ```
//!
//! The time is that at which the change became known here. The last two fields
//! of an alert are the state that it ended and since when that had been; they
//! are missing where the object was pending before, and in older files.

use bstr::{BStr, BString, ByteSlice};
use objects::{HostState, ServiceState, StateCode, StateType, UnixTime};

use crate::field::{escape, unescape};
use crate::owners::Owner;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// When it became known.
    pub(crate) time: UnixTime,
    /// To what. A command has an empty host name.
    pub(crate) owner: Owner,
    /// What it was.
    pub(crate) what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// A change of state.
    Alert(Alert),
    /// Downtimes began or ended.
    Downtime(Step),
    /// Flapping began or ended.
    Flapping(Step),
    /// Somebody gave a command.
    Command(BString),
}

/// A change of state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alert {
    /// The state that it ended; none while pending.
    pub(crate) was: Option<Was>,
    /// The number of the new state.
    pub(crate) state: u8,
    pub(crate) state_type: StateType,
    pub(crate) attempt: u32,
    pub(crate) plugin_output: BString,
}

/// A state that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Was {
    /// Its number.
    pub(crate) state: u8,
    /// When it began, as the object's site has it.
    pub(crate) since: UnixTime,
}

/// The beginning or end of something that lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It began.
    Started,
    /// It ended.
    Stopped,
    /// It was called off.
    Cancelled,
}

impl Step {
    const ALL: [Self; 3] = [Self::Started, Self::Stopped, Self::Cancelled];

    /// What happened to something that was, and is, in effect or not. `left` is
    /// what its end is.
    pub(crate) fn between(was: bool, is: bool, left: Self) -> Option<Self> {
        match (was, is) {
            (false, true) => Some(Self::Started),
            (true, false) => Some(left),
            (true, true) | (false, false) => None,
        }
    }

    /// `STARTED`, `STOPPED` or `CANCELLED`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Started => "STARTED",
            Self::Stopped => "STOPPED",
            Self::Cancelled => "CANCELLED",
        }
    }
}

/// How names and texts are written.
type Text<'t> = &'t dyn Fn(&[u8], &mut Vec<u8>);

impl Event {
    /// What the log calls it.
    pub(crate) fn kind(&self) -> &'static str {
        let of_service = self.owner.service_description.is_some();
        match (&self.what, of_service) {
            (What::Alert(_), false) => "HOST ALERT",
            (What::Alert(_), true) => "SERVICE ALERT",
            (What::Downtime(_), false) => "HOST DOWNTIME ALERT",
            (What::Downtime(_), true) => "SERVICE DOWNTIME ALERT",
            (What::Flapping(_), false) => "HOST FLAPPING ALERT",
            (What::Flapping(_), true) => "SERVICE FLAPPING ALERT",
            (What::Command(_), _) => "EXTERNAL COMMAND",
        }
    }

    /// The number of its class: 1 for alerts, 5 for commands.
    pub(crate) fn class(&self) -> i64 {
        match self.what {
            What::Alert(_) | What::Downtime(_) | What::Flapping(_) => 1,
            What::Command(_) => 5,
        }
    }

    /// `SOFT` or `HARD` of an alert, else what began or ended.
    pub(crate) fn state_type(&self) -> &'static str {
        match &self.what {
            What::Alert(alert) => match alert.state_type {
                StateType::Soft => "SOFT",
                StateType::Hard => "HARD",
            },
            What::Downtime(step) | What::Flapping(step) => step.word(),
            What::Command(_) => "",
        }
    }

    /// The word for the new state.
    pub(crate) fn state_word(&self) -> &'static str {
        match &self.what {
            What::Alert(alert) => self.word(alert.state),
            What::Downtime(_) | What::Flapping(_) | What::Command(_) => "",
        }
    }

    /// What began or ended, for people.
    pub(crate) fn comment(&self) -> &'static str {
        match &self.what {
            What::Downtime(Step::Started) => "A scheduled downtime has begun",
            What::Downtime(Step::Stopped) => "The scheduled downtime is over",
            What::Downtime(Step::Cancelled) => "The scheduled downtime was cancelled",
            What::Flapping(Step::Started) => "The state has begun to flap",
            What::Flapping(_) => "The state flaps no more",
            What::Alert(_) | What::Command(_) => "",
        }
    }

    /// What stands behind the kind, as a core would have written it.
    pub(crate) fn options(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.print_options(&mut out, &|text, out| {
            out.extend_from_slice(&text.replace("\n", " "));
        });
        if let What::Downtime(_) | What::Flapping(_) = self.what {
            out.push(b';');
            out.extend_from_slice(self.comment().as_bytes());
        }
        out
    }

    /// Appends the line of the file.
    pub(super) fn print(&self, out: &mut Vec<u8>) {
        let start = format!("[{}] {}: ", self.time.secs(), self.kind());
        out.extend_from_slice(start.as_bytes());
        self.print_options(out, &escape);
        if let What::Alert(Alert { was: Some(was), .. }) = self.what {
            let end = format!(";{};{}", self.word(was.state), was.since);
            out.extend_from_slice(end.as_bytes());
        }
        out.push(b'\n');
    }

    fn print_options(&self, out: &mut Vec<u8>, text: Text<'_>) {
        if let What::Command(command) = &self.what {
            return text(command, out);
        }
        text(&self.owner.host_name, out);
        if let Some(description) = &self.owner.service_description {
            out.push(b';');
            text(description, out);
        }
        match &self.what {
            What::Alert(alert) => {
                let (word, state_type) = (self.state_word(), self.state_type());
                let attempt = alert.attempt;
                out.extend_from_slice(format!(";{word};{state_type};{attempt};").as_bytes());
                text(&alert.plugin_output, out);
            }
            What::Downtime(step) | What::Flapping(step) => {
                out.extend_from_slice(format!(";{}", step.word()).as_bytes());
            }
            What::Command(_) => {}
        }
    }

    fn word(&self, state: u8) -> &'static str {
        let code = i64::from(state);
        match self.owner.service_description {
            None => HostState::from_code(code).unwrap_or_default().word(),
            Some(_) => ServiceState::from_code(code).unwrap_or_default().word(),
        }
    }

    /// Reads a line of the file; `None` if it is none of ours.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let (time, rest) = line.strip_prefix(b"[")?.split_once_str("] ")?;
        let (kind, options) = rest.split_once_str(": ")?;
        let time = UnixTime::parse(time)?;
        if kind == b"EXTERNAL COMMAND" {
            return Some(Self {
                time,
                owner: Owner::host(b""),
                what: What::Command(unescape(options)),
            });
        }
        let (of, kind) = kind.split_once_str(" ")?;
        let of_service = match of {
            b"HOST" => false,
            b"SERVICE" => true,
            _ => return None,
        };
        let mut fields = options.split(|b| *b == b';');
        let host_name = unescape(fields.next()?);
        let service_description = match of_service {
            true => Some(unescape(fields.next()?)),
            false => None,
        };
        let what = match kind {
            b"ALERT" => parse_alert(fields, of_service)?,
            b"DOWNTIME ALERT" => What::Downtime(parse_step(fields.next()?)?),
            b"FLAPPING ALERT" => What::Flapping(parse_step(fields.next()?)?),
            _ => return None,
        };
        Some(Self {
            time,
            owner: Owner {
                host_name,
                service_description,
            },
            what,
        })
    }
}

/// The time of a line, without the rest of it.
pub(super) fn time_of(line: &[u8]) -> Option<i64> {
    let (time, _) = line.strip_prefix(b"[")?.split_once_str("] ")?;
    time.to_str().ok()?.parse().ok()
}

fn parse_alert<'l>(mut fields: impl Iterator<Item = &'l [u8]>, of_service: bool) -> Option<What> {
    let state = parse_state(fields.next()?, of_service)?;
    let state_type = match fields.next()? {
        b"SOFT" => StateType::Soft,
        b"HARD" => StateType::Hard,
        _ => return None,
    };
    let attempt = fields.next()?.to_str().ok()?.parse().ok()?;
    let plugin_output = unescape(fields.next()?);
    let was = fields.next().and_then(|state| {
        Some(Was {
            state: parse_state(state, of_service)?,
            since: UnixTime::parse(fields.next()?)?,
        })
    });
    Some(What::Alert(Alert {
        was,
        state,
        state_type,
        attempt,
        plugin_output,
    }))
}

fn parse_state(word: &[u8], of_service: bool) -> Option<u8> {
    let is = |state: &'static str| state.as_bytes().as_bstr() == BStr::new(word);
    (0..4).find(|code| match of_service {
        true => ServiceState::from_code((*code).into()).is_some_and(|state| is(state.word())),
        false => HostState::from_code((*code).into()).is_some_and(|state| is(state.word())),
    })
}

fn parse_step(word: &[u8]) -> Option<Step> {
    let mut all = Step::ALL.into_iter();
    all.find(|step| step.word().as_bytes() == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(service: Option<&str>, what: What) -> Event {
        Event {
            time: UnixTime::from_secs(1_795_217_983),
            owner: Owner {
                host_name: "h;1".into(),
                service_description: service.map(BString::from),
            },
            what,
        }
    }

    fn alert(was: Option<Was>, output: &str) -> What {
        What::Alert(Alert {
            was,
            state: 2,
            state_type: StateType::Soft,
            attempt: 3,
            plugin_output: output.into(),
        })
    }

    #[test]
    fn events_survive_being_written() {
        let was = Was {
            state: 1,
            since: UnixTime::from_micros(7_500_000),
        };
        let command = Event {
            owner: Owner::host(b""),
            ..event(None, What::Command("ADD_X;h;a\\b: c".into()))
        };
        for (event, want) in [
            (
                event(None, alert(None, "down; \\n \\ 100%\nmore")),
                "HOST ALERT: h\\s1;UNREACHABLE;SOFT;3;down\\s \\\\n \\\\ 100%\\nmore",
            ),
            (
                event(Some("Disk C:\\new;"), alert(Some(was), "")),
                "SERVICE ALERT: h\\s1;Disk C:\\\\new\\s;CRITICAL;SOFT;3;;WARNING;7.5",
            ),
            (
                event(None, What::Downtime(Step::Started)),
                "HOST DOWNTIME ALERT: h\\s1;STARTED",
            ),
            (
                event(Some("x"), What::Downtime(Step::Cancelled)),
                "SERVICE DOWNTIME ALERT: h\\s1;x;CANCELLED",
            ),
            (
                event(Some("x"), What::Flapping(Step::Stopped)),
                "SERVICE FLAPPING ALERT: h\\s1;x;STOPPED",
            ),
            (command, "EXTERNAL COMMAND: ADD_X\\sh\\sa\\\\b: c"),
        ] {
            let mut line = Vec::new();
            event.print(&mut line);
            assert_eq!(line.as_bstr(), format!("[1795217983] {want}\n").as_str());
            let line = line.strip_suffix(b"\n").unwrap();
            assert_eq!(Event::parse(line), Some(event));
            assert_eq!(time_of(line), Some(1_795_217_983));
        }
    }

    #[test]
    fn alerts_of_older_files_are_read() {
        let line = b"[7] SERVICE ALERT: h;cpu;CRITICAL;HARD;3;busy";
        let event = Event::parse(line).unwrap();
        assert!(matches!(
            event.what,
            What::Alert(Alert {
                was: None,
                state: 2,
                ..
            })
        ));
    }

    #[test]
    fn lines_of_others_are_passed_over() {
        for bad in [
            "",
            "[7] HOST ALERT: h;CRITICAL;SOFT;3;x",
            "[7] OTHER: h;UP;SOFT;3;x",
            "[7] HOST OTHER ALERT: h;STARTED",
            "[7] HOST DOWNTIME ALERT: h;BEGUN",
            "[x] HOST ALERT: h;UP;SOFT;3;x",
            "[7] HOST ALERT: h;UP;SOFT;3",
        ] {
            assert_eq!(Event::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
