//! States survive a restart in one file of text:
//!
//! ```text
//! # livestatusd snapshot 3 1795217983
//! # ids 17
//! # site remote1 newest=0/4711 complete=0/4711 time=… received=… taken=… unknown=… missing=… claimed=… reason=…
//! # shadow
//! (a state dump in its frame)
//! # passive
//! (another one)
//! # comment ID;HOST;SERVICE;ENTRY_TYPE;ENTRY_TIME;PERSISTENT;AUTHOR;COMMENT;EXPIRE_TIME;THERE
//! # downtime ID;HOST;SERVICE;ENTRY_TIME;START_TIME;END_TIME;FIXED;DURATION;BEGAN;AUTHOR;COMMENT;TRIGGERED_BY;COMMENT_ID;HAS_BEGUN;THERE
//! # site …
//! # end 89ab12cd
//! ```
//!
//! `ids` is the highest id that a comment or downtime has had; SERVICE is empty
//! for those of a host, THERE the id that the object's site has given, empty if
//! it was given here. Format 1 had neither ids, comments nor downtimes, format 2
//! not the last fields of these; both are read as well.
//!
//! The last line has the CRC-32C of everything before it. The dumps are in the
//! format of sitewire-dump(5). A file that is not whole is set aside, never
//! taken in part.

#[cfg(test)]
mod hostile;
mod remarks;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use bstr::BString;
use livestatus::dump::{DumpReader, DumpWriter, Item};
use objects::{DumpBegin, DumpContent, DumpMode, SiteId, UnixTime};
use tracing::{error, info, warn};

use crate::annotations::{Annotated, Annotations};
use crate::check::Source;
use crate::owners::Owner;
use crate::store::{DumpCounts, DumpStatus, Saved, Site, Store};

const BEGIN: &str = "# livestatusd snapshot ";
const FORMAT: &str = "3";
/// All that are read.
const FORMATS: [&str; 3] = ["1", "2", FORMAT];
const IDS: &str = "# ids ";
const SITE: &str = "# site ";
const END: &str = "# end ";
/// Longest line: that of a dump, and some more.
const MAX_LINE: u64 = (livestatus::dump::MAX_LINE + 1024) as u64;

/// What a snapshot had for us.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Restored {
    /// States taken back.
    pub(crate) states: u64,
    /// States of objects or sites that there are no more.
    pub(crate) gone: u64,
}

/// Writes the states of all sites. A reader sees the old file or the new one.
pub(crate) fn save(path: &Path, store: &Store, now: UnixTime) -> io::Result<()> {
    program::file::replace(path, 0o600, |out| {
        let mut out = Summed {
            out,
            crc: 0,
            buffer: Vec::new(),
        };
        out.text(&format!("{BEGIN}{FORMAT} {now}\n"))?;
        out.text(&format!("{IDS}{}\n", store.last_id()))?;
        for site in store.sites() {
            save_site(&site, now, &mut out)?;
        }
        out.flush()?;
        let crc = out.crc;
        writeln!(out.out, "{END}{crc:08x}")
    })
}

/// Takes back what the snapshot has for the sites in `store`. A damaged file
/// is renamed and reported.
pub(crate) fn load(path: &Path, store: &Store) -> Restored {
    let result = match File::open(path) {
        Ok(_) => check(path).and_then(|()| take_back(path, store)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Restored::default(),
        Err(error) => Err(error),
    };
    match result {
        Ok(restored) => {
            info!(
                "{}: {} states taken back, {} of objects that are gone",
                path.display(),
                restored.states,
                restored.gone
            );
            restored
        }
        Err(cause) => {
            set_aside(path, &cause);
            Restored::default()
        }
    }
}

fn set_aside(path: &Path, cause: &io::Error) {
    let mut name = path.as_os_str().to_owned();
    name.push(".damaged");
    let aside = PathBuf::from(name);
    match std::fs::rename(path, &aside) {
        Ok(()) => error!(
            "{} is damaged: {cause}; it was set aside as {}, all objects begin as pending",
            path.display(),
            aside.display()
        ),
        Err(error) => error!(
            "{} is damaged: {cause}; it cannot be set aside: {error}",
            path.display()
        ),
    }
}

/// Adds up the checksum of what passes.
struct Summed<'w> {
    out: &'w mut dyn Write,
    crc: u32,
    buffer: Vec<u8>,
}

impl Summed<'_> {
    fn text(&mut self, text: &str) -> io::Result<()> {
        self.buffer.extend_from_slice(text.as_bytes());
        self.flush()
    }

    fn flush_if_large(&mut self) -> io::Result<()> {
        if self.buffer.len() < 1 << 16 {
            Ok(())
        } else {
            self.flush()
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.crc = crc32c::crc32c_append(self.crc, &self.buffer);
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

fn save_site(site: &Site, now: UnixTime, out: &mut Summed<'_>) -> io::Result<()> {
    let mut dumps = site.status().dumps.clone();
    if site.is_receiving() {
        dumps.completeness = Err("livestatusd ended while it received a dump".to_owned());
    }
    out.text(&print_status(&site.id, &dumps))?;
    for source in [Source::Shadow, Source::Passive] {
        out.text(&format!("# {}\n", word(source)))?;
        let begin = DumpBegin {
            site: site.id.clone(),
            content: DumpContent::State,
            epoch: 0,
            sequence: now.micros().max(0) as u64,
            mode: DumpMode::Full,
            time: now,
            config_hash: None,
        };
        let mut writer = DumpWriter::begin(&begin, &mut out.buffer);
        save_states(site, source, &mut writer, out)?;
        writer.end(&mut out.buffer);
        out.flush()?;
    }
    save_annotations(site, out)
}

fn save_annotations(site: &Site, out: &mut Summed<'_>) -> io::Result<()> {
    for host in &site.objects().hosts {
        let states = host.states();
        let mut save = |service: Option<&BString>, annotations: &Annotations| {
            let (host, buffer) = (&host.name, &mut out.buffer);
            for comment in &annotations.comments {
                remarks::print_comment(host, service, comment, buffer);
            }
            for downtime in &annotations.downtimes {
                remarks::print_downtime(host, service, downtime, buffer);
            }
        };
        save(None, states.host.annotations());
        for (service, state) in host.services.iter().zip(&states.services) {
            save(Some(&service.description), state.annotations());
        }
        drop(states);
        out.flush_if_large()?;
    }
    for saved in site.parked().iter() {
        let service = |owner: &Owner| owner.service_description.clone();
        match saved {
            Saved::State(..) => {}
            Saved::Comment(owner, comment) => remarks::print_comment(
                &owner.host_name,
                service(owner).as_ref(),
                comment,
                &mut out.buffer,
            ),
            Saved::Downtime(owner, downtime) => remarks::print_downtime(
                &owner.host_name,
                service(owner).as_ref(),
                downtime,
                &mut out.buffer,
            ),
        }
    }
    out.flush()
}

fn save_states(
    site: &Site,
    source: Source,
    writer: &mut DumpWriter,
    out: &mut Summed<'_>,
) -> io::Result<()> {
    let mut too_long = 0;
    for host in &site.objects().hosts {
        let states = host.states();
        if states.host.now.has_been_checked && states.host.source == source {
            let result = writer.host(&host.name, &states.host.now, &mut out.buffer);
            too_long += u64::from(result.is_err());
        }
        for (service, state) in host.services.iter().zip(&states.services) {
            if state.now.has_been_checked && state.source == source {
                let result = writer.service(
                    &host.name,
                    &service.description,
                    &state.now,
                    &mut out.buffer,
                );
                too_long += u64::from(result.is_err());
            }
        }
        drop(states);
        out.flush_if_large()?;
    }
    for saved in site.parked().iter() {
        let record = match saved {
            Saved::State(parked, record) if *parked == source => record,
            _ => continue,
        };
        let result = writer.record(record, &mut out.buffer);
        too_long += u64::from(result.is_err());
        out.flush_if_large()?;
    }
    if too_long > 0 {
        warn!(site = %site.id, "{too_long} states are too long for the snapshot");
    }
    Ok(())
}

fn word(source: Source) -> &'static str {
    match source {
        Source::Shadow => "shadow",
        Source::Passive => "passive",
    }
}

fn print_status(site: &SiteId, dumps: &DumpStatus) -> String {
    let mut line = format!("{SITE}{site}");
    for (key, version) in [("newest", dumps.newest), ("complete", dumps.last_complete)] {
        if let Some((epoch, sequence)) = version {
            let _ = write!(line, " {key}={epoch}/{sequence}");
        }
    }
    let DumpCounts {
        taken,
        unknown,
        refused,
        missing,
    } = dumps.counts;
    let _ = write!(
        line,
        " time={} received={} taken={taken} unknown={unknown} refused={refused} missing={missing}",
        dumps.time, dumps.received_at
    );
    if let Some(claimed) = &dumps.claimed_site {
        let _ = write!(line, " claimed={claimed}");
    }
    if let Err(reason) = &dumps.completeness {
        // Takes the rest of the line; reasons are made here and have no line feeds.
        let _ = write!(line, " reason={}", reason.replace('\n', " "));
    }
    line.push('\n');
    line
}

fn parse_status(line: &str) -> Option<(SiteId, DumpStatus)> {
    let line = line.strip_prefix(SITE)?;
    let (line, completeness) = match line.split_once(" reason=") {
        Some((line, reason)) => (line, Err(reason.to_owned())),
        None => (line, Ok(())),
    };
    let mut words = line.split(' ');
    let site = SiteId::new(words.next()?).ok()?;
    let values: BTreeMap<&str, &str> = words.filter_map(|word| word.split_once('=')).collect();
    let version = |key: &str| -> Option<(u64, u64)> {
        let (epoch, sequence) = values.get(key)?.split_once('/')?;
        Some((epoch.parse().ok()?, sequence.parse().ok()?))
    };
    let time = |key: &str| UnixTime::parse(values.get(key)?.as_bytes());
    let number = |key: &str| values.get(key)?.parse().ok();
    let status = DumpStatus {
        newest: version("newest"),
        last_complete: version("complete"),
        time: time("time")?,
        received_at: time("received")?,
        completeness,
        counts: DumpCounts {
            taken: number("taken")?,
            unknown: number("unknown")?,
            refused: number("refused")?,
            missing: number("missing")?,
        },
        claimed_site: values
            .get("claimed")
            .and_then(|site| SiteId::new(site).ok()),
    };
    Some((site, status))
}

fn damaged(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// Gives every line, with its line feed, to `visit`.
fn for_each_line(path: &Path, mut visit: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut file = BufReader::with_capacity(1 << 16, File::open(path)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = io::Read::take(&mut file, MAX_LINE).read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok(());
        }
        if line.last() != Some(&b'\n') {
            return Err(damaged("it ends in the middle of a line"));
        }
        visit(&line)?;
    }
}

/// Whether the file is whole and of a format that we read.
fn check(path: &Path) -> io::Result<()> {
    let mut crc = 0;
    let mut first = true;
    let mut end = None;
    for_each_line(path, |line| {
        if std::mem::take(&mut first) {
            let text = String::from_utf8_lossy(line);
            let Some(rest) = text.strip_prefix(BEGIN) else {
                return Err(damaged("it is not a snapshot"));
            };
            let format = rest.split_ascii_whitespace().next().unwrap_or_default();
            if !FORMATS.contains(&format) {
                return Err(damaged(format!(
                    "it has format {format:?}, this release reads up to {FORMAT}"
                )));
            }
        }
        if end.is_some() {
            return Err(damaged("something follows its end mark"));
        }
        if let Some(sum) = line.strip_prefix(END.as_bytes()) {
            end = Some(String::from_utf8_lossy(sum.trim_ascii_end()).into_owned());
        } else {
            crc = crc32c::crc32c_append(crc, line);
        }
        Ok(())
    })?;
    match end {
        None => Err(damaged("its end mark is missing")),
        Some(sum) if sum != format!("{crc:08x}") => Err(damaged("its checksum differs")),
        Some(_) => Ok(()),
    }
}

fn take_back(path: &Path, store: &Store) -> io::Result<Restored> {
    let mut restored = Restored::default();
    let mut site = None;
    let mut source = Source::Shadow;
    let mut reader = DumpReader::new();
    for_each_line(path, |line| {
        if line.starts_with(SITE.as_bytes()) {
            let text = String::from_utf8_lossy(line.trim_ascii_end());
            let (id, status) =
                parse_status(&text).ok_or_else(|| damaged(format!("it has a bad line: {text}")))?;
            site = store.site(&id);
            if let Some(site) = &site {
                site.status().dumps = status;
            }
        } else if line == b"# shadow\n" {
            source = Source::Shadow;
        } else if line == b"# passive\n" {
            source = Source::Passive;
        } else if let Some(last) = line.strip_prefix(IDS.as_bytes()) {
            let last = String::from_utf8_lossy(last);
            let last = last.trim().parse();
            store.skip_ids(last.map_err(|_| damaged("it has no number of ids"))?);
        } else if let Some(saved) = remarks::parse(line) {
            let saved = saved.ok_or_else(|| damaged("it has a bad comment or downtime"))?;
            take_saved(saved, site.as_deref(), &mut restored);
        } else if !line.starts_with(b"#") {
            reader.push(line);
            while let Some(item) = reader.poll_item() {
                take_item(item, source, site.as_deref(), &mut restored)?;
            }
        }
        Ok(())
    })?;
    Ok(restored)
}

fn take_item(
    item: Item,
    source: Source,
    site: Option<&Site>,
    restored: &mut Restored,
) -> io::Result<()> {
    match (item, site) {
        (Item::Record(record), site) => {
            take_saved(Saved::State(source, *record), site, restored);
        }
        (Item::Refused(error), _) => return Err(damaged(error.to_string())),
        (Item::End(Err(incomplete)), _) => return Err(damaged(incomplete.to_string())),
        (Item::Begin(_) | Item::End(Ok(_)), _) => {}
    }
    Ok(())
}

fn take_saved(saved: Saved, site: Option<&Site>, restored: &mut Restored) {
    let known = match site {
        Some(site) if !site.status().config_error.is_empty() => {
            site.parked().push(saved);
            true
        }
        Some(site) => site.restore(saved),
        None => false,
    };
    *(if known {
        &mut restored.states
    } else {
        &mut restored.gone
    }) += 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_about_dumps_survives() {
        let site = SiteId::new("remote1").unwrap();
        for dumps in [
            DumpStatus::default(),
            DumpStatus {
                newest: Some((1, 4711)),
                last_complete: Some((1, 4710)),
                time: UnixTime::from_micros(1_795_217_983_500_000),
                received_at: UnixTime::from_secs(1_795_217_990),
                completeness: Ok(()),
                counts: DumpCounts {
                    taken: 7,
                    unknown: 1,
                    refused: 0,
                    missing: 2,
                },
                claimed_site: Some(SiteId::new("other").unwrap()),
            },
        ] {
            let line = print_status(&site, &dumps);
            assert_eq!(
                parse_status(line.trim_end()),
                Some((site.clone(), dumps)),
                "{line}"
            );
        }
        for bad in [
            "",
            "# site",
            "# site a b",
            "# site -a time=0",
            "# site a time=x received=0",
        ] {
            assert_eq!(parse_status(bad), None, "{bad}");
        }
    }
}
