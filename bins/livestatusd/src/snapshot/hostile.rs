//! Snapshots that were changed by accident or on purpose, with a checksum that
//! fits: the reader refuses them or takes them, and what it took it can save
//! and take again.

mod sealed;

use std::path::Path;

use bstr::ByteSlice;
use nagios::shadow::{Limits, parse};
use proptest::prelude::*;

use super::*;
use sealed::sealed;

/// Every kind of line, with every separator in the texts.
const WHOLE: &str = "\
# livestatusd snapshot 3 1795217983
# ids 17
# site remote1 newest=0/4711 complete=0/4710 time=1795217900 received=1795217901.5 taken=3 unknown=1 refused=0 missing=2 claimed=other reason=cut off
# shadow
COMMAND [1795217983] SITEWIRE_BEGIN;1;remote1;state;1795217983000000;;0;full;;1795217983

COMMAND [1795217983] UPDATE_SHADOW_HOST_STATE;db1;1;1;1;3;1795217900;1795217000;1795217000;0.1;0.2;0;0;1;2;1;0.5;down\\s gone;more\\nlines;rta=1ms

COMMAND [1795217983] UPDATE_SHADOW_SERVICE_STATE;db1;Disk /;1;2;1;3;1795217900;1795217000;1795217000;0.1;0.2;1;30.5;0;0;0;0.5;full;;/=99%

COMMAND [1795217983] SITEWIRE_END;1795217983000000;2;CRC

# passive
# comment 3;db1;;4;1795217000;1;joe;seen\\s twice;0;
# comment 4;db1;Disk /;1;1795217000;0;eve;why;1895217000;77
# downtime 5;db1;Disk /;1795217000;1795217000;1895217000;1;0;0;joe;new disk;0;4;1;
# end CRC
";

fn store() -> Store {
    let text = b"shadow_hosts.update({'db1': {'services': {'Disk /': {}}}})\n";
    let store = Store::new(None);
    let site = store.site_or_new(&SiteId::new("remote1").unwrap());
    site.configure(parse(text, Limits::default()).unwrap());
    store
}

/// What the store says after it took `text`, `None` where it refused it.
fn taken(file: &Path, text: &[u8]) -> Option<(Restored, Vec<u8>)> {
    std::fs::write(file, text).unwrap();
    let store = store();
    check(file).ok()?;
    let restored = take_back(file, &store).ok()?;
    save(file, &store, UnixTime::from_secs(1_795_218_000)).unwrap();
    Some((restored, std::fs::read(file).unwrap()))
}

fn assert_can_be_taken_again(text: &[u8]) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("snapshot");
    let Some((_, saved)) = taken(&file, text) else {
        return;
    };
    let (_, again) = taken(&file, &saved).expect("what was saved can be taken");
    assert_eq!(again.as_bstr(), saved.as_bstr());
}

#[test]
fn the_whole_one_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("snapshot");
    let (restored, saved) = taken(&file, &sealed(WHOLE.as_bytes())).expect("it is whole");
    assert_eq!(restored, Restored { states: 5, gone: 0 });
    for part in [
        "reason=cut off",
        "down\\s gone",
        "seen\\s twice",
        "new disk",
        "# ids 17",
    ] {
        assert!(saved.contains_str(part), "{part} in {}", saved.as_bstr());
    }
}

proptest! {
    #[test]
    fn a_changed_one_is_refused_or_taken_for_good(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        gap in proptest::option::of((any::<prop::sample::Index>(), 0..40usize)),
    ) {
        let mut text = WHOLE.as_bytes().to_vec();
        for (at, byte) in changes {
            let at = at.index(text.len());
            text[at] = byte;
        }
        if let Some((at, length)) = gap {
            let at = at.index(text.len());
            text.drain(at..text.len().min(at + length));
        }
        assert_can_be_taken_again(&sealed(&text));
        assert_can_be_taken_again(&text);
    }

    #[test]
    fn lines_in_any_order_are_refused_or_taken_for_good(
        order in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let lines: Vec<&str> = WHOLE.split_inclusive('\n').collect();
        let (first, last) = (lines[0], lines[lines.len() - 1]);
        let middle: String = order.iter().map(|at| *at.get(&lines)).collect();
        assert_can_be_taken_again(&sealed(format!("{first}{middle}{last}").as_bytes()));
    }
}
