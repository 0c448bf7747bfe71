//! Documents as openITCOCKPIT's agent makes them, with invented values, on every
//! system that it runs on: what is read of them is printed as it was.

use agent::Document;
use agent::document::Inventory;
use serde_json::Value;

#[test]
fn a_document_that_was_read_is_printed_as_it_was() {
    for name in ["linux", "windows", "darwin"] {
        let path = format!(
            "{}/tests/samples/agent-{name}.json",
            env!("CARGO_MANIFEST_DIR")
        );
        let text = std::fs::read(&path).unwrap();
        let printed = Document::parse(&text).unwrap().print().unwrap();
        let (before, after) = (value(&text), value(&printed));
        assert_same(name, &before, &after);
    }
}

#[test]
fn an_inventory_that_was_read_is_printed_as_it_was() {
    let text = include_bytes!("samples/packages-linux.json");
    let inventory: Inventory = serde_json::from_slice(text).unwrap();
    let printed = serde_json::to_vec(&inventory).unwrap();
    assert_same("packages", &value(text), &value(&printed));
}

fn value(text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap()
}

/// All that was there is there; numbers are the same however they are written.
fn assert_same(path: &str, before: &Value, after: &Value) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (key, value) in before {
                let there = after.get(key).unwrap_or(&Value::Null);
                assert_same(&format!("{path}.{key}"), value, there);
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            assert_eq!(before.len(), after.len(), "{path}");
            for (number, (before, after)) in before.iter().zip(after).enumerate() {
                assert_same(&format!("{path}.{number}"), before, after);
            }
        }
        (Value::Number(before), Value::Number(after)) => {
            assert_eq!(before.as_f64(), after.as_f64(), "{path}");
        }
        _ => assert_eq!(before, after, "{path}"),
    }
}
