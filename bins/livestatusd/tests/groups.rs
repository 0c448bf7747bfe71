//! Groups, contacts, commands and time periods, as the objects name them.

mod support;

use bstr::BString;
use objects::Host;
use support::{Daemon, begin, dump, host};

fn in_groups(groups: &[&str], services: &[(&str, &[&str])]) -> Host {
    let descriptions: Vec<&str> = services
        .iter()
        .map(|(description, _)| *description)
        .collect();
    let mut host = host(&descriptions);
    host.groups = groups.iter().map(|name| BString::from(*name)).collect();
    for (description, groups) in services {
        let service = host.services.get_mut(&BString::from(*description)).unwrap();
        service.groups = groups.iter().map(|name| BString::from(*name)).collect();
        service.check_command = format!("check_{description}!1!2").into();
    }
    host
}

/// Site a: web1 and web2 in `web`, web1 also in `linux`; site b has a group of the same name.
fn daemon() -> Daemon {
    let mut daemon = Daemon::new(&[]);
    let web1 = Host {
        contacts: vec!["joe".into()],
        contact_groups: vec!["ops".into()],
        check_command: "ping".into(),
        ..in_groups(
            &["linux", "web", "web"],
            &[("cpu", &["load"]), ("disk", &["disks"])],
        )
    };
    let web2 = in_groups(&["web"], &[("cpu", &["load"]), ("disk", &[])]);
    let other = in_groups(&["web"], &[("cpu", &["load"])]);
    daemon.configure(
        "a",
        &[("alone", host(&["x"])), ("web1", web1), ("web2", web2)],
    );
    daemon.configure("b", &[("web1", other)]);
    daemon.write_file(
        "a",
        "people.mk",
        b"contacts.update({'eve': {'alias': 'Eve', 'email': 'eve@example.org', 'pager': '1', 'contactgroups': ['ops', 'dba'],\n\
          'notification_period': 'nights'}})\n\
          define_hostgroups.update({'web': 'Web servers', 'empty': 'Nothing yet'})\n\
          define_servicegroups.update({'load': 'Load'})\ndefine_contactgroups.update({'ops': 'Operators'})\n",
    );
    daemon.start();
    let states = [
        ("web1", None, 1, "down"),
        ("web1", Some("cpu"), 3, "unknown"),
        ("web1", Some("disk"), 2, "full"),
        ("web2", None, 2, "unreachable"),
        ("web2", Some("cpu"), 1, "warning"),
    ];
    let answer = daemon.text("ingest.d/a", dump(&begin("a", 1), &states));
    assert_eq!(answer, "taken 5, unknown 0, refused 0\n");
    daemon
}

#[test]
fn groups_are_there_because_something_names_them() {
    let daemon = daemon();
    for (socket, query, want) in [
        (
            "live",
            "GET hostgroups\nColumns: site name alias members\n",
            "a;empty;Nothing yet;\na;linux;linux;web1\na;web;Web servers;web1,web2\nb;web;web;web1\n",
        ),
        ("live.d/b", "GET hostgroups\nColumns: name\n", "web\n"),
        (
            "live.d/a",
            "GET hostgroups\nColumns: members_with_state\nFilter: name = web\n",
            "web1|1|1,web2|2|1\n",
        ),
        (
            "live.d/a",
            "GET servicegroups\nColumns: name alias members members_with_state\n",
            "disks;disks;web1|disk;web1|disk|2|1\nload;Load;web1|cpu,web2|cpu;web1|cpu|3|1,web2|cpu|1|1\n",
        ),
        (
            "live.d/a",
            "GET servicegroups\nColumns: name\nFilter: members >= web2|cpu\n",
            "load\n",
        ),
        (
            "live.d/a",
            "GET contacts\nColumns: name alias email pager groups host_notification_period\n",
            "eve;Eve;eve@example.org;1;ops,dba;nights\njoe;joe;;;;\n",
        ),
        (
            "live.d/a",
            "GET contactgroups\nColumns: name alias members\n",
            "dba;dba;eve\nops;Operators;eve\n",
        ),
        (
            "live",
            "GET commands\nColumns: site name line\n",
            "a;check_cpu;\na;check_disk;\na;ping;\nb;check_cpu;\n",
        ),
        (
            "live",
            "GET timeperiods\nColumns: site name in\n",
            "a;nights;1\n",
        ),
    ] {
        assert_eq!(daemon.text(socket, query), want, "{query}");
    }
}

#[test]
fn what_is_in_a_group_is_counted() {
    let daemon = daemon();
    let counts = |table: &str, name: &str, columns: &str| {
        daemon.cell(
            "live.d/a",
            &format!("GET {table}\nColumns: {columns}\nFilter: name = {name}\n"),
        )
    };
    let hosts = "num_hosts num_hosts_up num_hosts_down num_hosts_unreach num_hosts_pending worst_host_state \
                 num_hosts_handled_problems num_hosts_unhandled_problems";
    assert_eq!(counts("hostgroups", "web", hosts), "2;0;1;1;0;1;0;2");
    assert_eq!(counts("hostgroups", "empty", hosts), "0;0;0;0;0;0;0;0");
    let services = "num_services num_services_ok num_services_warn num_services_crit num_services_unknown \
                    num_services_pending worst_service_state num_services_hard_warn num_services_hard_crit \
                    num_services_hard_unknown num_services_hard_ok worst_service_hard_state \
                    num_services_handled_problems num_services_unhandled_problems";
    assert_eq!(
        counts("hostgroups", "web", services),
        "4;0;1;1;1;1;2;1;1;1;0;2;0;3"
    );
    assert_eq!(
        counts("hostgroups", "linux", services),
        "2;0;0;1;1;0;2;0;1;1;0;2;0;2"
    );
    // Unknown is worse than a warning.
    assert_eq!(
        counts("servicegroups", "load", services),
        "2;0;1;0;1;0;3;1;0;1;0;3;0;2"
    );
    assert_eq!(
        counts(
            "hosts",
            "web1",
            "num_services_handled_problems num_services_unhandled_problems"
        ),
        "0;2"
    );
}

#[test]
fn objects_stand_in_each_of_their_groups() {
    let daemon = daemon();
    for (query, want) in [
        (
            "GET hostsbygroup\nColumns: hostgroup_name name state hostgroup_alias\n",
            "linux;web1;1;linux\nweb;web1;1;Web servers\nweb;web2;2;Web servers\n",
        ),
        (
            "GET servicesbygroup\nColumns: servicegroup_name host_name description state host_state\n",
            "disks;web1;disk;2;1\nload;web1;cpu;3;1\nload;web2;cpu;1;2\n",
        ),
        (
            "GET servicesbyhostgroup\nColumns: hostgroup_name host_name description hostgroup_num_hosts\n\
             Filter: hostgroup_name = web\n",
            "web;web1;cpu;2\nweb;web1;disk;2\nweb;web2;cpu;2\nweb;web2;disk;2\n",
        ),
        (
            "GET hostsbygroup\nColumns: hostgroup_num_services_crit\nFilter: host_name = web1\n",
            "1\n1\n",
        ),
    ] {
        assert_eq!(daemon.text("live.d/a", query), want, "{query}");
    }
}

#[test]
fn a_change_of_the_configuration_changes_the_groups() {
    let daemon = daemon();
    daemon.configure("a", &[("web2", in_groups(&["db"], &[("cpu", &[])]))]);
    std::fs::remove_file(daemon.path("shadow/a/people.mk")).unwrap();
    daemon.reload();
    assert_eq!(
        daemon.text(
            "live.d/a",
            "GET hostgroups\nColumns: name members_with_state\n"
        ),
        "db;web2|2|1\n",
        "the state is kept"
    );
    for table in ["servicegroups", "contacts", "contactgroups", "timeperiods"] {
        assert_eq!(
            daemon.text("live.d/a", format!("GET {table}\nColumns: name\n")),
            ""
        );
    }
}

#[test]
fn tags_come_from_custom_variables() {
    let mut daemon = Daemon::new(&[]);
    let variables = |all: &[(&str, &str)]| Host {
        custom_variables: all
            .iter()
            .map(|(name, text)| ((*name).into(), (*text).into()))
            .collect(),
        ..host(&[])
    };
    daemon.configure(
        "a",
        &[
            ("h1", variables(&[("TAGS", "/wan/ prod site:heute")])),
            (
                "h2",
                variables(&[("_TAG_criticality", "prod"), ("TAGS", "/wan/ x")]),
            ),
            ("h3", variables(&[("X", "y")])),
        ],
    );
    daemon.start();
    assert_eq!(
        daemon.text(
            "live",
            "GET hosts\nColumns: name tags tag_names tag_values\n"
        ),
        "h1;prod|prod,site|heute;prod,site;prod,heute\nh2;criticality|prod;criticality;prod\nh3;;;\n"
    );
    assert_eq!(
        daemon.text(
            "live",
            "GET hosts\nColumns: name\nFilter: tags = site heute\n"
        ),
        "h1\n"
    );
}
