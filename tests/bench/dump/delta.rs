//! What a dump weighs on the wire, in full and as a delta, and what it costs to
//! take it in.

use std::path::Path;

use harness::program::built;
use harness::{Livestatusd, Program};

use super::{configure, own_names, submit};
use crate::measure::{Cost, Family, run};
use crate::report::{Better, OURS, Report, Row, median};

const ROUNDS: usize = 5;

pub(super) fn measure(report: &mut Report, source: &Livestatusd) {
    let central = Livestatusd::start_with(&["bench"], "allow_unmarked = true");
    configure(&central);
    let directory = tempfile::tempdir().expect("a directory");
    let place = |name: &str| directory.path().join(name).display().to_string();
    let (since, full, delta) = (place("since"), place("full"), place("delta"));
    let live = source.live("bench").display().to_string();
    let dump = |to: &str| {
        let script = r#""$0" --site bench -s "$1" --since-file "$2" > "$3""#;
        Program::bash(script)
            .args([built("cmcdump").display().to_string()])
            .args([&live, &since, to])
            .run()
            .success();
    };
    let take_in = |file: &str| {
        let ingest = central.ingest("bench").display().to_string();
        let before = Family::of_process(central.process.pid()).cpu();
        let cost = run(
            &built("cmcload"),
            &["-s", &ingest, "--site", "bench", file],
            None,
        );
        (
            cost,
            Family::of_process(central.process.pid()).cpu() - before,
        )
    };
    dump(&full);
    let mut costs = vec![take_in(&full)];
    confirm(&since);
    // A minute later: everything was checked again, and one in a hundred says
    // something else.
    let later = |number: usize| {
        let figure = if number.is_multiple_of(100) {
            number + 1
        } else {
            number
        };
        (60 + number * 7919 % 60, figure)
    };
    submit(&source.live("bench"), own_names(), later);
    dump(&delta);
    let (delta_cost, delta_cpu) = take_in(&delta);
    let mut add = |work: &str, figure: f64, unit, note: &str| {
        report.add(Row {
            work: work.into(),
            program: OURS.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            figure: Some(figure),
            unit,
            better: Better::Lower,
            note: note.into(),
        });
    };
    let changed = "1 % of the objects changed, all were checked again";
    for (form, weigh) in [("", size as fn(&str) -> f64), (" through zstd", packed)] {
        let (full, delta) = (weigh(&full), weigh(&delta));
        let share = format!("{changed}: {:.2} % of the full dump", 100.0 * delta / full);
        add(
            &format!("full dump of 100,000 services{form}"),
            full,
            "MiB",
            "",
        );
        add(
            &format!("delta of 100,000 services{form}"),
            delta,
            "MiB",
            &share,
        );
    }
    add("cmcload of the delta", delta_cost.cpu, "s CPU", "its own");
    add(
        "livestatusd takes the delta",
        delta_cpu,
        "s CPU",
        "all threads",
    );
    for _ in 1..ROUNDS {
        let (remaining, next) = (place("since.next"), place("again"));
        // Not confirmed, and so a full one.
        assert!(Path::new(&remaining).exists());
        dump(&next);
        costs.push(take_in(&next));
    }
    let of = |pick: fn(&(Cost, f64)) -> f64| median(costs.iter().map(pick).collect());
    let note = format!("median of {ROUNDS}, 100,000 services in full");
    add(
        "cmcload into livestatusd",
        of(|cost| cost.0.cpu),
        "s CPU",
        &format!("its own; {note}"),
    );
    add(
        "cmcload into livestatusd",
        of(|cost| cost.0.memory),
        "MiB",
        &format!("resident; {note}"),
    );
    add(
        "livestatusd takes a dump",
        of(|cost| cost.1),
        "s CPU",
        &format!("all threads; {note}"),
    );
    add(
        "cmcload into livestatusd",
        of(|cost| cost.0.wall),
        "s wall",
        &note,
    );
    costs_of_delta(report, &live, &since);
}

/// What making a delta costs beside a full dump.
fn costs_of_delta(report: &mut Report, live: &str, since: &str) {
    let cmcdump = built("cmcdump");
    let options = ["--site", "bench", "-s", live, "--since-file", since];
    let costs: Vec<Cost> = (0..ROUNDS)
        .map(|_| {
            // As if nothing had been tried since the one that was confirmed.
            std::fs::remove_file(format!("{since}.next")).expect("it is there");
            run(&cmcdump, &options, None)
        })
        .collect();
    for (unit, pick) in [
        ("s CPU", (|cost| cost.cpu) as fn(&Cost) -> f64),
        ("MiB", |cost| cost.memory),
    ] {
        report.add(Row {
            work: "cmcdump of the delta".into(),
            program: OURS.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            figure: Some(median(costs.iter().map(pick).collect())),
            unit,
            better: Better::Lower,
            note: format!("median of {ROUNDS}"),
        });
    }
}

fn confirm(since: &str) {
    Program::new("cmcdump")
        .args(["--confirm", "--since-file", since])
        .input("taken 1, unknown 0, refused 0\n")
        .run()
        .success();
}

fn size(path: &str) -> f64 {
    let bytes = std::fs::metadata(path).expect("it is there").len();
    bytes as f64 / f64::from(1 << 20)
}

fn packed(path: &str) -> f64 {
    let packed = format!("{path}.zst");
    Program::bash(r#"zstd -q -f -o "$1" "$0""#)
        .args([path, &packed])
        .run()
        .success();
    size(&packed)
}
