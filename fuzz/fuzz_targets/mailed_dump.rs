//! Mails with a dump in them, and the first lines of dumps: what liveload reads of
//! a stranger before it knows who that is.

#![no_main]

use bstr::ByteSlice;
use libfuzzer_sys::fuzz_target;

#[path = "../../bins/liveload/src/mail.rs"]
mod mail;
#[path = "../../bins/liveload/src/mark.rs"]
mod mark;

fuzz_target!(|data: &[u8]| {
    let dump = mail::dump("mail", data).unwrap_or_else(|_| data.to_vec());
    // An encoding makes bytes longer, never shorter; a line end may be added.
    assert!(dump.len() <= data.len() + 1);
    let line = dump.lines().next().unwrap_or_default();
    let line = &line[..line.len().min(mark::MAX_LINE as usize)];
    if let Some(mark) = mark::Mark::parse(line) {
        assert!(line.contains_str(mark.site.as_str()));
        assert_eq!(mark::Mark::parse(line), Some(mark));
    }
});
