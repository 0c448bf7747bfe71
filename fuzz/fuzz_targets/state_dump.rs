//! Any bytes as a state dump: no panic, the split makes no difference, and what
//! was taken survives printing and reading.

#![no_main]

use libfuzzer_sys::fuzz_target;
use livestatus::dump::{DumpReader, DumpWriter, Item};
use objects::{DumpBegin, DumpContent, DumpMode, SiteId, UnixTime};

fn read(bytes: &[u8], size: usize) -> Vec<Item> {
    let mut reader = DumpReader::new();
    let mut items = Vec::new();
    for chunk in bytes.chunks(size) {
        reader.push(chunk);
        items.extend(std::iter::from_fn(|| reader.poll_item()));
    }
    reader.finish();
    items.extend(std::iter::from_fn(|| reader.poll_item()));
    assert!(!reader.is_inside_dump());
    items
}

fuzz_target!(|bytes: &[u8]| {
    let Some((size, bytes)) = bytes.split_first() else {
        return;
    };
    let items = read(bytes, usize::MAX);
    assert_eq!(read(bytes, usize::from(*size).max(1)), items);
    let mut begin = DumpBegin {
        site: SiteId::new("fuzz").expect("a site id"),
        content: DumpContent::State,
        epoch: 0,
        sequence: 0,
        mode: DumpMode::Full,
        time: UnixTime::NEVER,
        config_hash: None,
    };
    let mut records = Vec::new();
    for item in items {
        match item {
            Item::Begin(read) => begin = *read,
            Item::Record(record) => records.push(record),
            Item::Refused(_) | Item::End(_) => {}
        }
    }
    let mut printed = Vec::new();
    let mut writer = DumpWriter::begin(&begin, &mut printed);
    for record in &records {
        // Backslashes that were not doubled are now: that may not fit any more.
        let fits = writer.record(record, &mut printed);
        if fits.is_err() {
            return;
        }
    }
    let end = writer.end(&mut printed);
    let mut want = vec![Item::Begin(Box::new(begin))];
    want.extend(records.into_iter().map(Item::Record));
    want.push(Item::End(Ok(end)));
    assert_eq!(read(&printed, usize::MAX), want);
});
