//! What Checkmk's check of its notification spooler makes of a state file:
//! written from what that check insists on, with nothing of the program under
//! test.
//!
//! The check reads by position where a reader would expect keys: the first two
//! lines, and the three after `Spool`. It raises where something is missing. What
//! it raises is a `panic` in its site; here it is an error in words.

use std::collections::BTreeMap;

/// The states of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    Ok,
    Warn,
    Crit,
}

/// What the check would show.
#[derive(Debug)]
#[allow(dead_code)] // each test looks at its part
pub(crate) struct Shown {
    pub(crate) version: String,
    /// `OMD SITE Notification Spooler`
    pub(crate) spooler: Verdict,
    /// `OMD SITE Notification Spooler connection to REMOTE`, by the remote site.
    pub(crate) connections: BTreeMap<String, Connection>,
    /// By name: waiting and processing.
    pub(crate) queues: Vec<(String, u64, u64)>,
    /// New, deferred, corrupted.
    pub(crate) counts: [u64; 3],
    /// What the check does not look at, but stands there: a descriptor, or -1.
    pub(crate) listening: i32,
}

#[derive(Debug, Clone)]
#[allow(dead_code)] // each test looks at its part
pub(crate) struct Connection {
    pub(crate) verdict: Verdict,
    pub(crate) state: String,
    pub(crate) message: String,
    pub(crate) is_incoming: bool,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// A descriptor, or -1.
    pub(crate) socket: i32,
}

/// The section as the agent ships it: `now`, the site, and the file without its
/// comments. `grep` must not take the file for binary.
pub(crate) fn section(file: &[u8], site: &str, now: i64) -> Result<String, String> {
    if file.contains(&0) || !file.is_ascii() {
        return Err("Binary file (standard input) matches".to_owned());
    }
    let text = String::from_utf8(file.to_vec()).map_err(|error| error.to_string())?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let body: Vec<&str> = lines.collect();
    Ok(format!("{now}\n[{site}]\n{}\n", body.join("\n")))
}

/// Reads a section and judges it.
pub(crate) fn check(section: &str) -> Result<Shown, String> {
    let mut lines = section.lines();
    let now: i64 = number(lines.next().ok_or("no time")?)?;
    let site = lines.next().ok_or("no site")?;
    if !(site.starts_with('[') && site.ends_with(']')) {
        return Err(format!("no site: {site}"));
    }
    // By position, whatever the keys are.
    let version = value(lines.next().ok_or("truncated")?)?.to_owned();
    let updated = moment(value(lines.next().ok_or("truncated")?)?)?;
    let mut reading = Reading::default();
    let mut lines = lines.peekable();
    while let Some(line) = lines.next() {
        if line.trim().is_empty() {
            continue;
        }
        let Some((key, value)) = line.split_once(':') else {
            return Err(format!("no colon in {line:?}"));
        };
        if key == "Spool" {
            let mut next = || -> Result<String, String> {
                let line = lines.next().ok_or("truncated after Spool")?;
                Ok(self::value(line)?.to_owned())
            };
            let (count, oldest, youngest) = (next()?, next()?, next()?);
            reading.spool(value.trim(), &count, &oldest, &youngest)?;
        } else {
            reading.line(key, value.trim())?;
        }
    }
    reading.judge(version, now, updated)
}

#[derive(Default)]
struct Reading {
    spools: BTreeMap<String, (u64, Option<i64>, Option<i64>)>,
    queues: Vec<(String, u64, u64)>,
    site: Option<String>,
    listening: Option<i32>,
    connections: Vec<(String, BTreeMap<String, String>)>,
    /// Between `Type` and `Notifications Received`.
    strict: bool,
}

/// The lines of a connection that the check knows between those two.
const STRICT: [&str; 5] = [
    "State",
    "Status Message",
    "Since",
    "Connect Time",
    "Notifications Sent",
];

impl Reading {
    fn spool(
        &mut self,
        name: &str,
        count: &str,
        oldest: &str,
        youngest: &str,
    ) -> Result<(), String> {
        let time = |text: &str| match text {
            "" => Ok(None),
            text => moment(text).map(Some),
        };
        let all = (number(count)?, time(oldest)?, time(youngest)?);
        if (all.0 == 0) != all.1.is_none() || all.1.is_some() != all.2.is_some() {
            return Err(format!("{name}: {count} files, oldest {oldest:?}"));
        }
        self.spools.insert(name.to_owned(), all);
        Ok(())
    }

    fn line(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "Listening FD" => self.listening = Some(number(value)?),
            "Queue" => self.queues.push((value.to_owned(), 0, 0)),
            "Waiting" => self.queue()?.1 = number(value)?,
            "Processing" => self.queue()?.2 = number(value)?,
            "Site" => {
                let site = value.split(' ').next().unwrap_or(value);
                self.site = Some(site.to_owned());
            }
            "Connection" => {
                let site = self.site.take().ok_or("Connection without Site")?;
                let mut connection = BTreeMap::new();
                connection.insert(key.to_owned(), value.to_owned());
                self.connections.push((site, connection));
            }
            _ => self.connection_line(key, value)?,
        }
        Ok(())
    }

    fn queue(&mut self) -> Result<&mut (String, u64, u64), String> {
        self.queues
            .last_mut()
            .ok_or("Waiting without Queue".to_owned())
    }

    fn connection_line(&mut self, key: &str, value: &str) -> Result<(), String> {
        if self.strict && key == "Notifications Received" {
            self.strict = false;
        } else if self.strict && !STRICT.contains(&key) {
            return Err(format!(
                "{key} stands between Type and Notifications Received"
            ));
        }
        if key == "Type" {
            self.strict = true;
        }
        if let Some((_, connection)) = self.connections.last_mut() {
            connection.insert(key.to_owned(), value.to_owned());
        }
        Ok(())
    }

    fn judge(self, version: String, now: i64, updated: i64) -> Result<Shown, String> {
        if self.strict {
            return Err("a connection without Notifications Received".to_owned());
        }
        let spool = |name: &str| self.spools.get(name).ok_or(format!("no spool {name}"));
        let (new, deferred, corrupted) = (spool("New")?, spool("Deferred")?, spool("Corrupted")?);
        let mut spooler = Verdict::Ok;
        if corrupted.0 > 0 {
            spooler = Verdict::Warn;
        }
        if let Some(oldest) = deferred.1 {
            spooler = spooler.max(match now - oldest {
                600.. => Verdict::Crit,
                5.. => Verdict::Warn,
                _ => Verdict::Ok,
            });
        }
        if now - updated > 90 {
            spooler = Verdict::Crit;
        }
        let mut connections = BTreeMap::new();
        for (site, lines) in &self.connections {
            connections.insert(site.clone(), connection(lines)?);
        }
        Ok(Shown {
            version,
            spooler,
            connections,
            counts: [new.0, deferred.0, corrupted.0],
            queues: self.queues,
            listening: self.listening.ok_or("no Listening FD")?,
        })
    }
}

fn connection(lines: &BTreeMap<String, String>) -> Result<Connection, String> {
    let get = |key: &str| lines.get(key).ok_or(format!("a connection without {key}"));
    let is_incoming = match get("Type")?.as_str() {
        "incoming" => true,
        "outgoing" => false,
        other => return Err(format!("type {other}")),
    };
    let address = get("Connection")?;
    if !address.contains(':') {
        return Err(format!("no port in {address:?}"));
    }
    let state = get("State")?.clone();
    let verdict = match state.as_str() {
        "established" => Verdict::Ok,
        "initial" => Verdict::Warn,
        "connecting" | "cooldown" => Verdict::Crit,
        other => return Err(format!("state {other:?}")),
    };
    moment(get("Since")?)?;
    if let Some(time) = lines.get("Connect Time") {
        let secs = time.split(' ').next().unwrap_or("");
        secs.parse::<f64>()
            .map_err(|error| format!("{time:?}: {error}"))?;
    }
    Ok(Connection {
        verdict,
        state,
        message: lines.get("Status Message").cloned().unwrap_or_default(),
        is_incoming,
        sent: number(get("Notifications Sent")?)?,
        received: number(get("Notifications Received")?)?,
        socket: documented(lines)?,
    })
}

/// The lines that are documented and that the check does not look at; the
/// descriptor among them.
fn documented(lines: &BTreeMap<String, String>) -> Result<i32, String> {
    let get = |key: &str| lines.get(key).ok_or(format!("a connection without {key}"));
    number::<u64>(get("Pending Acknowledgements")?)?;
    let interval = get("HB. Interval")?.strip_suffix(" sec");
    number::<u64>(interval.ok_or("an interval without sec")?)?;
    for key in ["LastIncomingData", "LastHeartbeat"] {
        moment(get(key)?)?;
    }
    for key in ["InputBuffer", "OutputBuffer"] {
        let bytes = get(key)?.strip_suffix(" Bytes");
        number::<u64>(bytes.ok_or("a buffer without Bytes")?)?;
    }
    number(get("Socket FD")?)
}

/// What is behind the colon.
fn value(line: &str) -> Result<&str, String> {
    let parts = line.split_once(':');
    let (_, value) = parts.ok_or(format!("empty or corrupted: {line:?}"))?;
    Ok(value.trim())
}

/// `1795216800 (2026-11-20 23:20:00)`
fn moment(text: &str) -> Result<i64, String> {
    number(text.split(' ').next().unwrap_or(""))
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String>
where
    T::Err: std::fmt::Display,
{
    text.trim()
        .parse()
        .map_err(|error| format!("{text:?}: {error}"))
}
