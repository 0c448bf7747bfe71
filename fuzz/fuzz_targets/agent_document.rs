//! Any bytes as an agent's document: no panic from reading it to the commands
//! that submit its results, and every result is one command of one line.

#![no_main]

use agent::{Document, Evaluator, Rules};
use bstr::ByteSlice;
use libfuzzer_sys::fuzz_target;
use livestatus::Command;
use objects::UnixTime;

fuzz_target!(|bytes: &[u8]| {
    let Ok(document) = Document::parse(bytes) else {
        return;
    };
    let printed = document.print().expect("a document can be printed");
    Document::parse(&printed).expect("what we print we read");
    let now = document.last_updated().unwrap_or(UnixTime::from_secs(1));
    let rules = Rules::new(vec!["*=1:2,@3".parse().expect("a rule")]);
    let evaluator = Evaluator::new(&document, "h", now, &rules);
    let found = agent::discover(&document).services;
    for description in evaluator.descriptions().chain(found.keys()) {
        let result = evaluator
            .service(description.as_bstr())
            .expect("what is in the document has a result");
        assert!(result.return_code <= 3);
        assert!(!result.plugin_output.contains(&b'\n'));
        let Ok(command) = Command::from_check_result(&result) else {
            assert!(!found.contains_key(description), "{description}");
            continue;
        };
        let mut text = Vec::new();
        command.print(&mut text);
        assert!(text.ends_with(b"\n\n"));
        assert_eq!(text.lines().count(), 2, "{description}");
    }
    assert!(evaluator.host().return_code <= 1);
});
