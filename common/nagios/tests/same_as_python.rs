//! Our reader of literals against Python's own: whatever `ast.literal_eval`
//! takes, we take with the same value, and what it refuses, we refuse, but for
//! the differences listed here.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use bstr::{BString, ByteSlice};
use nagios::python::{Limits, Value};
use nagios::shadow::Printer;
use objects::{DumpBegin, DumpContent, DumpMode, Host, Service, SiteId, UnixTime};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// Gets lines of `TEXT-in-hex OURS-in-hex-or-dash` and answers each with `same`,
/// `only-ours` (Python refuses), `only-python` (we refuse) or `different`.
const JUDGE: &str = r#"
import ast, sys, warnings
warnings.simplefilter("ignore")
def read(hexadecimal):
    try:
        return repr(ast.literal_eval(bytes.fromhex(hexadecimal).decode()))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
for line in sys.stdin:
    text, ours = line.rstrip("\n").split(" ")
    theirs = read(text)
    if ours == "-":
        print("same" if theirs is None else "only-python")
    elif theirs is None:
        print("only-ours")
    else:
        print("same" if theirs == read(ours) else "different")
"#;

/// What we refuse although Python takes it, by our message.
const REFUSED_ON_PURPOSE: &[&str] = &[
    "more than 64 bits",
    "complex numbers",
    "\\N{...} is not read",
    "nested deeper",
    // A tuple without parentheses.
    "expected the end of the text, found `,`",
    // A number in parentheses behind a sign.
    "expected a number, found `(`",
];

#[test]
fn literals_mean_what_they_mean_to_python() {
    let mut texts = Vec::new();
    let mut runner = TestRunner::deterministic();
    let strategy = (literal(), edits());
    for _ in 0..4000 {
        let (text, edits) = strategy.new_tree(&mut runner).unwrap().current();
        texts.push(
            edits
                .iter()
                .fold(text.clone(), |text, edit| edit.apply(&text)),
        );
        texts.push(text);
    }
    let Some(verdicts) = judge(&texts) else {
        println!("skipped: there is no python3 to compare with");
        return;
    };
    let mut taken = 0;
    for (text, verdict) in texts.iter().zip(&verdicts) {
        let ours = Value::parse(text.as_bytes(), Limits::default());
        taken += usize::from(ours.is_ok());
        match verdict.as_str() {
            "same" => {}
            "only-python" => {
                let error = ours.unwrap_err().to_string();
                assert!(
                    REFUSED_ON_PURPOSE.iter().any(|known| error.contains(known)),
                    "Python takes this, we say {error}: {text:?}"
                );
            }
            "only-ours" => assert!(
                taken_on_purpose(text),
                "Python refuses this, we read {ours:?}: {text:?}"
            ),
            // A surrogate that stands for no byte is three bytes to us.
            "different" if text.replace("\\udce4", "").contains("\\ud") => {}
            other => panic!("{other} value {ours:?}: {text:?}"),
        }
    }
    assert_eq!(verdicts.len(), texts.len());
    assert!(
        taken > 2000,
        "only {taken} of the texts are literals: the test is empty"
    );
}

#[test]
fn a_printed_configuration_is_a_program_that_says_the_same() {
    const SAY: &str = r#"
import sys
shadow_hosts = {"old": {}}
exec(sys.stdin.read())
def text(value):
    return value.encode("utf-8", "surrogateescape").hex()
for name, host in shadow_hosts.items():
    print(text(name), text(host.get("alias", "")), *(text(service) for service in host.get("services", {})))
"#;
    let all: BString = (1..=255u8)
        .filter(|b| *b != b'\n')
        .collect::<Vec<_>>()
        .into();
    let service = Service::default();
    let services = [
        ("Disk 'ä' \"€\" \\ 😀".into(), service.clone()),
        (all, service),
    ];
    let host = Host {
        alias: "line\nanother\r\u{2028}".into(),
        services: services.into(),
        ..Host::default()
    };
    let hosts: BTreeMap<BString, Host> =
        [("old".into(), Host::default()), ("x".into(), host)].into();
    let begin = DumpBegin {
        site: SiteId::new("remote1").unwrap(),
        content: DumpContent::Configuration,
        epoch: 0,
        sequence: 1,
        mode: DumpMode::Full,
        time: UnixTime::from_secs(1),
        config_hash: None,
    };
    let mut printed = Vec::new();
    let mut printer = Printer::new(&mut printed, &begin).unwrap();
    let mut want = String::new();
    for (name, host) in &hosts {
        printer.host(name.as_bstr(), host).unwrap();
        let texts = [name, &host.alias].into_iter().chain(host.services.keys());
        let texts: Vec<String> = texts.map(|text| hexadecimal(text)).collect();
        want += &format!("{}\n", texts.join(" "));
    }
    printer.finish().unwrap();
    match python(SAY, printed) {
        Some(said) => assert_eq!(said, want),
        None => println!("skipped: there is no python3 to run it"),
    }
}

/// What we take although Python does not: blanks where it wants none.
fn taken_on_purpose(text: &str) -> bool {
    text.starts_with('\n') || text.trim_end_matches('\n').ends_with('\\')
}

fn judge(texts: &[String]) -> Option<Vec<String>> {
    let lines: String = texts
        .iter()
        .map(|text| {
            let ours =
                Value::parse(text.as_bytes(), Limits::default()).map_or("-".into(), |value| {
                    let mut out = Vec::new();
                    value.print(&mut out);
                    hexadecimal(&out)
                });
            format!("{} {ours}\n", hexadecimal(text.as_bytes()))
        })
        .collect();
    let verdicts = python(JUDGE, lines.into_bytes())?;
    Some(verdicts.lines().map(str::to_owned).collect())
}

/// What a Python program says to `input`; `None` where there is no Python.
fn python(program: &str, input: Vec<u8>) -> Option<String> {
    let mut python = Command::new("python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut stdin = python.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "Python failed");
    writer.join().unwrap().unwrap();
    Some(String::from_utf8(output.stdout).unwrap())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The text of a literal, in all the ways one can write it.
fn literal() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        3 => string(),
        2 => number(),
        1 => prop::sample::select(vec!["None", "True", "False", "()", "[]", "{}", "set()"])
            .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        let item = (inner.clone(), gap()).prop_map(|(item, gap)| format!("{gap}{item}{gap}"));
        let items = prop::collection::vec(item.clone(), 1..5);
        let pairs = prop::collection::vec((string(), item), 1..5);
        let comma = prop::sample::select(vec!["", ",", " ,\n"]);
        prop_oneof![
            (items.clone(), comma.clone()).prop_map(|(i, c)| format!("[{}{c}]", i.join(","))),
            (items.clone(), comma.clone()).prop_map(|(i, c)| format!("({}{c})", i.join(","))),
            (items, comma.clone()).prop_map(|(i, c)| format!("{{{}{c}}}", i.join(","))),
            (pairs, comma).prop_map(|(pairs, comma)| {
                let pairs: Vec<String> = pairs
                    .into_iter()
                    .map(|(key, value)| format!("{key}:{value}"))
                    .collect();
                format!("{{{}{comma}}}", pairs.join(", "))
            }),
            (string(), inner).prop_map(|(a, b)| format!("{a} {b}")),
        ]
    })
}

fn gap() -> impl Strategy<Value = &'static str> + Clone {
    prop::sample::select(vec![
        "",
        "",
        " ",
        "\t",
        "\n",
        "\r\n",
        " # a 'comment'\n",
        "\\\n",
    ])
}

fn string() -> impl Strategy<Value = String> {
    let prefix = prop_oneof![
        20 => prop::sample::select(vec!["", "", "", "u", "r", "R"]),
        2 => prop::sample::select(vec!["b", "B", "rb", "Br"]),
        1 => prop::sample::select(vec!["ur", "f", "bb"]),
    ];
    let quote = prop::sample::select(vec!["'", "\"", "'''", "\"\"\""]);
    let fragment = prop_oneof![
        60 => prop::sample::select(vec![
            "a", "Z", "7", " ", "#", ",", "{", "\t", "\\n", "\\x41", "\\xe4", "\\101", "\\0",
            "\\377", "\\400", "\\q", "\\\\", "\\'", "\\\"", "\\\n",
        ]),
        10 => prop::sample::select(vec![
            "ä", "€", "😀", "\\u20ac", "\\U0001f600", "\\udce4", "'", "\"",
        ]),
        1 => prop::sample::select(vec![
            "\n", "\r\n", "\\x4", "\\u12", "\\U00110000", "\\N{BULLET}",
        ]),
    ];
    let body = prop::collection::vec(fragment, 0..5).prop_map(|body| body.concat());
    (prefix, quote, body).prop_map(|(prefix, quote, body)| format!("{prefix}{quote}{body}{quote}"))
}

fn number() -> impl Strategy<Value = String> {
    let sign = prop::sample::select(vec!["", "", "-", "+", "- "]);
    let good = prop::sample::select(vec![
        "0",
        "00",
        "0_0",
        "1_0",
        "0x1F",
        "0X_f",
        "0o17",
        "0B1_1",
        "1.",
        ".5",
        "1.5e3",
        "1e-7",
        "1E5",
        "09.5",
        "0e0",
        "1_0.0_1",
        "1e999",
        "1.e1",
        "0.1e1_0",
        "9223372036854775807",
    ]);
    let bad = prop::sample::select(vec![
        "01",
        "1__0",
        "_1",
        "1_",
        "0x",
        "0b102",
        "0o8",
        "1e",
        "1e+",
        "1_.0",
        "0xe+1",
        "1.2.3",
        "1._0",
        "9223372036854775808",
        "123456789012345678901234567890",
    ]);
    let random = prop_oneof![
        8 => any::<i64>().prop_map(|n| n.unsigned_abs().to_string()),
        8 => any::<f64>().prop_filter("NaN has no literal", |n| !n.is_nan()).prop_map(|n| {
            if n.is_infinite() { "1e999".to_owned() } else { format!("{:?}", n.abs()) }
        }),
        16 => good.prop_map(str::to_owned),
        1 => bad.prop_map(str::to_owned),
    ];
    (sign, random).prop_map(|(sign, number)| format!("{sign}{number}"))
}

/// A change at a place given in thousandths of the text.
#[derive(Debug, Clone)]
enum Edit {
    Remove(usize),
    Insert(usize, &'static str),
    Cut(usize),
}

impl Edit {
    fn apply(&self, text: &str) -> String {
        let mut chars: Vec<char> = text.chars().collect();
        let place = |thousandth: usize| thousandth * chars.len() / 1000;
        match *self {
            Self::Remove(at) if !chars.is_empty() => {
                let at = place(at).min(chars.len() - 1);
                chars.remove(at);
            }
            Self::Remove(_) => {}
            Self::Insert(at, what) => {
                let at = place(at);
                chars.splice(at..at, what.chars());
            }
            Self::Cut(at) => chars.truncate(place(at)),
        }
        chars.into_iter().collect()
    }
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let inserted = prop::sample::select(vec![
        "'", "\"", "\\", ",", ":", "(", ")", "[", "]", "{", "}", "#", "\n", " ", "-", ".", "_",
        "0", "b", "e", "x",
    ]);
    let edit = prop_oneof![
        (0..1000usize).prop_map(Edit::Remove),
        (0..1000usize, inserted).prop_map(|(at, what)| Edit::Insert(at, what)),
        (0..1000usize).prop_map(Edit::Cut),
    ];
    prop::collection::vec(edit, 1..3)
}
