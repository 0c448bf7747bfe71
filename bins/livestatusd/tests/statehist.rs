//! How long objects were in which state.

mod support;

use objects::{HostState, ServiceState, ShadowState, UnixTime};
use support::{Daemon, begin, host, shadow};

const DAY: i64 = 86_400;

/// Three days ago, at midnight.
fn base() -> i64 {
    (support::now().secs().div_euclid(DAY) - 3) * DAY
}

/// A host with a history that goes over two days and more, and one without.
fn daemon(base: i64) -> Daemon {
    let mut daemon = Daemon::new(&[]);
    let mut still = host(&["calm"]);
    still.contacts = vec!["joe".into()];
    daemon.configure(
        "a",
        &[("h", host(&["cpu", "new", "quiet"])), ("still", still)],
    );
    daemon.settings(&format!("history = '{}'", daemon.path("history").display()));
    let directory = daemon.path("history/a");
    std::fs::create_dir_all(&directory).unwrap();
    let lines = [
        // Before the time that is asked for.
        (500, "SERVICE ALERT: h;cpu;WARNING;HARD;1;slow;OK;0"),
        (
            2000,
            "SERVICE ALERT: h;cpu;CRITICAL;SOFT;1;full;WARNING;500",
        ),
        // No other state.
        (
            2500,
            "SERVICE ALERT: h;cpu;CRITICAL;HARD;3;full;CRITICAL;2000",
        ),
        (3000, "HOST ALERT: h;DOWN;HARD;1;gone;UP;0"),
        (4000, "SERVICE DOWNTIME ALERT: h;cpu;STARTED"),
        (DAY, "HOST ALERT: h;UP;HARD;1;back;DOWN;3000"),
        (DAY + 1000, "SERVICE DOWNTIME ALERT: h;cpu;CANCELLED"),
        (
            DAY + 2000,
            "SERVICE ALERT: h;cpu;OK;HARD;1;fine;CRITICAL;2000",
        ),
        (DAY + 3000, "SERVICE FLAPPING ALERT: h;cpu;STARTED"),
        (DAY + 4000, "HOST DOWNTIME ALERT: h;STARTED"),
        // Nothing was known of it before.
        (DAY + 5000, "SERVICE ALERT: h;new;WARNING;HARD;1;first"),
        (
            DAY + 6000,
            "SERVICE ALERT: h;gone;WARNING;HARD;1;no longer configured",
        ),
        // After the time that is asked for, but says what was in it.
        (
            2 * DAY + 100,
            "SERVICE ALERT: h;quiet;CRITICAL;HARD;1;x;UNKNOWN;400",
        ),
    ];
    for (at, text) in lines {
        // The last field of an alert is a time, too.
        let text = match text.rsplit_once(';') {
            Some((rest, since)) if since.parse::<i64>().is_ok() => {
                format!("{rest};{}", base + since.parse::<i64>().unwrap())
            }
            _ => text.to_owned(),
        };
        let line = format!("[{}] {text}\n", base + at);
        let day = (base + at).div_euclid(DAY) - base / DAY;
        let file = directory.join(file_name(base / DAY + day));
        let before = std::fs::read_to_string(&file).unwrap_or_default();
        std::fs::write(file, before + &line).unwrap();
    }
    daemon.start();
    let mut out = Vec::new();
    let mut writer = livestatus::dump::DumpWriter::begin(&begin("a", 1), &mut out);
    let up = ShadowState {
        last_state_change: UnixTime::from_secs(base),
        ..shadow(HostState::Up, "up")
    };
    writer.host(b"still", &up, &mut out).unwrap();
    let good = ShadowState {
        last_state_change: UnixTime::from_secs(base + 50_000),
        ..shadow(ServiceState::Ok, "calm")
    };
    writer.service(b"still", b"calm", &good, &mut out).unwrap();
    writer.end(&mut out);
    daemon.ask("ingest.d/a", out);
    daemon
}

/// `2026-11-21.log`, by counting days from a known one.
fn file_name(day: i64) -> String {
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let (mut year, mut day) = (1970, day);
    while day >= 365 + i64::from(is_leap(year)) {
        day -= 365 + i64::from(is_leap(year));
        year += 1;
    }
    let lengths = [
        31,
        28 + i64::from(is_leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let mut month = 0;
    while day >= lengths[month] {
        day -= lengths[month];
        month += 1;
    }
    format!("{year:04}-{:02}-{:02}.log", month + 1, day + 1)
}

/// The rows of an object: from, until, state, host_down, in_downtime,
/// in_host_downtime, is_flapping, output.
fn spans(daemon: &Daemon, base: i64, host: &str, service: &str) -> Vec<String> {
    let answer = daemon.text(
        "live",
        format!(
            "GET statehist\nColumns: from until state host_down in_downtime in_host_downtime is_flapping log_output\n\
             Filter: time >= {}\nFilter: time <= {}\nFilter: host_name = {host}\nFilter: service_description = {service}\n",
            base + 1000,
            base + 2 * DAY
        ),
    );
    let lines = answer.lines().map(|line| {
        let cells: Vec<&str> = line.split(';').collect();
        let time = |at: usize| cells[at].parse::<i64>().unwrap() - base;
        format!("{} {} {}", time(0), time(1), cells[2..].join(" "))
    });
    lines.collect()
}

#[test]
fn what_was_is_what_the_history_says() {
    let base = base();
    let daemon = daemon(base);
    for (host, service, want) in [
        (
            "h",
            "cpu",
            &[
                "1000 2000 1 0 0 0 0 ",
                "2000 3000 2 0 0 0 0 full",
                "3000 4000 2 1 0 0 0 full",
                "4000 86400 2 1 1 0 0 full",
                "86400 87400 2 0 1 0 0 full",
                "87400 88400 2 0 0 0 0 full",
                "88400 89400 0 0 0 0 0 fine",
                "89400 90400 0 0 0 0 1 fine",
                "90400 172800 0 0 0 1 1 fine",
            ][..],
        ),
        (
            "h",
            "",
            &[
                "1000 3000 0 0 0 0 0 ",
                "3000 86400 1 1 0 0 0 gone",
                "86400 90400 0 0 0 0 0 back",
                "90400 172800 0 0 1 1 0 back",
            ],
        ),
        (
            "h",
            "new",
            &[
                "1000 3000 -1 0 0 0 0 ",
                "3000 86400 -1 1 0 0 0 ",
                "86400 90400 -1 0 0 0 0 ",
                "90400 91400 -1 0 0 1 0 ",
                "91400 172800 1 0 0 1 0 first",
            ],
        ),
        (
            "h",
            "quiet",
            &[
                "1000 3000 3 0 0 0 0 ",
                "3000 86400 3 1 0 0 0 ",
                "86400 90400 3 0 0 0 0 ",
                "90400 172800 3 0 0 1 0 ",
            ],
        ),
        ("h", "gone", &[]),
        ("still", "", &["1000 172800 0 0 0 0 0 up"]),
        (
            "still",
            "calm",
            &["1000 50000 -1 0 0 0 0 ", "50000 172800 0 0 0 0 0 calm"],
        ),
    ] {
        assert_eq!(
            spans(&daemon, base, host, service),
            want,
            "{host} {service}"
        );
    }
}

#[test]
fn durations_add_up_as_availability_views_ask_for_them() {
    let base = base();
    let daemon = daemon(base);
    let ask = |query: &str| {
        daemon.text(
            "live.d/a",
            format!(
                "GET statehist\n{query}Filter: time >= {}\nFilter: time <= {}\n",
                base + 1000,
                base + 2 * DAY
            ),
        )
    };
    assert_eq!(
        ask(
            "Columns: host_name service_description\nFilter: service_description = cpu\n\
             Stats: sum duration\nStats: sum duration_ok\nStats: sum duration_warning\nStats: sum duration_critical\n\
             Stats: sum duration_unknown\nStats: sum duration_unmonitored\nStats: in_downtime = 1\n"
        ),
        "h;cpu;171800;84400;1000;86400;0;0;2\n"
    );
    assert_eq!(
        ask(
            "Filter: host_name = still\nFilter: service_description = calm\nStats: sum duration_unmonitored\n"
        ),
        "49000\n"
    );
    let parts = ask(
        "Filter: service_description = cpu\nStats: sum duration_part_ok\nStats: sum duration_part_warning\n\
         Stats: sum duration_part_critical\nStats: sum duration_part_unknown\nStats: sum duration_part_unmonitored\n\
         Stats: sum duration_part\n",
    );
    let parts: Vec<f64> = parts
        .trim_end()
        .split(';')
        .map(|part| part.parse().unwrap())
        .collect();
    for (part, want) in parts.iter().zip([
        84_400.0 / 171_800.0,
        1000.0 / 171_800.0,
        86_400.0 / 171_800.0,
        0.0,
        0.0,
        1.0,
    ]) {
        assert!((part - want).abs() < 1e-9, "{parts:?}");
    }
    assert_eq!(
        ask(
            "Columns: lineno current_host_name current_service_state host_alias notification_period in_notification_period in_service_period debug_info\n\
             Filter: service_description = new\nFilter: state = 1\n"
        ),
        "6;h;0;;;1;1;\n",
        "with what is known now"
    );
    // Who is a contact of one host sees that one.
    assert_eq!(
        ask("Columns: host_name service_description\nAuthUser: joe\nStats: duration > 0\n"),
        "still;;1\nstill;calm;2\n"
    );
    assert_eq!(ask("Columns: host_name\nAuthUser: nobody\n"), "");
}

#[test]
fn a_beginning_is_needed_and_an_end_is_now() {
    let base = base();
    let daemon = daemon(base);
    for query in ["", "Filter: time <= 5\n", "Filter: state = 0\n"] {
        let answer = daemon.text(
            "live",
            format!("GET statehist\n{query}ResponseHeader: fixed16\n"),
        );
        let text = "Start of timeframe required. e.g. Filter: time > 1234567890\n";
        assert_eq!(answer, format!("452 {:>11}\n{text}", text.len()));
    }
    let before = support::now().secs();
    let until: i64 = daemon
        .cell(
            "live",
            &format!("GET statehist\nFilter: time > {base}\nFilter: host_name = still\nStats: max until\n"),
        )
        .parse()
        .unwrap();
    assert!((before..=support::now().secs()).contains(&until));
    for filter in [
        // Nothing is known of the future.
        format!("Filter: time > {}\n", before + 1000),
        format!("Filter: time >= {base}\nFilter: time <= {base}\n"),
    ] {
        let answer = daemon.text(
            "live",
            format!("GET statehist\nColumns: host_name\n{filter}"),
        );
        assert_eq!(answer, "", "{filter}");
    }
    // A client whose clock is an hour ahead asks by it, and is answered by it.
    let hour = 3600;
    let answer = daemon.text(
        "live",
        format!(
            "GET statehist\nColumns: from until duration\nLocaltime: {}\nFilter: time >= {}\nFilter: time < {}\n\
             Filter: host_name = still\nFilter: service_description =\n",
            support::now().secs() + hour,
            base + hour + 10,
            base + hour + 111
        ),
    );
    assert_eq!(
        answer,
        format!("{};{};100\n", base + hour + 10, base + hour + 110)
    );
}
