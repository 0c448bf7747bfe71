//! The sites' configuration, at start and on HUP.

mod support;

use std::io::Read;

use objects::Host;
use rustix::process::Signal;
use support::{Daemon, begin, configuration, dump, exists, host};

fn hosts(daemon: &Daemon) -> String {
    daemon
        .text("live", "GET hosts\nColumns: site name\n")
        .replace([';', '\n'], " ")
}

#[test]
fn a_truncated_file_leaves_the_old_configuration_in_force_whole() {
    let daemon = Daemon::running(&[
        ("a", &[("h1", host(&["cpu"]))]),
        ("b", &[("h1", host(&[]))]),
    ]);
    daemon.ask(
        "ingest.d/a",
        dump(&begin("a", 1), &[("h1", Some("cpu"), 1, "kept")]),
    );
    let whole = configuration("a", &[("h2", host(&["disk"])), ("h3", host(&[]))]);
    let loaded_at = daemon.site("a", "config_loaded_at");
    // Cut in the first line, in a host, between hosts, in the last line, before its line feed.
    for cut in [
        0,
        10,
        whole.len() / 3,
        whole.len() / 2,
        whole.len() - 20,
        whole.len() - 1,
    ] {
        daemon.write_file("a", "shadow.mk", &whole[..cut]);
        daemon.configure("b", &[(&format!("cut{cut}"), host(&[]))]);
        daemon.reload();
        assert_eq!(
            hosts(&daemon),
            format!("a h1 b cut{cut} "),
            "other sites are not affected"
        );
        let error = daemon.site("a", "config_error");
        assert!(
            error.contains("shadow/a/shadow.mk:"),
            "cut at {cut}: {error}"
        );
        daemon.wait_for_log(&error);
        assert_eq!(daemon.site("b", "config_error"), "");
        assert_eq!(daemon.site("a", "config_loaded_at"), loaded_at);
        assert_eq!(
            daemon.cell("live.d/a", "GET services\nColumns: plugin_output\n"),
            "kept"
        );
    }
    daemon.write_file("a", "shadow.mk", &whole);
    daemon.reload();
    assert_eq!(
        daemon.text("live.d/a", "GET hosts\nColumns: name services\n"),
        "h2;disk\nh3;\n"
    );
    assert_eq!(
        daemon.site("a", "config_error config_time num_hosts num_services"),
        ";1795217983;2;1"
    );
}

#[test]
fn states_stay_with_their_objects() {
    let daemon = Daemon::running(&[("a", &[("h1", host(&["cpu", "disk"]))])]);
    let lines = [
        ("h1", None, 1, "down"),
        ("h1", Some("cpu"), 1, "busy"),
        ("h1", Some("disk"), 2, "full"),
    ];
    daemon.ask("ingest.d/a", dump(&begin("a", 1), &lines));
    let renamed = Host {
        alias: "new".into(),
        ..host(&["alpha", "disk"])
    };
    daemon.configure("a", &[("h0", host(&[])), ("h1", renamed)]);
    daemon.reload();
    assert_eq!(
        daemon.text("live", "GET services\nColumns: description plugin_output has_been_checked host_alias host_state\n"),
        "alpha;;0;new;1\ndisk;full;1;new;1\n"
    );
    assert_eq!(daemon.site("a", "state_complete"), "1");
}

#[test]
fn sites_come_and_go() {
    let daemon = Daemon::running(&[("a", &[("h", host(&[]))])]);
    let mut watcher = daemon.connect("live.d/a");
    daemon.configure("b", &[("h", host(&[]))]);
    daemon.reload();
    assert_eq!(hosts(&daemon), "a h b h ");
    assert_eq!(daemon.text("live.d/b", "GET hosts\nColumns: name\n"), "h\n");
    assert_eq!(
        daemon.text("ingest.d/b", dump(&begin("b", 1), &[("h", None, 0, "")])),
        "taken 1, unknown 0, refused 0\n"
    );

    std::fs::remove_dir_all(daemon.path("shadow/a")).unwrap();
    daemon.reload();
    assert_eq!(hosts(&daemon), "b h ");
    assert!(!exists(&daemon.path("live.d/a")) && !exists(&daemon.path("ingest.d/a")));
    assert_eq!(
        watcher.read(&mut [0; 10]).unwrap(),
        0,
        "who looks at a site that is gone is told so"
    );

    daemon.configure("a", &[("h", host(&[]))]);
    daemon.reload();
    assert_eq!(
        daemon.text("live.d/a", "GET hosts\nColumns: name has_been_checked\n"),
        "h;0\n"
    );
}

#[test]
fn a_clash_in_a_site_names_both_files_and_between_sites_there_is_none() {
    let daemon = Daemon::running(&[("a", &[("h", host(&[]))]), ("b", &[("h", host(&[]))])]);
    assert_eq!(hosts(&daemon), "a h b h ");
    daemon.write_file(
        "a",
        "more.mk",
        &configuration("a", &[("h", host(&[])), ("i", host(&[]))]),
    );
    daemon.reload();
    let error = daemon.site("a", "config_error");
    assert!(
        error.contains("host 'h' is both in")
            && error.contains("more.mk")
            && error.contains("shadow.mk"),
        "{error}"
    );
    assert_eq!(hosts(&daemon), "a h b h ");
}

#[test]
fn a_file_without_a_frame_is_taken_only_where_that_is_allowed() {
    let mut daemon = Daemon::new(&["a"]);
    daemon.write_file("a", "x.mk", b"shadow_hosts.update({'h': {'alias': 'x'}})\n");
    daemon.start();
    assert_eq!(hosts(&daemon), "");
    assert!(
        daemon
            .site("a", "config_error")
            .contains("it has no begin and end mark")
    );
    daemon.stop(Signal::TERM);
    daemon.settings("allow_unmarked = true");
    daemon.start();
    assert_eq!(hosts(&daemon), "a h ");
    assert_eq!(daemon.site("a", "config_error"), "");
}

#[test]
fn a_name_that_is_no_site_is_logged_and_left_alone() {
    let mut daemon = Daemon::new(&["not a site"]);
    daemon.configure("a", &[("h", host(&[]))]);
    daemon.start();
    assert_eq!(daemon.cell("live", "GET sites\nColumns: site\n"), "a");
    daemon.wait_for_log("\"not a site\" is not a site id");
}

#[test]
fn a_changed_livestatusd_toml_is_checked_but_waits_for_the_next_start() {
    let daemon = Daemon::running(&[("a", &[("h", host(&[]))])]);
    daemon.settings("connections = 5");
    daemon.reload();
    daemon.wait_for_log("changes take effect with the next start");
    daemon.settings("conections = 5");
    daemon.reload();
    daemon.wait_for_log("unknown key `conections`, did you mean `connections`?");
    assert_eq!(hosts(&daemon), "a h ");
}

#[test]
fn clients_may_be_told_to_treat_it_as_naemon() {
    let version = "GET status\nColumns: livestatus_version program_version\n";
    let mut daemon = Daemon::new(&[]);
    daemon.configure("a", &[("h", host(&[]))]);
    daemon.start();
    let plain = daemon.cell("live", version);
    assert!(
        plain.starts_with("1.5.0-sitewire;sitewire-livestatusd"),
        "{plain}"
    );
    daemon.stop(rustix::process::Signal::TERM);
    daemon.settings("as_naemon = true");
    daemon.start();
    let naemon = daemon.cell("live", version);
    assert!(
        naemon.starts_with("1.5.0-sitewire-naemon;sitewire-livestatusd"),
        "{naemon}"
    );
}
