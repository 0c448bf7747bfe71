//! What a site's file in the configuration directory says or is to say.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use bstr::{BStr, BString, ByteSlice};
use objects::SiteId;
use program::{Failure, Status};

use super::{Hosts, objects as nagios_objects, shadow};

/// A kind of object and a name: what may be there only once in a core.
pub(super) type Key = (&'static str, BString);

/// A site's configuration as it lies in its file.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Content {
    /// The file's name below the directory.
    pub(super) file: String,
    /// What is in it.
    pub(super) bytes: Vec<u8>,
    /// Its hosts.
    pub(super) hosts: Hosts,
    /// How many services they have.
    pub(super) services: u64,
    /// Everything in it that no other file may have, where all files are one
    /// configuration.
    pub(super) keys: Vec<Key>,
}

impl Content {
    /// What is in the file now; nothing if there is none.
    pub(super) fn present(directory: &Path, file: &str) -> Result<Self, Failure> {
        let path = directory.join(file);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                let what = path.display().to_string();
                return Err(Failure::caused(Status::Failed, what, error));
            }
        };
        let hosts = match file.ends_with(".mk") {
            true => shadow::hosts(&bytes),
            false => nagios_objects::hosts(&bytes),
        };
        Ok(Self {
            file: file.to_owned(),
            bytes,
            hosts,
            ..Self::default()
        })
    }

    /// Whether other files of the directory have objects of the same name, of
    /// which a core would refuse the whole configuration.
    pub(super) fn check_clashes(&self, directory: &Path, site: &SiteId) -> Result<(), String> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let own: BTreeMap<(&str, &BStr), ()> = self
            .keys
            .iter()
            .map(|(kind, name)| ((*kind, name.as_bstr()), ()))
            .collect();
        let unreadable = |error: io::Error| format!("{}: {error}", directory.display());
        let mut files: Vec<_> = fs::read_dir(directory)
            .and_then(Iterator::collect::<io::Result<_>>)
            .map_err(unreadable)?;
        files.sort_by_key(fs::DirEntry::file_name);
        for entry in files {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == self.file || name.starts_with('.') || !name.ends_with(".cfg") {
                continue;
            }
            let bytes = fs::read(entry.path()).map_err(unreadable)?;
            let clash = nagios_objects::keys(&bytes)
                .into_iter()
                .find(|(kind, name)| own.contains_key(&(*kind, name.as_bstr())));
            if let Some((kind, object)) = clash {
                let other = match nagios_objects::site_of(&name) {
                    Some(other) => format!("site {other}"),
                    None => format!("the file {name}"),
                };
                return Err(format!(
                    "{kind} {:?}: site {site} and {other} both have it: a prefix would keep them apart",
                    object.as_bstr()
                ));
            }
        }
        Ok(())
    }
}
