//! Sites that are silent, as the core is told of them.

use super::*;

impl Centre {
    fn stale(&self, more: &[&str]) -> (i32, String) {
        let spool = self.path("spool");
        let to = ["stale", "--wait", "0s", "--target"];
        let mut args = to.to_vec();
        args.push(spool.to_str().unwrap());
        args.extend(more);
        self.run(&args, b"")
    }

    /// As if the last complete dump had come so many seconds earlier.
    fn age(&self, site: &str, seconds: i64) {
        let path = self.path(&format!("ledger/{site}.state"));
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().map(|line| match line.split_once('=') {
            Some(("complete_taken", time)) => {
                let time: f64 = time.parse().unwrap();
                format!("complete_taken={}\n", time as i64 - seconds)
            }
            _ => format!("{line}\n"),
        });
        fs::write(&path, lines.collect::<String>()).unwrap();
    }
}

#[test]
fn the_objects_of_a_silent_site_say_so_until_it_speaks_again() {
    let centre = Centre::new();
    for site in ["remote1", "remote2"] {
        let host = record(site, "", 0, "PING OK");
        let services = [record(site, "Disk", 0, "fine"), record(site, "a;b", 1, "x")];
        let records = [&[host][..], &services].concat();
        let (code, said) = centre.import(site, &["--full"], dump(site, 1, &records).as_bytes());
        assert_eq!((code, said.as_str()), (0, ""));
    }
    centre.read_spool();
    assert_eq!(centre.stale(&["--stale-after", "1h"]), (0, String::new()));
    assert!(centre.read_spool().is_empty());

    centre.age("remote1", 3720);
    let said = "liveload: site remote1 is silent: no complete dump has come for 62 min; \
                told the core of 3 objects, could not of 0\n";
    let (code, dry) = centre.stale(&["-n", "--stale-after", "1h"]);
    assert_eq!((code, dry.as_str()), (0, said));
    assert!(centre.read_spool().is_empty());
    assert!(centre.path("ledger/remote1.replay").exists());
    let (code, told) = centre.stale(&["--stale-after", "1h"]);
    assert_eq!((code, told.as_str()), (0, said));
    assert!(!centre.path("ledger/remote1.replay").exists());
    let text = centre.read_spool().concat();
    let output = "output=site remote1 is silent: no complete dump has come for 62 min\n";
    assert_eq!(text.matches(output).count(), 3, "{text}");
    assert!(text.contains("host_name=remote1\ncheck_type=1"), "{text}");
    assert_eq!(text.matches("return_code=2\n").count(), 1, "{text}");
    assert_eq!(text.matches("return_code=3\n").count(), 2, "{text}");
    assert!(text.contains("service_description=a;b\n"), "{text}");
    assert!(!text.contains("remote2"), "{text}");

    // Not again before the site was silent for as long once more.
    assert_eq!(centre.stale(&["--stale-after", "1h"]), (0, String::new()));
    let (code, _) = centre.stale(&[
        "--stale-after",
        "1ms",
        "--stale-objects",
        "hosts",
        "remote1",
    ]);
    assert_eq!(code, 0);
    let text = centre.read_spool().concat();
    assert_eq!(text.matches("host_name=").count(), 1, "{text}");

    // A dump that breaks off ends nothing, a complete one does.
    let next = dump("remote1", 2, &[record("remote1", "", 0, "PING OK")]);
    let (code, _) = centre.import("remote1", &[], &next.as_bytes()[..next.len() - 9]);
    assert_eq!(code, 3);
    centre.read_spool();
    let (_, told) = centre.stale(&["--stale-after", "1ms", "remote1"]);
    assert!(told.contains("told the core of 3 objects"), "{told}");
    centre.read_spool();
    let next = dump("remote1", 3, &[record("remote1", "", 0, "PING OK")]);
    assert_eq!(centre.import("remote1", &[], next.as_bytes()).0, 0);
    let text = centre.read_spool().concat();
    assert!(text.contains("output=PING OK\n"), "{text}");
    assert_eq!(centre.stale(&["--stale-after", "1h"]), (0, String::new()));
}

#[test]
fn silence_is_told_beside_an_inbox_and_where_it_means_something() {
    let centre = Centre::new();
    let inbox = centre.path("inbox");
    fs::create_dir(&inbox).unwrap();
    let dump = dump("remote1", 1, &[record("web", "", 0, "PING OK")]);
    fs::write(inbox.join("a"), dump).unwrap();
    let inbox = inbox.to_str().unwrap().to_owned();
    let args = ["--inbox", &inbox, "--once", "--stale-after", "1h"];
    assert_eq!(centre.import("remote1", &args, b""), (0, String::new()));
    centre.read_spool();
    centre.age("remote1", 86_400 * 3);
    let (code, said) = centre.import("remote1", &args, b"");
    assert!(code == 0 && said.contains("has come for 3 days"), "{said}");
    let text = centre.read_spool().concat();
    assert!(
        text.contains("return_code=2\noutput=site remote1 is silent"),
        "{text}"
    );

    let (code, said) = centre.import("remote1", &["--stale-after", "1h"], b"");
    assert!(code == 2 && said.contains("--inbox"), "{said}");
    let (code, said) = centre.stale(&["--backend", "livestatusd"]);
    assert!(code == 2 && said.contains("lq sites"), "{said}");
}
