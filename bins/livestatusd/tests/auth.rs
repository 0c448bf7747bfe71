//! `AuthUser`: what contacts see.

mod support;

use bstr::BString;
use objects::{Host, Service};
use support::{Daemon, host};

fn names(names: &[&str]) -> Vec<BString> {
    names.iter().map(|name| BString::from(*name)).collect()
}

/// A host of these contacts and contact groups, in the group `all`, with a
/// service `cpu` of nobody and a service `db` of the contact dora.
fn of(contacts: &[&str], contact_groups: &[&str], parents: &[&str]) -> Host {
    let mut host = Host {
        groups: names(&["all"]),
        parents: names(parents),
        contacts: names(contacts),
        contact_groups: names(contact_groups),
        ..host(&["cpu"])
    };
    let db = Service {
        contacts: names(&["dora"]),
        groups: names(&["dbs"]),
        ..Service::default()
    };
    host.services.insert("db".into(), db);
    host
}

/// joe is contact of `h1` and by his group of `h2`, admin of all of each site.
fn daemon(settings: &str) -> Daemon {
    let mut daemon = Daemon::new(&[]);
    for site in ["a", "b"] {
        daemon.configure(
            site,
            &[
                ("h1", of(&["admin", "joe"], &[], &["h2", "h3"])),
                ("h2", of(&["admin"], &["ops"], &[])),
                ("h3", of(&["admin"], &["others"], &["h1"])),
            ],
        );
        daemon.write_file(
            site,
            "contacts.mk",
            b"contacts.update({'joe': {'contactgroups': ['ops']}})\n",
        );
    }
    daemon.settings(settings);
    daemon.start();
    daemon
}

fn ask(daemon: &Daemon, socket: &str, user: &str, query: &str) -> String {
    daemon.text(socket, format!("{query}\nAuthUser: {user}\n"))
}

const EVERYTHING: [&str; 10] = [
    "GET hosts\nColumns: name",
    "GET services\nColumns: host_name description",
    "GET hostgroups\nColumns: name",
    "GET servicegroups\nColumns: name",
    "GET hostsbygroup\nColumns: name",
    "GET servicesbygroup\nColumns: host_name description",
    "GET servicesbyhostgroup\nColumns: host_name description",
    "GET comments\nColumns: id",
    "GET downtimes\nColumns: id",
    "GET hosts\nColumns: services childs parents num_services",
];

#[test]
fn who_is_no_contact_sees_nothing() {
    let daemon = daemon("");
    for (socket, user) in [
        ("live.d/a", "nobody"),
        ("live", "nobody"),
        ("live", "admin"),
        ("live", "joe"),
    ] {
        for query in EVERYTHING {
            assert_eq!(
                ask(&daemon, socket, user, query),
                "",
                "{socket} {user} {query}"
            );
        }
    }
    assert_eq!(
        ask(&daemon, "live.d/a", "nobody", "GET contacts\nColumns: name"),
        "admin\ndora\njoe\n",
        "contacts are shown to everybody at the site"
    );
    for table in ["contacts", "contactgroups", "commands", "sites"] {
        let answer = ask(
            &daemon,
            "live",
            "nobody",
            &format!("GET {table}\nColumns: site"),
        );
        assert_eq!(answer, "", "{table}: not even that there is such a site");
    }
}

#[test]
fn a_contact_sees_its_hosts_with_their_services_and_single_services() {
    let daemon = daemon("");
    for (user, query, want) in [
        ("joe", "GET hosts\nColumns: name", "h1\nh2\n"),
        (
            "joe",
            "GET hosts\nColumns: name num_services parents childs\nFilter: name = h1",
            "h1;2;h2;\n",
        ),
        (
            "admin",
            "GET hosts\nColumns: parents childs\nFilter: name = h1",
            "h2,h3;h3\n",
        ),
        (
            "joe",
            "GET services\nColumns: host_name description",
            "h1;cpu\nh1;db\nh2;cpu\nh2;db\n",
        ),
        ("dora", "GET hosts\nColumns: name", ""),
        (
            "dora",
            "GET services\nColumns: host_name description",
            "h1;db\nh2;db\nh3;db\n",
        ),
        // All members of a group must be seen.
        ("joe", "GET hostgroups\nColumns: name", ""),
        ("joe", "GET servicegroups\nColumns: name", ""),
        ("joe", "GET hostsbygroup\nColumns: name", ""),
        (
            "dora",
            "GET servicegroups\nColumns: name members",
            "dbs;h1|db,h2|db,h3|db\n",
        ),
        (
            "dora",
            "GET servicesbygroup\nColumns: host_name",
            "h1\nh2\nh3\n",
        ),
        (
            "admin",
            "GET hostgroups\nColumns: name num_hosts num_services",
            "all;3;6\n",
        ),
    ] {
        assert_eq!(
            ask(&daemon, "live.d/a", user, query),
            want,
            "{user} {query}"
        );
    }
}

#[test]
fn figures_and_waiting_are_about_what_is_seen_too() {
    let daemon = daemon("");
    for (user, count) in [
        ("joe", "4\n"),
        ("dora", "3\n"),
        ("admin", "6\n"),
        ("nobody", "0\n"),
    ] {
        let query = "GET services\nStats: state >= 0";
        assert_eq!(ask(&daemon, "live.d/a", user, query), count, "{user}");
    }
    let wait = "GET hosts\nColumns: name\nLimit: 1\nWaitObject: h3\nWaitCondition: has_been_checked = 0\n\
                WaitTimeout: 10000\nResponseHeader: fixed16";
    assert!(ask(&daemon, "live.d/a", "admin", wait).starts_with("200 "));
    let refused = ask(&daemon, "live.d/a", "joe", wait);
    assert!(
        refused.contains("object 'h3' not found"),
        "nobody learns of what is not his by waiting for it: {refused}"
    );
}

#[test]
fn strict_services_and_loose_groups() {
    let daemon = daemon("service_authorization = 'strict'\ngroup_authorization = 'loose'");
    for (user, query, want) in [
        ("joe", "GET services\nColumns: host_name description", ""),
        (
            "joe",
            "GET hosts\nColumns: name num_services services",
            "h1;0;\nh2;0;\n",
        ),
        (
            "joe",
            "GET hostgroups\nColumns: members num_hosts num_services",
            "h1,h2;2;0\n",
        ),
        ("joe", "GET hostsbygroup\nColumns: name", "h1\nh2\n"),
        ("joe", "GET servicesbyhostgroup\nColumns: description", ""),
        ("dora", "GET services\nColumns: host_name", "h1\nh2\nh3\n"),
        ("nobody", "GET hostgroups\nColumns: name", ""),
    ] {
        assert_eq!(
            ask(&daemon, "live.d/a", user, query),
            want,
            "{user} {query}"
        );
    }
}

#[test]
fn on_the_merged_socket_a_user_is_who_the_configuration_says() {
    let daemon = daemon(
        "[[user]]\nname = 'ann'\ncontacts = ['a/admin', 'b/joe']\n\
         [[user]]\nname = 'root'\ncontacts = ['*/admin', 'b/nobody']\n",
    );
    let query = "GET hosts\nColumns: site name";
    assert_eq!(
        ask(&daemon, "live", "ann", query),
        "a;h1\na;h2\na;h3\nb;h1\nb;h2\n"
    );
    assert_eq!(ask(&daemon, "live", "root", query), "a;h1\na;h2\na;h3\n");
    assert_eq!(ask(&daemon, "live", "admin", query), "", "whose admin?");
    assert_eq!(
        ask(&daemon, "live.d/b", "ann", query),
        "",
        "a site's own socket knows its contacts only"
    );
    assert_eq!(
        ask(&daemon, "live", "ann", "GET sites\nColumns: site"),
        "a\nb\n"
    );
}

#[test]
fn the_same_name_may_mean_the_same_person() {
    let daemon =
        daemon("merged_users = 'same'\n[[user]]\nname = 'admin'\ncontacts = ['a/admin']\n");
    let query = "GET hosts\nColumns: site name";
    assert_eq!(
        ask(&daemon, "live", "joe", query),
        "a;h1\na;h2\nb;h1\nb;h2\n"
    );
    assert_eq!(ask(&daemon, "live", "admin", query), "a;h1\na;h2\na;h3\n");
}

#[test]
fn comments_and_downtimes_are_as_visible_as_their_objects() {
    let daemon = daemon("");
    let now = support::now().secs();
    for command in [
        "PROCESS_HOST_CHECK_RESULT;h1;0;up".to_owned(),
        "PROCESS_HOST_CHECK_RESULT;h3;0;up".to_owned(),
        "PROCESS_SERVICE_CHECK_RESULT;h3;db;0;ok".to_owned(),
        "ADD_HOST_COMMENT;h1;1;me;x".to_owned(),
        "ADD_HOST_COMMENT;h3;1;me;x".to_owned(),
        "ADD_SVC_COMMENT;h3;db;1;me;x".to_owned(),
        format!("SCHEDULE_HOST_DOWNTIME;h1;{now};{};1;0;0;me;x", now + 1000),
        format!("SCHEDULE_HOST_DOWNTIME;h3;{now};{};1;0;0;me;x", now + 1000),
    ] {
        assert_eq!(
            daemon.text("live.d/a", format!("COMMAND [{now}] {command}\n\n")),
            ""
        );
    }
    for (user, comments, downtimes) in [
        ("joe", "h1;\n", "h1;\n"),
        ("dora", "h3;db\n", ""),
        ("admin", "h1;\nh3;\nh3;db\n", "h1;\nh3;\n"),
        ("nobody", "", ""),
    ] {
        for (table, want) in [("comments", comments), ("downtimes", downtimes)] {
            let query =
                format!("GET {table}\nColumns: host_name service_description\nFilter: author = me");
            assert_eq!(
                ask(&daemon, "live.d/a", user, &query),
                want,
                "{user} {table}"
            );
        }
    }
}
