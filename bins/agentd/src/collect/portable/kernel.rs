//! What the document knows in the form of Linux's `/proc`, which the forms for
//! Checkmk and Prometheus are made of.

use std::fmt::Write;

use agent::Document;
use agent::document::NetIo;

/// The file of this path; empty if the document knows nothing of it. What it does
/// not know of a line is 0.
pub(crate) fn file(document: &Document, path: &str) -> Vec<u8> {
    let text = match path {
        "proc/meminfo" => memory(document),
        "proc/loadavg" => load(document),
        "proc/stat" => processors(document),
        "proc/uptime" => uptime(document),
        "proc/net/dev" => interfaces(document),
        _ => None,
    };
    text.unwrap_or_default().into_bytes()
}

fn memory(document: &Document) -> Option<String> {
    let memory = document.memory.done()?;
    let mut lines = vec![
        ("MemTotal", memory.total),
        ("MemFree", memory.free),
        ("MemAvailable", memory.available),
    ];
    if let Some(swap) = document.swap.done() {
        lines.extend([("SwapTotal", swap.total), ("SwapFree", swap.free)]);
    }
    Some(joined(lines, |text, (name, bytes)| {
        writeln!(text, "{name}: {} kB", bytes >> 10)
    }))
}

fn load(document: &Document) -> Option<String> {
    let load = document.system_load.done()?;
    let processes = document.processes.done().map_or(0, Vec::len);
    let one = |load: Option<f64>| load.unwrap_or(0.0);
    let (load1, load5, load15) = (one(load.load1), one(load.load5), one(load.load15));
    Some(format!(
        "{load1:.2} {load5:.2} {load15:.2} 0/{processes} 0\n"
    ))
}

/// Only how many there are.
fn processors(document: &Document) -> Option<String> {
    let each = &document.cpu.done()?.cpu_percentage;
    Some(joined(0..each.len(), |text, number| {
        writeln!(text, "cpu{number}")
    }))
}

fn uptime(document: &Document) -> Option<String> {
    let secs = document.agent.done()?.system_uptime?;
    Some(format!("{secs}.00 0.00\n"))
}

fn interfaces(document: &Document) -> Option<String> {
    let interfaces = document.net_io.done()?;
    Some(joined(interfaces, |text, (name, io)| {
        let NetIo {
            bytes_recv,
            packets_recv,
            errin,
            dropin,
            ..
        } = io;
        let received = format!("{bytes_recv} {packets_recv} {errin} {dropin} 0 0 0 0");
        let NetIo {
            bytes_sent,
            packets_sent,
            errout,
            dropout,
            ..
        } = io;
        let sent = format!("{bytes_sent} {packets_sent} {errout} {dropout} 0 0 0 0");
        writeln!(text, "{name}: {received} {sent}")
    }))
}

fn joined<T>(
    items: impl IntoIterator<Item = T>,
    write: impl Fn(&mut String, T) -> std::fmt::Result,
) -> String {
    let mut text = String::new();
    for item in items {
        // Writing to a string does not fail.
        let _ = write(&mut text, item);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_document_knows_is_read_as_from_the_kernel() {
        let document = Document::parse(
            br#"{"agent": {"system_uptime": 90061},
                "cpu": {"cpu_percentage": [1, 2]},
                "memory": {"total": 8192, "free": 2048, "available": 4096},
                "swap": {"total": 1024, "free": 1024},
                "system_load": {"0": 0.5, "1": 1, "2": 2.25},
                "processes": [{"pid": 1}],
                "net_io": {"Ethernet 2": {"bytes_recv": 1, "packets_recv": 2, "errin": 3,
                    "bytes_sent": 5, "packets_sent": 6, "errout": 7}}}"#,
        )
        .unwrap();
        for (path, want) in [
            (
                "proc/meminfo",
                "MemTotal: 8 kB\nMemFree: 2 kB\nMemAvailable: 4 kB\n\
                 SwapTotal: 1 kB\nSwapFree: 1 kB\n",
            ),
            ("proc/loadavg", "0.50 1.00 2.25 0/1 0\n"),
            ("proc/stat", "cpu0\ncpu1\n"),
            ("proc/uptime", "90061.00 0.00\n"),
            (
                "proc/net/dev",
                "Ethernet 2: 1 2 3 0 0 0 0 0 5 6 7 0 0 0 0 0\n",
            ),
            ("proc/vmstat", ""),
        ] {
            let text = file(&document, path);
            assert_eq!(String::from_utf8_lossy(&text), want, "{path}");
        }
        assert!(file(&Document::default(), "proc/meminfo").is_empty());
    }
}
