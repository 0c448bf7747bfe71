//! Whatever is read as a query is read again from what is printed of it.

use livestatus::{Query, Request, RequestReader};
use proptest::prelude::*;

fn read(bytes: &[u8]) -> Option<Query> {
    let mut reader = RequestReader::new(Default::default());
    reader.push(bytes);
    match reader.poll_request()? {
        Ok(Request::Query(query)) => Some(query),
        _ => None,
    }
}

/// A header, mostly of a kind that fits those before it.
fn header() -> impl Strategy<Value = String> {
    const FILTERS: [&str; 3] = ["Filter", "Stats", "WaitCondition"];
    const OPERATORS: [&str; 11] = [
        "=", "!=", "~", "!~~", "=~", "!=~", "<", "!<", ">=", "!<=", ">",
    ];
    let value = prop_oneof![
        Just(String::new()),
        "[a-z;|' ]{0,8}",
        "[äЖ\u{1f600}(){}]{1,3}",
    ];
    let compare = (
        prop::sample::select(&FILTERS),
        "[a-z_]{1,6}",
        prop::sample::select(&OPERATORS),
        value,
    )
        .prop_map(|(header, column, operator, value)| {
            format!("{header}: {column} {operator} {value}")
        });
    let prefix = || prop::sample::select(&["", "Stats", "WaitCondition"]);
    let combine = (prefix(), prop::sample::select(&["And", "Or"]), 0..4_u8)
        .prop_map(|(prefix, how, count)| format!("{prefix}{how}: {count}"));
    let negate = prefix().prop_map(|prefix| format!("{prefix}Negate:"));
    let aggregate = (
        prop::sample::select(&["sum", "min", "max", "avg", "std", "suminv", "avginv"]),
        "[a-z_]{1,6}",
    )
        .prop_map(|(word, column)| format!("Stats: {word} {column}"));
    let sort = (
        "[a-z]{1,4}",
        prop::sample::select(&["", " SITE", " asc", " desc", " SITE desc", " asc asc"]),
    )
        .prop_map(|(column, rest)| format!("Sort: {column}{rest}"));
    let count = (
        prop::sample::select(&["Limit", "Offset", "Timelimit", "Localtime", "WaitTimeout"]),
        any::<u64>(),
    )
        .prop_map(|(header, count)| format!("{header}: {count}"));
    let fixed = prop::sample::select(&[
        "Columns: name state",
        "Columns:",
        "StatsGroupBy: site",
        "OrderBy: labels.os desc",
        "ColumnHeaders: on",
        "ColumnHeaders: off",
        "OutputFormat: csv",
        "OutputFormat: CSV",
        "OutputFormat: json",
        "OutputFormat: wrapped_json",
        "OutputFormat: python",
        "OutputFormat: python3",
        "Separators: 0 1 2 3",
        "ResponseHeader: fixed16",
        "KeepAlive: on",
        "AuthUser: bob",
        "WaitObject: db1;Disk /",
        "WaitTrigger: all",
        "WaitTrigger: program",
    ])
    .prop_map(str::to_owned);
    prop_oneof![6 => compare, 3 => combine, 1 => negate, 2 => aggregate, 1 => sort, 1 => count, 4 => fixed]
}

proptest! {
    #[test]
    fn a_printed_query_is_read_as_the_same(headers in prop::collection::vec(header(), 0..20)) {
        // Those that do not fit the ones before are left out, so that something is left.
        let mut text = "GET services\n".to_owned();
        for header in headers {
            let longer = format!("{text}{header}\n");
            if read(format!("{longer}\n").as_bytes()).is_some() {
                text = longer;
            }
        }
        text.push('\n');
        let query = read(text.as_bytes()).expect("made of headers that fit");
        let printed = query.print().expect("what was read can be printed");
        prop_assert_eq!(read(&printed), Some(query));
    }
}
