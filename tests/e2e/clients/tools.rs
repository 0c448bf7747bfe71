//! What people type: `nc` and `socat`, with which every manual shows Livestatus.

use harness::livestatus::rows;
use harness::{Livestatusd, Program, peer, wait_until};
use serde_json::json;

use super::{client, site};

/// Asks in both ways that a request can end.
pub(super) fn asks(tool: impl Fn() -> Program) {
    let text = |request: &str| {
        let outcome = tool().input(request).run().success();
        assert_eq!(outcome.errors(), "", "{request}");
        String::from_utf8(outcome.stdout).expect("UTF-8")
    };

    // csv, as it comes without any header; the tool closes its sending side.
    let query = "GET hosts\nColumns: name state alias\nFilter: state = 1\n";
    let router = "router;1;O'Reilly's router\n";
    for end in ["", "\n", "\n\n\n"] {
        assert_eq!(text(&format!("{query}{end}")), router, "{end:?}");
    }
    assert_eq!(
        text(query.trim_end()),
        router,
        "a last line without line feed"
    );
    assert_eq!(
        text(&query.replace('\n', "\r\n")),
        router,
        "lines of Windows"
    );
    let output = text(
        "GET services\nColumns: description plugin_output perf_data\nFilter: description ~~ grösse|größe\n",
    );
    let truth = &site::SERVICES[2];
    assert_eq!(
        output,
        format!(
            "{};{};{}\n",
            truth.description, truth.output, truth.perf_data
        )
    );

    // A large answer is whole.
    let answer = text(
        "GET services\nColumns: long_plugin_output\nFilter: has_been_checked = 1\nOutputFormat: json\n\n",
    );
    let answer: Vec<Vec<String>> = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer.len(), 5);
    assert!(
        answer
            .iter()
            .all(|row| row[0] == site::long_plugin_output())
    );

    // Several requests in one go, with frames.
    let framed = "ResponseHeader: fixed16\nKeepAlive: on\n\n";
    let several = format!(
        "GET services\nStats: state = 2\n{framed}GET nosuch\n{framed}GET hosts\nStats: state = 1\n{framed}"
    );
    let error = "Invalid GET request, no such table 'nosuch'\n";
    let want = format!(
        "200           2\n2\n404 {:>11}\n{error}200           2\n1\n",
        error.len()
    );
    assert_eq!(text(&several), want);
    assert_eq!(
        text("GET nosuch\n\n"),
        "",
        "an error without a frame would be taken for data"
    );
}

/// Hands in a result and reads it back in the same go, then is refused.
pub(super) fn commands(central: &Livestatusd, tool: impl Fn() -> Program, output: &str) {
    let request = format!(
        "COMMAND [{}] PROCESS_SERVICE_CHECK_RESULT;neu;Ping;2;{output}|rta=1s\n\n\
         GET services\nColumns: plugin_output\nFilter: description = Ping\n\n",
        site::now()
    );
    assert_eq!(
        tool().input(request).run().success().text(),
        format!("{output}\n")
    );
    let live = central.live("remote1");
    let columns = ["state", "plugin_output", "perf_data"];
    wait_until("the result is seen", || {
        rows(&live, "services", &columns, &["Filter: description = Ping"])
            == [[json!(2), json!(output), json!("rta=1s")]]
    });
    let refused = tool()
        .input("COMMAND [0] NO_SUCH_COMMAND;neu\n")
        .run()
        .success();
    assert!(
        refused.text().starts_with("400: NO_SUCH_COMMAND"),
        "{}",
        refused.text()
    );
}

#[test]
fn netcat() {
    if !peer::available("nc.openbsd", "netcat-openbsd") {
        return;
    }
    let central = site::start();
    let nc = || {
        client("nc.openbsd", "nc")
            .args(["-N", "-U"])
            .arg(central.merged())
    };
    asks(nc);
    commands(&central, nc, "CRIT - von \"nc\"; 💥");
}

#[test]
fn socat() {
    if !peer::available("socat", "socat") {
        return;
    }
    let central = site::start();
    let socket = format!("UNIX-CONNECT:{}", central.merged().display());
    let socat = || client("socat", "socat").args(["-t60", "-"]).arg(&socket);
    asks(socat);
    commands(&central, socat, "CRIT - von \"socat\"; 💥");
}
