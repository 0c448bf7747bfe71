//! What hosts and services are called at the centre.
//!
//! A core refuses its whole configuration for one character that it does not
//! take in names, and drops a result whose names are not those of the
//! configuration. So names are changed in the same way in both, and two that
//! became the same are told.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use bstr::{BStr, BString, ByteSlice};
use program::{Failure, Status, log};

/// Most clashes that are listed.
const MAX_LISTED: usize = 20;

/// How names are changed, and which there were.
#[derive(Debug)]
pub(crate) struct Names {
    illegal: Vec<char>,
    prefix: String,
    hasher: RandomState,
    /// All names so far, as numbers: there may be hundreds of thousands.
    seen: HashSet<u64>,
    /// Names that more than one object has.
    clashes: Vec<String>,
    count: usize,
}

impl Names {
    pub(crate) fn new(illegal: &str, prefix: &str) -> Self {
        Self {
            illegal: illegal.chars().collect(),
            prefix: prefix.to_owned(),
            hasher: RandomState::new(),
            seen: HashSet::new(),
            clashes: Vec::new(),
            count: 0,
        }
    }

    /// A host's name at the centre, into `name`.
    pub(crate) fn host(&self, original: &[u8], name: &mut BString) {
        name.clear();
        name.extend_from_slice(self.prefix.as_bytes());
        self.push(original, name);
    }

    /// A service's description, or the name of anything else, into `name`.
    pub(crate) fn other(&self, original: &[u8], name: &mut BString) {
        name.clear();
        self.push(original, name);
    }

    fn push(&self, original: &[u8], name: &mut BString) {
        // The cores take blanks off both ends.
        let original = original.trim_ascii();
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b" -_./:".contains(byte);
        if original.iter().all(plain) {
            name.extend_from_slice(original);
            return;
        }
        for (start, end, c) in original.char_indices() {
            if c.is_control() || c == ',' || self.illegal.contains(&c) {
                name.push(b'_');
            } else {
                name.extend_from_slice(&original[start..end]);
            }
        }
    }

    /// Remembers an object by its name at the centre. False where another has it.
    pub(crate) fn is_new(&mut self, host: &BStr, service: Option<&BStr>) -> bool {
        if self.seen.insert(self.hasher.hash_one((host, service))) {
            return true;
        }
        self.count += 1;
        if self.clashes.len() < MAX_LISTED {
            let mut name = log::quote(host, 100);
            if let Some(service) = service {
                name.push(';');
                name.push_str(&log::quote(service, 100));
            }
            self.clashes.push(name);
        }
        false
    }

    /// Fails if two objects got the same name.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.clashes.is_empty() {
            return Ok(());
        }
        let more = match self.count - self.clashes.len() {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        let what = format!(
            "more than one object would have the same name at the centre: {}{more}",
            self.clashes.join(", ")
        );
        Err(Failure::new(Status::Failed, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_get_what_the_core_takes() {
        let names = Names::new("`~!$%^&*|'\"<>?,()=ß", "r1-");
        for (original, want) in [
            (&b"db-1.example"[..], "db-1.example"),
            (b"  padded ", "padded"),
            (b"Load (1m) = $x", "Load _1m_ _ _x"),
            (b"a\nb\x07", "a_b_"),
            ("Größe".as_bytes(), "Grö_e"),
            ("Umlaut ä".as_bytes(), "Umlaut ä"),
            (b"C:\\", "C:\\"),
        ] {
            let mut name = BString::default();
            names.other(original, &mut name);
            assert_eq!(name, want);
            names.host(original, &mut name);
            assert_eq!(name, format!("r1-{want}"));
        }
        let mut name = BString::default();
        names.other(b"a\xff(", &mut name);
        assert_eq!(name, b"a\xff_".as_bstr());
    }

    #[test]
    fn objects_that_got_the_same_name_are_listed() {
        let mut names = Names::new("", "");
        let (a, b) = (b"a".as_bstr(), b"b".as_bstr());
        assert!(names.is_new(a, None));
        assert!(names.is_new(a, Some(b)));
        assert!(names.is_new(b, Some(a)));
        assert!(names.check().is_ok());
        assert!(!names.is_new(a, Some(b)));
        let failure = names.check().unwrap_err();
        assert!(failure.to_string().ends_with(": a;b"), "{failure}");
    }
}
