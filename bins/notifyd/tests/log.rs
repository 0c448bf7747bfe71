//! What the log says of links and notifications, and how it looks.

mod support;

use support::{Daemon, Site, wait_until};

fn sites(log: &str) -> (Site, Site) {
    let central = Site::new("central", "");
    central.script("plugin", "echo well; echo $NOTIFY_ID >>@log");
    central.configure(&format!(
        "{log}[[listen]]\naddress = 'unix:@link'\n[[peer]]\nsite = 'remote1'\n\
         [[lane]]\nname = 'ops'\nscript = '@plugin'\n"
    ));
    let link = central.path("link");
    let rest = format!(
        "{log}[[peer]]\nsite = 'central'\nsend = true\nconnect = 'unix:{}'\n",
        link.display()
    );
    (central, Site::new("remote1", &rest))
}

/// `2026-11-20 23:40:33,153 [20] [cmk.mknotifyd] text`: level and text.
fn read(line: &str) -> Option<(u8, &str)> {
    let pattern = "dddd-dd-dd dd:dd:dd,ddd [dd] [cmk.mknotifyd] ";
    let (head, text) = line.split_at_checked(pattern.len())?;
    let fits = |(wanted, found): (char, char)| match wanted {
        'd' => found.is_ascii_digit() || found == 'd',
        _ => wanted == found,
    };
    let fits = pattern.chars().zip(head.chars()).all(fits);
    let level = head.get(25..27)?.parse().ok()?;
    fits.then_some((level, text))
}

fn texts(daemon: &Daemon) -> Vec<(u8, String)> {
    let read = |line: &String| {
        let (level, text) = read(line).unwrap_or_else(|| panic!("{line:?}"));
        (level, text.to_owned())
    };
    daemon.log().iter().map(read).collect()
}

#[test]
fn in_the_style_of_checkmk_every_line_has_its_form_and_every_notification_its_lines() {
    let (central, remote) = sites("[log]\nstyle = 'checkmk'\nnotifications = true\n");
    let (there, here) = (central.start(), remote.start());
    let id = remote.submit(&[("HOSTNAME", "db1"), ("SERVICEDESC", "Disk /\nx")]);
    let other = remote.submit(&[("HOSTNAME", "db2")]);
    let has = |daemon: &Daemon, level: u8, text: String| {
        wait_until(&text, || texts(daemon).contains(&(level, text.clone())));
    };
    has(&here, 20, format!("spooled {id} (db1;Disk /\\nx)"));
    has(&here, 20, format!("spooled {other} (db2)"));
    has(&here, 20, format!("forwarded {id} to central"));
    has(
        &there,
        20,
        format!("received {id} (db1;Disk /\\nx) from remote1"),
    );
    has(
        &there,
        20,
        format!("delivered {id} by lane ops, attempt 1: exit code 0: well"),
    );
    let up = |(_, text): &(u8, String)| text.contains("-> established: ");
    assert!(texts(&there).iter().any(up) && texts(&here).iter().any(up));
    here.terminate();
    wait_until("the link is down", || {
        let down = |(_, text): &(u8, String)| text.contains("established -> cooldown: ");
        texts(&there).iter().any(down)
    });
    there.terminate();
}

#[test]
fn without_being_asked_it_is_silent_about_single_notifications() {
    let (central, remote) = sites("");
    let (there, here) = (central.start(), remote.start());
    let id = remote.submit(&[("HOSTNAME", "db1")]).to_string();
    wait_until("it is delivered", || central.lines("log").contains(&id));
    for daemon in [&there, &here] {
        let log = daemon.log();
        assert!(log.iter().all(|line| !line.contains(&id)), "{log:#?}");
        assert!(
            log.iter()
                .any(|line| line.contains(" INFO notifyd::link: "))
        );
    }
    here.terminate();
    there.terminate();
}
