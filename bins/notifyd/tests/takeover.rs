//! The journal that the first release left, taken over by this one: what was open is
//! delivered, what had ended is not, attempts go on counting, and the sum is right.

mod support;

use std::time::SystemTime;

use objects::{NotificationId, UnixTime};
use spool::segment::{BLOCK, FIRST, Frame, Header, LAST};
use support::{Site, notification, wait_until};

/// Format 1 as it is on the disk: no totals, no order in ends, no labels, nothing
/// written ahead.
struct OldSegment {
    header: Header,
    bytes: Vec<u8>,
    next: u64,
}

impl OldSegment {
    fn new() -> Self {
        let header = Header {
            first: 1,
            after: 0,
            epoch: 77,
            oldest: 1,
            recycled: false,
            partial: false,
        };
        let mut bytes = header.encode().to_vec();
        for at in [0, BLOCK / 2] {
            bytes[at + 8] = 1;
            let crc = crc32c::crc32c(&bytes[at..at + 52]);
            bytes[at + 52..at + 56].copy_from_slice(&crc.to_le_bytes());
        }
        Self {
            header,
            bytes,
            next: 1,
        }
    }

    fn record(&mut self, kind: u8, id: NotificationId, rest: &[u8]) {
        // Not so long ago that it has expired.
        let time = UnixTime::from(SystemTime::now()).micros() - 60_000_000;
        let time = time.to_le_bytes();
        let frame = Frame {
            offset: 0,
            sequence: self.next,
            kind,
            flags: FIRST | LAST,
            again: None,
            body: &[&id.as_bytes()[..], &time, rest].concat(),
        };
        frame.encode(self.header.epoch, &mut self.bytes);
        self.next += 1;
    }

    fn accepted(&mut self, order: u64, body: &str) -> NotificationId {
        let id = NotificationId::from_bytes([order as u8; 16]);
        let rest = [&order.to_le_bytes()[..], &[0], &[0; 4], body.as_bytes()].concat();
        self.record(1, id, &rest);
        id
    }
}

/// A target as it stands in a record: a lane.
fn lane() -> Vec<u8> {
    [&[2, 3][..], b"ops"].concat()
}

#[test]
fn a_journal_of_the_first_release_is_drained_and_the_sum_is_right() {
    let site = Site::new(
        "central",
        "[[lane]]\nname = 'ops'\nscript = '@plugin'\nplaces = 1\n",
    );
    site.script("plugin", "echo $NOTIFY_HOSTNAME $NOTIFY_ATTEMPT >>@log");
    let mut old = OldSegment::new();
    let mut ids = Vec::new();
    for order in 1..=12 {
        let mut one = notification("central", &[("HOSTNAME", &format!("host{order}"))]);
        one.id = NotificationId::from_bytes([order as u8; 16]);
        let id = old.accepted(order, &one.print().unwrap());
        ids.push(id);
        // Some are decided, some of these under way, some have ended.
        if order > 2 {
            old.record(2, id, &[&1_u16.to_le_bytes()[..], &lane()].concat());
        }
        if order > 6 {
            old.record(3, id, &[&lane()[..], &1_u32.to_le_bytes()].concat());
        }
        if order > 9 {
            old.record(
                4,
                id,
                &[&lane()[..], &1_u32.to_le_bytes(), &[1, 0, 0]].concat(),
            );
            old.record(5, id, &[&lane()[..], &[2, 0, 0]].concat());
            old.record(6, id, &[2, 0, 0]);
        }
    }
    let journal = site.path("spool/journal");
    std::fs::create_dir_all(&journal).unwrap();
    for directory in [site.path("spool"), journal.clone()] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(directory, mode).unwrap();
    }
    std::fs::write(journal.join("seg.00000000000000000001"), &old.bytes).unwrap();
    for round in 0..2 {
        let daemon = site.start();
        wait_until("all that was open is delivered", || {
            site.lines("log").len() >= 9 && site.state()["totals"]["delivered"] == 12
        });
        let mut want: Vec<String> = (1..=6).map(|n| format!("host{n} 1")).collect();
        want.extend((7..=9).map(|n| format!("host{n} 2")));
        let mut log = site.lines("log");
        log.sort();
        assert_eq!(log, want, "round {round}");
        let state = site.state();
        assert_eq!(state["totals"]["submitted"], 12, "{state}");
        assert_eq!(state["open"], 0, "{state}");
        for id in &ids {
            let history = site.history(*id);
            assert_eq!(history[0], "accepted");
            assert_eq!(history.last().unwrap(), "ended delivered");
        }
        daemon.terminate();
    }
}
