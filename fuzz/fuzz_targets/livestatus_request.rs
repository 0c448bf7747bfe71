//! Any bytes as Livestatus requests: no panic, the split makes no difference, a
//! query that was read is read again from what is printed of it, and it can be
//! applied to any row.

#![no_main]

use libfuzzer_sys::fuzz_target;
use livestatus::filter::Compiler;
use livestatus::request::Limits;
use livestatus::{ColumnType, Filter, Query, Request, RequestError, RequestReader, Value, order};

fn read(bytes: &[u8], size: usize, limits: Limits) -> Vec<Result<Request, RequestError>> {
    let mut reader = RequestReader::new(limits);
    let mut requests = Vec::new();
    for chunk in bytes.chunks(size) {
        reader.push(chunk);
        requests.extend(std::iter::from_fn(|| reader.poll_request()));
    }
    reader.finish();
    requests.extend(std::iter::from_fn(|| reader.poll_request()));
    requests
}

/// Columns of every type; which one a name means is up to the name.
fn resolve(name: &str) -> Option<(usize, ColumnType)> {
    const KINDS: [ColumnType; 6] = [
        ColumnType::Int,
        ColumnType::Float,
        ColumnType::Text,
        ColumnType::List,
        ColumnType::Dict,
        ColumnType::Time,
    ];
    if name.ends_with("perf_data") {
        return Some((2, ColumnType::Text));
    }
    let place = name.len() % 7;
    KINDS.get(place).map(|kind| (place, *kind))
}

/// Filters, counts and sorts one row made of what the query itself contains.
fn apply(query: &Query) {
    let text = query.auth_user.clone().unwrap_or_default();
    let names = [text.clone()];
    let entries = [(text.clone(), text.clone())].into();
    let row = [
        Value::Int(text.len() as i64),
        Value::Float(text.len() as f64 / 3.0),
        Value::text(&text),
        Value::Names(&names),
        Value::Dict(&entries),
        Value::Null,
    ];
    let mut compiler = Compiler::default();
    if let Ok(matcher) = compiler.compile(&query.filters, &mut resolve) {
        let passes = matcher.matches(&mut |place: &usize| row[*place].clone());
        // Equality never rules out what passes.
        let only = Filter::only_values(&query.filters, &|name| {
            resolve(name).is_some_and(|(place, _)| place == 2)
        });
        if let (true, Some(only)) = (passes, only) {
            assert!(only.iter().any(|value| **value == text));
        }
    }
    for stat in &query.stats {
        let Ok(counter) = stat.compile(&mut compiler, &mut resolve) else {
            continue;
        };
        let mut tally = counter.start();
        counter.take(&mut tally, &mut |place| row[*place].clone());
        counter.take(&mut tally, &mut |place| row[*place].clone());
        let mut key = Vec::new();
        order::push_key(&mut key, &tally.value());
        assert!(!key.is_empty());
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((size, bytes)) = bytes.split_first() else {
        return;
    };
    let tight = Limits {
        line: 256,
        request: 2048,
    };
    let requests = read(bytes, usize::MAX, tight);
    assert_eq!(read(bytes, usize::from(*size).max(1), tight), requests);
    for request in requests.into_iter().flatten() {
        match &request {
            Request::Query(query) => {
                apply(query);
                let Ok(printed) = query.print() else { continue };
                let again = read(&printed, usize::MAX, Limits::default());
                assert_eq!(again, [Ok(request)]);
            }
            Request::Command(command) => {
                let mut printed = Vec::new();
                command.command.print(&mut printed);
                let again = read(&printed, usize::MAX, Limits::default());
                let Ok([Ok(Request::Command(again))]) = <[_; 1]>::try_from(again) else {
                    panic!("{printed:?}");
                };
                assert_eq!(again.command, command.command);
                let Some(Ok(result)) = command.command.check_result() else {
                    continue;
                };
                if let Ok(printed) = livestatus::Command::from_check_result(&result) {
                    assert_eq!(printed.check_result(), Some(Ok(result)));
                }
            }
        }
    }
});
