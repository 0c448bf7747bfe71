//! The metrics of a running notifyd, read by Prometheus' own library.

use harness::{Program, Site, wait_until};

use crate::notify_sites::{make_executable, notify, notifyd};

const READ: &str = "\
import sys
from prometheus_client.parser import text_string_to_metric_families
for family in text_string_to_metric_families(sys.stdin.read()):
    assert family.documentation, family.name
    assert family.type in ('gauge', 'counter'), family
    for sample in family.samples:
        labels = ','.join('%s=%s' % pair for pair in sorted(sample.labels.items()))
        print('%s{%s} %s %d' % (sample.name, labels, family.type, sample.value))
";

#[test]
fn prometheus_reads_the_metrics() {
    let import = ["/usr/bin/python3", "-c", "import prometheus_client"];
    if !harness::peer::works(&import, "python3-prometheus-client") {
        return;
    }
    let site = Site::new("remote1");
    let script = site.write("deliver", "#!/bin/sh\ntest $NOTIFY_HOSTNAME != bad\n");
    make_executable(&script);
    let metrics = site.path("var/notifyd.prom");
    let text = format!(
        "[site]\nname = 'remote1'\n[spool]\ndirectory = '{}'\n\
         [state]\nfile = '{}'\nmetrics = '{}'\ninterval = '200ms'\n\
         [[listen]]\naddress = 'unix:{}'\n[[peer]]\nsite = 'central'\n\
         [[lane]]\nname = 'ops'\nscript = '{}'\nretry = '1h'\n",
        site.path("spool").display(),
        site.path("var/notifyd.state").display(),
        metrics.display(),
        site.path("link").display(),
        script.display(),
    );
    site.write("etc/notifyd.toml", text);
    let mut running = notifyd(&site, "remote1");
    running.wait_for_line("is ready");
    for host in ["good", "bad"] {
        let entries = [
            format!("HOSTNAME={host}"),
            "NOTIFICATIONTYPE=PROBLEM".to_owned(),
        ];
        notify(&site.path("spool"), &entries).expect("accepted");
    }
    let mut lines = String::new();
    wait_until("the metrics say what happened", || {
        let text = std::fs::read(&metrics).unwrap_or_default();
        let read = Program::foreign("/usr/bin/python3", "python3")
            .args(["-c", READ])
            .input(text)
            .run();
        lines = read.success().text();
        lines.contains("sitewire_notifyd_queue_length{queue=deferred} gauge 1\n")
    });
    for line in [
        "sitewire_notifyd_info{site=remote1,version=0.1.0} gauge 1",
        "sitewire_notifyd_accepted_total{from=here} counter 2",
        "sitewire_notifyd_ended_total{end=delivered} counter 1",
        "sitewire_notifyd_ended_total{end=nobody_to_notify} counter 0",
        "sitewire_notifyd_open{} gauge 1",
        "sitewire_notifyd_lost{} gauge 0",
        "sitewire_notifyd_lane_waiting{lane=ops} gauge 1",
        "sitewire_notifyd_peer_up{peer=central} gauge 0",
        "sitewire_notifyd_disk_error{} gauge 0",
    ] {
        assert!(lines.contains(&format!("{line}\n")), "{line}\n{lines}");
    }
}
