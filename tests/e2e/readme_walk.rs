//! The walk in README.md, typed exactly as it stands there.

use harness::program::repository;
use harness::{Program, Site};

/// The blocks of shell of the walk, in order.
fn walk() -> String {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let (_, walk) = readme.split_once("\n## A five-minute walk\n").unwrap();
    walk.split("\n```sh\n")
        .skip(1)
        .map(|rest| rest.split_once("\n```\n").unwrap().0.to_owned() + "\n")
        .collect()
}

#[test]
fn walk_of_the_readme_leads_where_it_says() {
    let site = Site::new("walk");
    // What it starts ends with it, even when a step fails.
    let script = format!(
        "set -e; trap 'kill $(jobs -p) 2>/dev/null' EXIT\n{}",
        walk()
    );
    let walked = Program::bash(&script)
        .current_dir(site.directory())
        .run()
        .success();
    let said = walked.text();
    for part in ["taken ", "Memory", "stored by central", "delivered", "db1"] {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
    let mails = std::fs::read_dir(site.path("central/mail/new")).unwrap();
    assert_eq!(mails.count(), 1);
}
