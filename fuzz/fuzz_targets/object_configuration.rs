//! Any bytes as object configuration: no panic, and what was taken survives
//! printing and reading.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nagios::object::{Definition, definitions, print};

/// Whether it is made of what the format can carry: words, and no controls.
fn is_plain(definition: &Definition) -> bool {
    let word = |text: &[u8]| text.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let value = |text: &[u8]| !text.iter().any(|b| matches!(b, b'\r' | 0));
    word(&definition.kind)
        && definition
            .directives
            .iter()
            .all(|directive| word(&directive.key) && value(&directive.value))
}

fuzz_target!(|bytes: &[u8]| {
    for definition in definitions(bytes).map_while(Result::ok).filter(is_plain) {
        let with_value = |definition: &Definition| -> Vec<_> {
            let pairs = definition
                .directives
                .iter()
                .map(|d| (d.key.clone(), d.value.clone()));
            pairs.filter(|(_, value)| !value.is_empty()).collect()
        };
        let meant = with_value(&definition);
        let mut printed = Vec::new();
        let directives = meant.iter().map(|(key, value)| (&key[..], &value[..]));
        print(&definition.kind.to_string(), directives, &mut printed);
        let read: Vec<_> = definitions(&printed)
            .map(|read| read.expect("ours"))
            .collect();
        assert_eq!(read.len(), 1);
        assert_eq!(with_value(&read[0]), meant);
    }
});
