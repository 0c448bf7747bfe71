//! The documented pipeline, to the letter, with OpenSSH in the middle.

use harness::{Livestatusd, Program, Sshd, wait_until};

use crate::remote_site;

#[test]
fn state_reaches_the_centre_through_ssh() {
    let Some(sshd) = Sshd::start() else { return };
    let remote = remote_site::start();
    let central = Livestatusd::start(&["remote1"]);
    let source = remote.live("remote1");
    let (from, to) = (source.display(), central.ingest("remote1"));

    let configuration = Program::new("cmcdump")
        .args(["-C", "--site", "remote1", "-s"])
        .arg(&source)
        .run()
        .success();
    central.configure("remote1", &configuration.stdout);
    let live = central.live("remote1");
    wait_until("the configuration is in force", || {
        remote_site::services(&live).len() == remote_site::SERVICES.len()
    });

    let carried = sshd
        .bash(&format!(
            "export OMD_SITE=remote1\nset -o pipefail; cmcdump -s {from} | ssh localhost unixcat {}",
            to.display()
        ))
        .run()
        .success();
    // One host and its services.
    let count = remote_site::SERVICES.len() + 1;
    assert_eq!(
        carried.text(),
        format!("taken {count}, unknown 0, refused 0\n")
    );
    assert_eq!(remote_site::services(&live), remote_site::services(&source));
}

#[test]
fn pipeline_through_ssh_fails_when_either_end_does() {
    let Some(sshd) = Sshd::start() else { return };
    let remote = remote_site::start();
    let source = remote.live("remote1");
    let nowhere = remote.site.path("nowhere");
    for (from, to) in [(&source, &nowhere), (&nowhere, &source)] {
        let outcome = sshd
            .bash(&format!(
                "set -o pipefail; cmcdump --site remote1 -s {} | ssh localhost unixcat {}",
                from.display(),
                to.display()
            ))
            .run();
        assert_ne!(outcome.code(), Some(0), "{outcome:?}");
    }
}

#[test]
fn the_merged_socket_takes_dumps_to_the_letter_where_it_may() {
    let Some(sshd) = Sshd::start() else { return };
    let remote = remote_site::start();
    let source = remote.live("remote1");
    let configuration = Program::new("cmcdump")
        .args(["-C", "--site", "remote1", "-s"])
        .arg(&source)
        .run()
        .success();
    let count = remote_site::SERVICES.len() + 1;
    for (allowed, site, want) in [
        (
            true,
            "remote1",
            format!("taken {count}, unknown 0, refused 0\n"),
        ),
        (
            true,
            "remote2",
            "refused: site remote2 is not configured here\n".to_owned(),
        ),
        (
            false,
            "remote1",
            "400: SITEWIRE_END is not taken here".to_owned(),
        ),
    ] {
        let settings = format!("dumps_on_merged = {allowed}");
        let central = Livestatusd::start_with(&["remote1"], &settings);
        central.configure("remote1", &configuration.stdout);
        let live = central.live("remote1");
        wait_until("the configuration is in force", || {
            remote_site::services(&live).len() == remote_site::SERVICES.len()
        });
        // An account whose home is the site, as in OMD.
        sshd.force_command(&format!(
            "cd {} && eval $SSH_ORIGINAL_COMMAND",
            central.site.directory().display()
        ));
        let carried = sshd
            .bash(&format!(
                "export OMD_SITE={site}\n\
                 set -o pipefail; cmcdump -s {} | ssh localhost \"unixcat tmp/run/live\"",
                source.display()
            ))
            .run();
        assert!(carried.text().starts_with(&want), "{carried:?}");
        let same = remote_site::services(&live) == remote_site::services(&source);
        assert_eq!(same, allowed && site == "remote1");
    }
}
