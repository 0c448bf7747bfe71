//! What agents push: registrations and submissions, with the document in them.
#![no_main]

#[path = "../../bins/agentpoll/src/push.rs"]
#[allow(dead_code)] // what the program makes of it stands elsewhere
mod push;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(registration) = push::Registration::parse(bytes) {
        assert!(registration.hostname.len() <= bytes.len());
        assert!(!registration.uuid.contains(['/', '.', '\0']));
    }
    if let Ok(submission) = push::Submission::parse(bytes) {
        assert!(push::check_uuid(&submission.uuid).is_ok());
        let _ = agent::Document::parse(submission.checkdata.get().as_bytes());
    }
});
