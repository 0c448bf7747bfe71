//! Any filter on any value: no panic, and the negated operator gives the
//! opposite.

#![no_main]

use std::collections::BTreeMap;

use bstr::{BString, ByteSlice};
use libfuzzer_sys::fuzz_target;
use livestatus::{ColumnType, Filter, Operator, Value};

const OPERATORS: [&str; 8] = ["=", "~", "=~", "~~", "<", ">", "<=", ">="];
const KINDS: [ColumnType; 6] = [
    ColumnType::Int,
    ColumnType::Float,
    ColumnType::Text,
    ColumnType::List,
    ColumnType::Dict,
    ColumnType::Time,
];

fuzz_target!(|bytes: &[u8]| {
    let [operator, kind, rest @ ..] = bytes else {
        return;
    };
    let word = OPERATORS[usize::from(*operator) % OPERATORS.len()];
    let kind = KINDS[usize::from(*kind) % KINDS.len()];
    let (wanted, text) = rest.split_once_str("\n").unwrap_or((rest, b""));
    let names: Vec<BString> = text.split_str(",").map(BString::from).collect();
    let entries: BTreeMap<BString, BString> = names
        .iter()
        .filter_map(|name| name.split_once_str("|"))
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    let values = [
        Value::Null,
        Value::Int(text.len() as i64 - 8),
        Value::Float(text.len() as f64 / 3.0),
        Value::text(text),
        Value::Names(&names),
        Value::List(vec![Value::List(
            names.iter().map(|n| Value::text(n)).collect(),
        )]),
        Value::Dict(&entries),
    ];
    let compile = |word: &str| {
        Filter::Compare {
            column: "x".to_owned(),
            operator: Operator::parse(word.as_bytes()).expect("one of the sixteen"),
            value: wanted.into(),
        }
        .compile(&mut |_| Some(((), kind)))
    };
    let (Ok(plain), Ok(negated)) = (compile(word), compile(&format!("!{word}"))) else {
        return;
    };
    for value in values {
        let holds = plain.matches(&mut |()| value.clone());
        assert_ne!(holds, negated.matches(&mut |()| value.clone()));
    }
});
