//! Reads the sites' configuration: a directory per site, in it `*.mk` files.
//! The files of a site are taken all or none.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use bstr::BString;
use nagios::shadow::{self, Limits, ShadowConfiguration};
use objects::{SiteId, UnixTime};

/// The sites that there are, and names that cannot be one.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Sites with their directories, in the order of their names.
    pub(crate) sites: Vec<(SiteId, PathBuf)>,
    /// What is wrong with the other directories.
    pub(crate) problems: Vec<String>,
}

/// The configuration of one site.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// Its hosts with their services, its contacts and groups.
    pub(crate) configuration: ShadowConfiguration,
    /// Its own time: the newest frame's, or the newest file's.
    pub(crate) time: UnixTime,
}

/// Looks for sites in the configuration directory.
pub(crate) fn find_sites(directory: &Path) -> io::Result<Found> {
    let mut found = Found::default();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(b".") || !path.is_dir() {
            continue;
        }
        match name.to_str().map(SiteId::new) {
            Some(Ok(site)) => found.sites.push((site, path)),
            Some(Err(error)) => found.problems.push(format!("{}: {error}", path.display())),
            None => found
                .problems
                .push(format!("{}: the name is not UTF-8", path.display())),
        }
    }
    found.sites.sort();
    Ok(found)
}

/// Reads the files of one site. The error names file and place.
pub(crate) fn read_site(directory: &Path, allow_unmarked: bool) -> Result<Loaded, String> {
    let mut loaded = Loaded::default();
    let mut origin: BTreeMap<BString, PathBuf> = BTreeMap::new();
    for path in files(directory).map_err(|error| format!("{}: {error}", directory.display()))? {
        let (read, time) = read_file(&path, allow_unmarked)?;
        loaded.time = loaded.time.max(time);
        let whole = &mut loaded.configuration;
        whole.definitions.extend(read.definitions);
        for (name, host) in read.hosts {
            if let Some(other) = origin.insert(name.clone(), path.clone()) {
                return Err(format!(
                    "host '{}' is both in {} and in {}",
                    program::log::quote(&name, 100),
                    other.display(),
                    path.display()
                ));
            }
            whole.hosts.insert(name, host);
        }
    }
    Ok(loaded)
}

/// The configuration files in the order of their names.
fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        // A name that begins with a dot is a file that is still being written.
        if name.ends_with(b".mk") && !name.starts_with(b".") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read_file(path: &Path, allow_unmarked: bool) -> Result<(ShadowConfiguration, UnixTime), String> {
    let limits = Limits::default();
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let metadata = std::fs::metadata(path).map_err(|error| failed(&error))?;
    if metadata.len() > limits.bytes as u64 {
        return Err(failed(&format_args!("longer than {} bytes", limits.bytes)));
    }
    let text = std::fs::read(path).map_err(|error| failed(&error))?;
    let shadow =
        shadow::parse(&text, limits).map_err(|error| format!("{}:{error}", path.display()))?;
    match &shadow.begin {
        Some(begin) => {
            let time = begin.time;
            Ok((shadow, time))
        }
        // Contacts and groups are written by hand or by Checkmk, and have no marks. A file that
        // is cut short shows less to a contact, never more.
        None if shadow.hosts.is_empty() && !shadow.definitions.is_empty() => {
            Ok((shadow, UnixTime::NEVER))
        }
        None if allow_unmarked => {
            let time = metadata.modified().map_or(UnixTime::NEVER, UnixTime::from);
            Ok((shadow, time))
        }
        None => Err(failed(
            &"it has no begin and end mark, so it may be cut short; `allow_unmarked` takes such files",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_site_are_taken_all_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write(
            "a.mk",
            "shadow_hosts.update({'h1': {'services': {'cpu': {}}}})\n",
        );
        write("b.mk", "shadow_hosts.update({'h2': {}})\n");
        write(".c.mk", "not yet whole");
        write("README", "not a configuration");
        let loaded = read_site(dir.path(), true).unwrap();
        assert_eq!(
            loaded.configuration.hosts.keys().collect::<Vec<_>>(),
            ["h1", "h2"]
        );
        assert!(!loaded.time.is_never());

        let unmarked = read_site(dir.path(), false).unwrap_err();
        assert!(
            unmarked.contains("a.mk: it has no begin and end mark"),
            "{unmarked}"
        );

        std::fs::remove_file(dir.path().join("a.mk")).unwrap();
        write("b.mk", "contacts.update({'joe': {}})\n");
        let contacts = read_site(dir.path(), false).unwrap();
        assert_eq!(
            contacts.configuration.definitions.contacts.len(),
            1,
            "contacts need no marks"
        );
        write("a.mk", "shadow_hosts.update({'h1': {}})\n");

        write("b.mk", "shadow_hosts.update({'h1': {}})\n");
        let clash = read_site(dir.path(), true).unwrap_err();
        assert!(
            clash.contains("host 'h1' is both in") && clash.contains("b.mk"),
            "{clash}"
        );

        write("b.mk", "shadow_hosts.update({'h2': {");
        let syntax = read_site(dir.path(), true).unwrap_err();
        assert!(syntax.contains("b.mk:1:"), "{syntax}");
    }

    #[test]
    fn sites_are_directories_with_a_proper_name() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b", "a", "no site", ".hidden"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        std::fs::write(dir.path().join("file"), "").unwrap();
        let found = find_sites(dir.path()).unwrap();
        assert_eq!(
            found
                .sites
                .iter()
                .map(|(site, _)| site.as_str())
                .collect::<Vec<_>>(),
            ["a", "b"]
        );
        assert_eq!(found.problems.len(), 1, "{:?}", found.problems);
    }
}
