//! Any bytes as Livestatus answers: no panic, and the split makes no difference.

#![no_main]

use libfuzzer_sys::fuzz_target;
use livestatus::json::Cell;
use livestatus::{Error, Event, ResponseReader};

fn show(cell: Cell<'_>, out: &mut String) {
    out.push_str(&format!(
        "{:?} {:?} {:?};",
        cell.int(),
        cell.float(),
        cell.text()
    ));
    for element in cell.elements() {
        show(element, out);
    }
    for (name, value) in cell.entries() {
        out.push_str(&name.to_string());
        show(value, out);
    }
}

fn read(bytes: &[u8], size: usize) -> Vec<Result<String, Error>> {
    let mut reader = ResponseReader::new(512);
    let mut events = Vec::new();
    let mut chunks = bytes.chunks(size);
    let mut finished = false;
    loop {
        match reader.poll_event() {
            Ok(Event::NeedInput) => match chunks.next() {
                Some(chunk) => reader.push(chunk),
                None if finished => return events,
                None => {
                    reader.finish();
                    finished = true;
                }
            },
            Ok(Event::Row(row)) => {
                let mut text = String::new();
                row.cells().for_each(|cell| show(cell, &mut text));
                events.push(Ok(text));
            }
            Ok(Event::End) => events.push(Ok("end".to_owned())),
            Err(error) => {
                let may_follow = matches!(error, Error::Refused { .. });
                // How much was there when a limit or a fault was found depends
                // on the split; that one was found does not.
                events.push(Err(if may_follow {
                    error
                } else {
                    Error::Truncated { missing: None }
                }));
                if !may_follow {
                    return events;
                }
            }
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((size, rest)) = bytes.split_first() else {
        return;
    };
    let size = usize::from(*size).max(1);
    let body = format!("200 {:11}\n", rest.len());
    for bytes in [rest, &[body.as_bytes(), rest].concat()] {
        assert_eq!(read(bytes, size), read(bytes, 100_000));
    }
});
