//! `liveload` of 100,000 states into a spool, against reading the file.

use std::fmt::Write as _;
use std::path::Path;

use harness::program::built;

use super::ROUNDS;
use crate::measure::{Cost, run};
use crate::report::{Better, LIMIT, OURS, Report, Row, median};

pub(super) fn measure(report: &mut Report) {
    let directory = tempfile::tempdir().expect("a directory");
    let dump = directory.path().join("dump");
    std::fs::write(&dump, text()).expect("a file");
    // A process can be slow for reasons of its own, so the two take turns.
    let rounds: Vec<(Cost, Cost)> = (0..ROUNDS)
        .map(|round| {
            let target = directory.path().join(format!("spool-{round}"));
            std::fs::create_dir(&target).expect("a directory");
            let target = target.to_str().expect("ASCII");
            let ledger = format!("{target}.ledger");
            let args = ["--site", "bench", "--target", target, "--ledger", &ledger];
            let taken = run(&built("liveload"), &args, Some(&dump));
            (taken, run(Path::new("/bin/cat"), &[], Some(&dump)))
        })
        .collect();
    let of = |pick: fn(&(Cost, Cost)) -> f64| Some(median(rounds.iter().map(pick).collect()));
    let note = format!("median of {ROUNDS}, first import of its site, files synced");
    let mut add = |program: &str, figure, unit, note: &str| {
        report.add(Row {
            work: "import of 100,000 states into a spool".into(),
            program: program.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            figure,
            unit,
            better: Better::Lower,
            note: note.into(),
        });
    };
    add(OURS, of(|round| round.0.cpu), "s CPU", &note);
    add(LIMIT, of(|round| round.1.cpu), "s CPU", "cat of the file");
    add(OURS, of(|round| round.0.wall), "s wall", &note);
    add(LIMIT, of(|round| round.1.wall), "s wall", "cat of the file");
    add(
        OURS,
        of(|round| round.0.memory),
        "MiB",
        &format!("resident; {note}"),
    );
}

fn text() -> String {
    let mut body = String::new();
    for number in 0..super::HOSTS * super::SERVICES {
        let (host, service) = (number / super::SERVICES, number % super::SERVICES);
        let state = number % 4;
        let _ = write!(
            body,
            "host_name=host-{host:04}\nservice_description=Service {service:03}\ncheck_type=1\n\
             check_options=0\nlatency=0.012000\nstart_time=1700000000.250000\n\
             finish_time=1700000000.350000\nreturn_code={state}\n\
             output=CHECK {state} - total 16.0 GiB, used {number} MiB, 17 processes in 4 groups|\
             total=17179869184B;;;0 used={number}MB;12000;14000;0;16384 procs=17;;;;\n\n"
        );
    }
    format!(
        "# sitewire 1 state site=bench seq=1 epoch=0 mode=full time=1700000002\n{body}\
         # sitewire-end records={} crc32c={:08x}\n",
        super::HOSTS * super::SERVICES,
        crc32c::crc32c(body.as_bytes())
    )
}
