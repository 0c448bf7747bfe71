//! Any bytes as a notification from a peer or out of the drop box: no panic, and
//! a hop changes its path and nothing else.

#![no_main]

use libfuzzer_sys::fuzz_target;
use objects::notification::to_utf8;
use objects::{Envelope, SiteId};

fuzz_target!(|bytes: &[u8]| {
    let text = to_utf8(bytes);
    let Ok(envelope) = Envelope::parse(&text) else {
        return;
    };
    let own = SiteId::new("own").expect("a site id");
    let Ok(stored) = envelope.append_hop(&own) else {
        return;
    };
    // Only the limit of its length may be in the way.
    let Ok(again) = Envelope::parse(&stored) else {
        assert!(stored.len() > objects::notification::MAX_BODY);
        return;
    };
    assert_eq!(again.id, envelope.id);
    assert_eq!(again.kind, envelope.kind);
    assert_eq!(again.path.last(), Some(&own));
    assert_eq!(again.path.len(), envelope.path.len() + 1);
    match (again.context(), envelope.context()) {
        (Ok(again), Ok(before)) => assert_eq!(again, before),
        (Err(_), Err(_)) => {}
        other => panic!("{other:?}"),
    }
});
