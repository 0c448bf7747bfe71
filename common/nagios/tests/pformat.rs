//! What we print is what Python's own `pprint.pformat` prints, character by
//! character, and what Python reads of it is the value that it was.

use std::io::Write;
use std::process::{Command, Stdio};

use nagios::python::{Limits, Value};

/// Reads literals, one a line, and writes each as `pformat` does, behind its
/// length.
const SCRIPT: &str = r"
import ast, pprint, sys
for line in sys.stdin.buffer:
    text = pprint.pformat(ast.literal_eval(line.decode())).encode()
    sys.stdout.buffer.write(b'%d\n%s' % (len(text), text))
";

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn string(&mut self) -> Value {
        const PARTS: [&[u8]; 20] = [
            b"word",
            b" ",
            b"  ",
            b"'",
            b"\"",
            b"\\",
            b"\n",
            b"\r\n",
            b"\t",
            "ä".as_bytes(),
            "\u{2028}".as_bytes(),
            b"\xff",
            "\u{a0}".as_bytes(),
            "😀".as_bytes(),
            b"\x1c",
            "e\u{301}".as_bytes(),
            "\u{200b}".as_bytes(),
            b"/omd/sites/branch7/var/log/a.log",
            b"\x0b",
            "\u{e000}漢字".as_bytes(),
        ];
        let parts = [0, 1, 3, 12, 40][self.below(5) as usize];
        let mut string = Vec::new();
        for _ in 0..parts {
            // Words and blanks more often than the odd ones.
            let part = match self.below(3) {
                0 => self.below(20),
                other => other - 1,
            };
            string.extend_from_slice(PARTS[part as usize]);
        }
        Value::Str(string.into())
    }

    fn value(&mut self, depth: u64) -> Value {
        let kinds = if depth == 0 { 4 } else { 8 };
        let items = |dice: &mut Self| -> Vec<Value> {
            let count = [0, 1, 2, 5, 12][dice.below(5) as usize];
            (0..count).map(|_| dice.value(depth - 1)).collect()
        };
        match self.below(kinds) {
            0 => Value::Int(self.below(2000) as i64 - 1000),
            1 => Value::Bool(true),
            2 | 3 => self.string(),
            4 => Value::List(items(self)),
            5 => Value::Tuple(items(self)),
            _ => {
                let values = items(self);
                let mut entries: Vec<(Value, Value)> = Vec::new();
                for value in values {
                    let key = self.string();
                    if entries.iter().all(|(other, _)| *other != key) {
                        entries.push((key, value));
                    }
                }
                Value::Dict(entries)
            }
        }
    }
}

fn python(values: &[Value]) -> Option<Vec<Vec<u8>>> {
    let mut child = Command::new("python3")
        .args(["-c", SCRIPT])
        .env("PYTHONUTF8", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut input = Vec::new();
    for value in values {
        value.print(&mut input);
        input.push(b'\n');
    }
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    let mut texts = Vec::new();
    let mut rest = &output.stdout[..];
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let length: usize = std::str::from_utf8(&rest[..end]).unwrap().parse().unwrap();
        texts.push(rest[end + 1..][..length].to_vec());
        rest = &rest[end + 1 + length..];
    }
    Some(texts)
}

#[test]
fn the_layout_is_that_of_python() {
    let mut dice = Dice(1);
    let values: Vec<Value> = (0..1500).map(|_| dice.value(3)).collect();
    let Some(texts) = python(&values) else {
        eprintln!("left out: there is no python3");
        return;
    };
    assert_eq!(texts.len(), values.len());
    for (value, text) in values.iter().zip(&texts) {
        let mut printed = Vec::new();
        value.print_pretty(&mut printed);
        assert!(
            printed == *text,
            "ours:\n{}\nPython's:\n{}",
            String::from_utf8_lossy(&printed),
            String::from_utf8_lossy(text)
        );
        let again = Value::parse(&printed, Limits::default()).unwrap();
        let mut reprinted = Vec::new();
        again.print_pretty(&mut reprinted);
        assert!(reprinted == printed);
    }
}
