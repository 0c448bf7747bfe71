//! Who depends on whom: the crates without a runtime stay without one, and
//! dependencies point one way.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use harness::program::repository;
use serde_json::Value;

/// For each small crate, the ones of ours it may depend on.
const ROOMS: &[(&str, &[&str])] = &[
    ("objects", &[]),
    ("program", &[]),
    ("spool", &["objects"]),
    ("livestatus", &["objects"]),
    ("nagios", &["objects"]),
    ("wire", &["objects"]),
    ("agent", &["objects"]),
    ("net", &["objects", "wire", "livestatus"]),
    ("transfer", &["objects", "program"]),
    ("source", &["objects", "program", "livestatus"]),
    ("rules", &["objects", "program", "nagios"]),
    ("authority", &["objects", "program"]),
];

/// Crates and programs in whose dependencies no runtime may turn up, however
/// deep. The programs start at once or must not hang in a reactor.
const WITHOUT_RUNTIME: &[&str] = &[
    "objects",
    "program",
    "spool",
    "livestatus",
    "nagios",
    "wire",
    "agent",
    "transfer",
    "source",
    "rules",
    "authority",
    "sitecert",
    "cmcdump",
    "cmcload",
    "livedump",
    "liveload",
    "lq",
    "unixcat",
    "notify",
];

const RUNTIMES: &[&str] = &[
    "tokio",
    "mio",
    "async-std",
    "async-executor",
    "async-global-executor",
    "async-io",
    "smol",
    "futures-executor",
    "glommio",
    "monoio",
    "compio",
    "actix-rt",
    "embassy-executor",
];

#[derive(Default)]
struct Package {
    /// Where its manifest is, below the root of the repository.
    room: String,
    /// As the manifest has them, of every kind.
    manifest: BTreeSet<String>,
    /// As they are resolved for the program itself: no development or build
    /// dependencies.
    normal: BTreeSet<String>,
}

type Packages = BTreeMap<String, Package>;

/// All packages in the build, by name. Two versions of one name are taken
/// together, which can only find more.
fn packages() -> Packages {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked"])
        .current_dir(repository())
        .output()
        .expect("cargo starts");
    assert!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let root = repository().display().to_string();

    let mut packages = Packages::new();
    let mut names = BTreeMap::new();
    for package in list(&metadata["packages"]) {
        let name = text(&package["name"]);
        names.insert(text(&package["id"]), name.clone());
        let entry = packages.entry(name).or_default();
        let manifest = text(&package["manifest_path"]);
        if let Some(below) = manifest.strip_prefix(&root) {
            entry.room = below.trim_start_matches('/').to_owned();
        }
        let dependencies = list(&package["dependencies"]);
        entry.manifest.extend(
            dependencies
                .iter()
                .map(|dependency| text(&dependency["name"])),
        );
    }
    for node in list(&metadata["resolve"]["nodes"]) {
        let entry = packages
            .get_mut(&names[&text(&node["id"])])
            .expect("listed");
        for dependency in list(&node["deps"]) {
            let kinds = list(&dependency["dep_kinds"]);
            if kinds.iter().any(|kind| kind["kind"].is_null()) {
                entry
                    .normal
                    .insert(names[&text(&dependency["pkg"])].clone());
            }
        }
    }
    packages
}

/// Everything that is linked into `name`.
fn linked(packages: &Packages, name: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![name.to_owned()];
    while let Some(name) = waiting.pop() {
        let package = packages
            .get(&name)
            .unwrap_or_else(|| panic!("no package {name}"));
        for dependency in &package.normal {
            if found.insert(dependency.clone()) {
                waiting.push(dependency.clone());
            }
        }
    }
    found
}

fn ours(packages: &Packages, room: &str) -> BTreeSet<String> {
    packages
        .iter()
        .filter(|(_, package)| package.room.starts_with(room))
        .map(|(name, _)| name.clone())
        .collect()
}

#[test]
fn crates_without_a_runtime_stay_without_one() {
    let packages = packages();
    for name in WITHOUT_RUNTIME {
        let linked = linked(&packages, name);
        for runtime in RUNTIMES {
            let manifest = &packages[*name].manifest;
            assert!(
                !manifest.contains(*runtime),
                "{name} has {runtime} in its manifest"
            );
            assert!(
                !linked.contains(*runtime),
                "{name} depends on {runtime} by way of another crate: cargo tree -p {name} -i {runtime}"
            );
        }
    }
}

#[test]
fn a_runtime_would_be_found_where_there_is_one() {
    let packages = packages();
    assert!(packages["net"].manifest.contains("tokio"));
    assert!(linked(&packages, "notifyd").contains("tokio"));
    assert!(linked(&packages, "notifyd").contains("mio"));
}

#[test]
fn dependencies_between_rooms_point_one_way() {
    let packages = packages();
    let common = ours(&packages, "common/");
    let programs = ours(&packages, "bins/");
    let listed: BTreeSet<_> = ROOMS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(common, listed, "every crate in common/ has its row");

    for (name, allowed) in ROOMS {
        let manifest = &packages[*name].manifest;
        let used: Vec<_> = manifest.intersection(&common).collect();
        for crate_of_ours in used {
            assert!(
                allowed.contains(&crate_of_ours.as_str()),
                "{name} must not depend on {crate_of_ours}"
            );
        }
    }
    for name in common.iter().chain(&programs) {
        let manifest = &packages[name].manifest;
        let others: Vec<_> = manifest.intersection(&programs).collect();
        assert!(others.is_empty(), "{name} depends on programs: {others:?}");
        assert!(
            !manifest.contains("end-to-end"),
            "{name} depends on the tests"
        );
    }
    let outside = &packages["end-to-end"].manifest;
    let peeking: Vec<_> = outside
        .iter()
        .filter(|name| common.contains(*name))
        .collect();
    assert!(peeking.is_empty(), "the tests look inside: {peeking:?}");
}
