//! Names of users by their numbers, from `/etc/passwd`.

use std::collections::HashMap;
use std::fs;
use std::time::SystemTime;

use super::root::{Root, lines, parse, text};

/// The names, read again when the file has changed. Users that only a directory
/// on the network knows have no name here.
pub(crate) struct Names {
    root: Root,
    read: Option<SystemTime>,
    names: HashMap<u32, String>,
}

impl Names {
    pub(crate) fn new(root: Root) -> Self {
        Self {
            root,
            read: None,
            names: HashMap::new(),
        }
    }

    pub(crate) fn refresh(&mut self) {
        let modified = fs::metadata(self.root.path("etc/passwd"))
            .and_then(|metadata| metadata.modified())
            .ok();
        if modified == self.read && modified.is_some() {
            return;
        }
        self.read = modified;
        let mut buffer = Vec::new();
        let passwd = self.root.read("etc/passwd", &mut buffer).unwrap_or(b"");
        self.names.clear();
        for (uid, name) in lines(passwd).filter_map(entry) {
            // Of two names for one number the first counts.
            self.names.entry(uid).or_insert(name);
        }
    }

    /// The name, or the number in digits as `ps` shows it.
    pub(crate) fn user(&self, uid: u32) -> String {
        self.names
            .get(&uid)
            .cloned()
            .unwrap_or_else(|| uid.to_string())
    }
}

/// `NAME:PASSWORD:UID:…`
fn entry(line: &[u8]) -> Option<(u32, String)> {
    let mut fields = line.split(|byte| *byte == b':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    Some((parse(fields.nth(1)?)?, text(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_counts_and_the_unknown_is_a_number() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("etc")).unwrap();
        let passwd = "root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/:\n+\n::5:\nanna:x:1000:1000::/:\n";
        fs::write(directory.path().join("etc/passwd"), passwd).unwrap();
        let mut names = Names::new(Root::at(directory.path()));
        names.refresh();
        assert_eq!(names.user(0), "root");
        assert_eq!(names.user(1000), "anna");
        assert_eq!(names.user(5), "5");
    }
}
