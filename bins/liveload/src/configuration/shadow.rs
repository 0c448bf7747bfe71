//! Configurations for livestatusd: shadow hosts in a `.mk` file, read as data
//! and printed anew.

use bstr::{BString, ByteSlice};
use nagios::shadow::{self, Limits, Printer};
use objects::{DumpBegin, DumpContent, DumpMode, SiteId, UnixTime};

use super::Hosts;
use super::content::Content;

/// Whether the text is Python rather than objects of Nagios.
pub(super) fn is_shadow(text: &[u8]) -> bool {
    let mut lines = text
        .lines()
        .map(|line| line.trim_ascii_start())
        .filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    !lines.next().is_some_and(|line| line.starts_with(b"define"))
        && text.contains_str("shadow_hosts")
}

/// Reads a dump and prints what livestatusd is to have.
pub(super) fn read(text: &[u8], site: &SiteId, prefix: &str) -> Result<Content, String> {
    let read = shadow::parse(text, Limits::default()).map_err(|error| error.to_string())?;
    if !prefix.is_empty() {
        let what = " livestatusd keeps sites apart by itself: --prefix is for other cores";
        return Err(what.to_owned());
    }
    let failed = |error: std::io::Error| format!(" cannot be printed: {error}");
    let mut bytes = Vec::new();
    let mut hosts = Hosts::new();
    let mut services = 0;
    let mut printer = Printer::new(&mut bytes, &begin(site)).map_err(failed)?;
    for (name, host) in read.hosts {
        printer.host(name.as_bstr(), &host).map_err(failed)?;
        services += host.services.len() as u64;
        hosts.insert(name);
    }
    // livestatusd keeps each site's contacts and groups apart, as it does its hosts.
    printer.finish_with(&read.definitions).map_err(failed)?;
    Ok(Content {
        file: format!("{site}/sitewire.mk"),
        bytes,
        hosts,
        services,
        keys: Vec::new(),
    })
}

/// The hosts of a file that was printed before.
pub(super) fn hosts(text: &[u8]) -> Hosts {
    let read = shadow::parse(text, Limits::default());
    read.map(|read| {
        read.hosts
            .into_keys()
            .collect::<std::collections::BTreeSet<BString>>()
    })
    .unwrap_or_default()
}

/// A mark without a time: equal configurations are equal files. When the dump
/// came is in the ledger.
fn begin(site: &SiteId) -> DumpBegin {
    DumpBegin {
        site: site.clone(),
        content: DumpContent::Configuration,
        epoch: 0,
        sequence: 0,
        mode: DumpMode::Full,
        time: UnixTime::NEVER,
        config_hash: None,
    }
}
