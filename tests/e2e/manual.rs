//! Help, manual and programs agree.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use harness::program::repository;
use harness::{Program, peer};

fn programs() -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(repository().join("bins"))
        .expect("bins/ is there")
        .map(|entry| {
            entry
                .expect("readable")
                .file_name()
                .into_string()
                .expect("ASCII")
        })
        .collect();
    names.sort();
    assert!(names.len() >= 10, "{names:?}");
    names
}

/// The page of a program, or what is wrong.
fn page(program: &str) -> Result<String, String> {
    let candidates = ["1", "8"].map(|section| format!("man/{program}.{section}"));
    candidates
        .iter()
        .find_map(|path| fs::read_to_string(repository().join(path)).ok())
        .ok_or_else(|| format!("{program}: there is neither {}", candidates.join(" nor ")))
}

/// Every help text of a program: its own and those of its subcommands, and of
/// theirs.
fn helps(program: &str) -> Vec<(String, String)> {
    let mut helps = Vec::new();
    let mut waiting = vec![Vec::new()];
    while let Some(path) = waiting.pop() {
        let help = Program::new(program).args(&path).arg("--help").run();
        let help = help.success().text();
        for command in subcommands(&help) {
            waiting.push([&path[..], &[command]].concat());
        }
        let name = [&[program.to_owned()], &path[..]].concat().join(" ");
        helps.push((name, help));
    }
    helps
}

fn subcommands(help: &str) -> Vec<String> {
    let Some((_, rest)) = help.split_once("\nCommands:\n") else {
        return Vec::new();
    };
    rest.lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| *word != "help")
        .map(str::to_owned)
        .collect()
}

/// The flags that an options section of clap's help defines, long and short.
fn flags_in_help(help: &str) -> BTreeSet<String> {
    let mut flags = BTreeSet::new();
    for line in help.lines() {
        let rest = line.trim_start();
        let indent = line.len() - rest.len();
        // Definitions stand at 2 (`  -c, --config`) or 6 (`      --json`).
        if !rest.starts_with('-') || !(indent == 2 || indent == 6) {
            continue;
        }
        for word in rest.split(", ").take(2) {
            let flag: String = word
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
                .collect();
            if flag.starts_with('-') && flag.len() > 1 {
                flags.insert(flag);
            }
        }
    }
    flags
}

/// The flags that a page defines: those of its `.It Fl` lines.
fn flags_in_page(page: &str) -> BTreeSet<String> {
    let mut flags = BTreeSet::new();
    for line in page.lines().filter(|line| line.starts_with(".It Fl ")) {
        let mut words = line.split_whitespace().peekable();
        while let Some(word) = words.next() {
            // `.It Fl h , -help` goes on with the macro after the comma.
            let flag = match word {
                "Fl" => words.next().unwrap_or_default(),
                "," => match words.peek() {
                    Some(next) if next.starts_with('-') => words.next().unwrap_or_default(),
                    _ => continue,
                },
                _ => continue,
            };
            flags.insert(format!("-{flag}"));
        }
    }
    flags
}

#[test]
fn flags_of_help_and_manual_are_the_same() {
    let mut problems = Vec::new();
    for program in programs() {
        let page = match page(&program) {
            Ok(page) => page,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        let in_page = flags_in_page(&page);
        let mut in_help = BTreeSet::new();
        for (command, help) in helps(&program) {
            let flags = flags_in_help(&help);
            assert!(flags.contains("--help"), "{command} --help:\n{help}");
            in_help.extend(flags);
        }
        for flag in in_help.difference(&in_page) {
            problems.push(format!(
                "{program}: {flag} is in --help but not in the page"
            ));
        }
        for flag in in_page.difference(&in_help) {
            problems.push(format!(
                "{program}: {flag} is in the page but not in --help"
            ));
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn help_begins_with_what_the_program_does_and_ends_with_its_manual() {
    let mut problems = Vec::new();
    for program in programs() {
        let mut complain = |what: &str| problems.push(format!("{program}: {what}"));
        let help = Program::new(&program).arg("--help").run().success().text();
        let first = help.lines().next().unwrap_or_default();
        if first.is_empty() || first.ends_with('.') || first.starts_with("Usage") {
            complain(&format!("help begins with {first:?}"));
        }
        if !help.contains("Exit status: ") {
            complain("help does not tell the exit status");
        }
        if !help.contains("Manual: ") || !help.contains("sitewire(7)") {
            complain("help does not name the manual");
        }
        if !help.contains("Examples:") {
            complain("help has no examples");
        }
        for line in help.lines().filter(|line| line.chars().count() > 80) {
            complain(&format!("wider than 80 columns: {line}"));
        }
        let short = Program::new(&program).arg("-h").run().success().text();
        if !short.contains("Manual: ") {
            complain("-h does not name the manual");
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn version_is_one_line_with_name_release_and_commit() {
    for program in programs() {
        let version = Program::new(&program).arg("--version").run().success();
        let text = version.text();
        let rest = text
            .strip_prefix(&format!(
                "{program} {} (sitewire, ",
                env!("CARGO_PKG_VERSION")
            ))
            .unwrap_or_else(|| panic!("{program} --version: {text:?}"));
        assert!(
            rest.ends_with(")\n") && rest.matches('\n').count() == 1,
            "{text:?}"
        );
    }
}

#[test]
fn unknown_flags_are_wrong_use() {
    for program in programs() {
        Program::new(&program).arg("--no-such-flag").run().expect(2);
    }
}

#[test]
fn pages_pass_mandoc_and_lead_to_pages_that_exist() {
    if !peer::available("mandoc", "mandoc") {
        return;
    }
    let pages = pages();
    assert!(pages.iter().any(|page| page.ends_with("sitewire.7")));
    let lint = Program::foreign("mandoc", "mandoc")
        .args(["-T", "lint", "-W", "warning"])
        .args(&pages)
        .run();
    assert_eq!(lint.text(), "", "mandoc -T lint -W warning man/*");
    lint.success();

    let mut problems = Vec::new();
    for path in &pages {
        let text = fs::read_to_string(path).expect("a page");
        for line in text.lines().filter(|line| line.starts_with(".Xr ")) {
            let mut words = line.split_whitespace().skip(1);
            let (Some(name), Some(section)) = (words.next(), words.next()) else {
                problems.push(format!("{}: {line}", path.display()));
                continue;
            };
            let target = repository().join(format!("man/{name}.{section}"));
            // Pages of the system are referred to as well.
            let own = name.starts_with("sitewire") || programs().iter().any(|own| own == name);
            if own && !target.is_file() {
                problems.push(format!("{}: no page {name}({section})", path.display()));
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<_> = fs::read_dir(repository().join("man"))
        .expect("man/ is there")
        .map(|entry| entry.expect("readable").path())
        .collect();
    pages.sort();
    pages
}

#[test]
fn the_comparison_sees_what_it_compares() {
    let help = "Options:\n  -s, --socket <SOCKET>\n          Text --other\n      --json  Text\n  -h, --help\n";
    let flags = ["--help", "--json", "--socket", "-h", "-s"].map(str::to_owned);
    assert_eq!(flags_in_help(help), BTreeSet::from(flags.clone()));
    let page = ".It Fl s , -socket Ar socket\n.It Fl -json\n.Op Fl x\n.It Fl h , Fl -help\n";
    assert_eq!(flags_in_page(page), BTreeSet::from(flags));
}
