//! `notifyctl import-config`: the configuration of Checkmk's spooler, in the keys
//! of notifyd.toml(5).

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::Path;

use bstr::{BString, ByteSlice};
use nagios::python::{Limits, Value, parse_assignments};
use objects::SiteId;
use program::{Failure, Status};

use crate::cli::migration::ImportConfig;

/// How much of a file is read.
const LIMITS: Limits = Limits {
    bytes: 4 << 20,
    string: 1 << 16,
    values: 100_000,
    depth: 16,
};
/// Stands where only a person knows.
const PLACEHOLDER: &str = "CHANGE-ME";

pub(crate) fn show(args: &ImportConfig, out: &mut dyn Write) -> Result<Status, Failure> {
    let mut settings = Settings::default();
    for path in &args.files {
        settings.read(path)?;
    }
    let site = args.site.as_ref().map(ToString::to_string);
    let of_omd = || std::env::var("OMD_SITE").ok();
    let site = site.or_else(of_omd);
    let names: Vec<String> = args.files.iter().map(|p| p.display().to_string()).collect();
    let mut text = format!("# notifyd.toml(5), made of {}\n\n", names.join(", "));
    translate(&settings, site.as_deref(), &mut text);
    out.write_all(text.as_bytes())
        .map_err(|_| Failure::silent(Status::Failed))?;
    Ok(Status::Done)
}

/// What the files say.
#[derive(Default)]
struct Settings {
    /// Of the core's domain, and the spooler's of the first generation.
    globals: Vec<(BString, Value)>,
    /// The dict of the spooler.
    spooler: Vec<(BString, Value)>,
}

impl Settings {
    fn read(&mut self, path: &Path) -> Result<(), Failure> {
        let failed = |cause: Box<dyn std::error::Error + Send + Sync>| {
            let what = format!("cannot read {}", path.display());
            Failure::caused(Status::Failed, what, cause)
        };
        let mut bytes = Vec::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(LIMITS.bytes as u64 + 1).read_to_end(&mut bytes))
            .map_err(|error| failed(error.into()))?;
        self.add(&bytes).map_err(|error| failed(error.into()))
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), nagios::Error> {
        for (name, value) in parse_assignments(bytes, LIMITS)? {
            match value {
                // The shorter name is that of the first generations.
                Value::Dict(entries)
                    if name == "notification_spooler_config" || name == "config" =>
                {
                    for (key, value) in entries {
                        if let Value::Str(key) = key {
                            set(&mut self.spooler, key, value);
                        }
                    }
                }
                value => set(&mut self.globals, name, value),
            }
        }
        Ok(())
    }

    fn global(&self, name: &str) -> Option<&Value> {
        get(&self.globals, name)
    }

    fn spooler(&self, name: &str) -> Option<&Value> {
        get(&self.spooler, name)
    }

    /// Whether notifications leave for other sites, if it is said.
    fn forwards(&self) -> Option<bool> {
        if let Some(Value::Str(mode)) = self.global("notification_spooling") {
            return Some(mode == "remote" || mode == "both");
        }
        match self.global("notification_spool_to") {
            None | Some(Value::None) => None,
            Some(_) => Some(true),
        }
    }

    /// Whether they are delivered here, if it is said.
    fn delivers(&self) -> Option<bool> {
        match self.global("notification_spooling") {
            Some(Value::Str(mode)) => Some(mode != "remote"),
            _ => None,
        }
    }

    fn cooldown(&self) -> Option<i64> {
        let old = self.global("notification_deferred_retention_time");
        integer(self.spooler("deferred_cooldown").or(old))
    }
}

fn set(entries: &mut Vec<(BString, Value)>, name: BString, value: Value) {
    match entries.iter_mut().find(|(known, _)| *known == name) {
        Some(entry) => entry.1 = value,
        None => entries.push((name, value)),
    }
}

fn get<'a>(entries: &'a [(BString, Value)], name: &str) -> Option<&'a Value> {
    let entry = entries.iter().find(|(known, _)| known == name);
    entry.map(|(_, value)| value)
}

/// The value of a key of a dict.
fn key<'a>(dict: &'a Value, name: &str) -> Option<&'a Value> {
    let Value::Dict(entries) = dict else {
        return None;
    };
    // The last of equal keys counts.
    let mut entries = entries.iter().rev();
    entries
        .find(|(key, _)| matches!(key, Value::Str(key) if key == name))
        .map(|(_, value)| value)
}

fn integer(value: Option<&Value>) -> Option<i64> {
    match value? {
        Value::Int(number) => Some(*number),
        _ => None,
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Str(text) => text.to_str().ok().map(str::to_owned),
        _ => None,
    }
}

fn items(value: Option<&Value>) -> &[Value] {
    match value {
        Some(Value::List(items)) => items,
        _ => &[],
    }
}

fn translate(settings: &Settings, site: Option<&str>, out: &mut String) {
    let site = site.filter(|site| SiteId::new(site).is_ok());
    out.push_str("[site]\n");
    if site.is_none() {
        out.push_str("# The id of this site; Checkmk's configuration does not say it.\n");
    }
    let name = site.unwrap_or(PLACEHOLDER);
    let _ = writeln!(out, "name = {}\n", quoted(name));
    let listens = listen_port(settings).is_some();
    let connects = !outgoing(settings).is_empty();
    if listens || connects {
        let directory = "/etc/sitewire/certs";
        let _ = writeln!(
            out,
            "# Links have TLS with certificates on both sides, whatever Checkmk used;\n\
             # sitecert(1) makes these files.\n\
             [tls]\ncertificate = {}\nkey = {}\nca = {}\n",
            quoted(&format!("{directory}/{name}.crt")),
            quoted(&format!("{directory}/{name}.key")),
            quoted(&format!("{directory}/ca.crt"))
        );
    }
    listen(settings, out);
    peers(settings, out);
    lanes(settings, name, out);
    rest(settings, out);
}

fn listen_port(settings: &Settings) -> Option<i64> {
    let incoming = settings.spooler("incoming");
    let port = incoming.map(|dict| integer(key(dict, "listen_port")).unwrap_or(6555));
    port.or_else(|| integer(settings.global("notification_daemon_listen_port")))
}

fn listen(settings: &Settings, out: &mut String) {
    let Some(port) = listen_port(settings) else {
        return;
    };
    let _ = writeln!(out, "[[listen]]\naddress = \"0.0.0.0:{port}\"");
    if let Some(incoming) = settings.spooler("incoming") {
        connection_comments(incoming, out);
    }
    let _ = writeln!(
        out,
        "\n# One such table for every site that connects to this one. Checkmk does not\n\
         # say which they are.\n\
         # [[peer]]\n\
         # site = \"{PLACEHOLDER}\"\n"
    );
}

/// Address and port, and the dict with the rest.
fn outgoing(settings: &Settings) -> Vec<(String, i64, Option<&Value>)> {
    let mut all = Vec::new();
    for dict in items(settings.spooler("outgoing")) {
        let address = text(key(dict, "address")).unwrap_or_else(|| PLACEHOLDER.to_owned());
        let port = integer(key(dict, "port")).unwrap_or(6555);
        all.push((address, port, Some(dict)));
    }
    if let Some(Value::Tuple(to)) = settings.global("notification_spool_to")
        && let (Some(address), Some(port)) = (text(to.first()), integer(to.get(1)))
    {
        all.push((address, port, None));
    }
    all
}

fn peers(settings: &Settings, out: &mut String) {
    for (number, (address, port, dict)) in outgoing(settings).into_iter().enumerate() {
        let address = match address.contains(':') && !address.starts_with('[') {
            true => format!("[{address}]:{port}"),
            false => format!("{address}:{port}"),
        };
        let _ = writeln!(
            out,
            "[[peer]]\n\
             # The id of the site there, as in its certificate.\n\
             site = \"{PLACEHOLDER}-{}\"\n\
             connect = {}",
            number + 1,
            quoted(&address)
        );
        match settings.forwards() {
            Some(forwards) => {
                let _ = writeln!(out, "send = {forwards}");
            }
            None => out.push_str(
                "# notification_spooling is not in the files read: true if this site\n\
                 # forwards to that one, false if it only receives.\n\
                 send = true\n",
            ),
        }
        if let Some(dict) = dict {
            connection_comments(dict, out);
        }
        out.push('\n');
    }
}

/// What a connection is set to and needs no setting here.
fn connection_comments(dict: &Value, out: &mut String) {
    for (name, why) in [
        ("heartbeat_interval", "both ends agree on it"),
        ("heartbeat_timeout", "a link is dead after 30 s of silence"),
        ("cooldown", "1 s at first, doubling up to a minute"),
        ("connect_timeout", "10 s"),
        ("encryption", "always TLS 1.3"),
        ("authentication", "always by certificates"),
    ] {
        if let Some(value) = key(dict, name) {
            let _ = writeln!(out, "# {name} = {}: no key here; {why}", literal(value));
        }
    }
}

fn lanes(settings: &Settings, site: &str, out: &mut String) {
    let concurrency = items(settings.spooler("concurrency"));
    if settings.delivers() == Some(false) {
        out.push_str(
            "# notification_spooling is 'remote': nothing is delivered here, so no lanes.\n\n",
        );
    } else if concurrency.is_empty() {
        out.push_str(
            "# No plugin has settings of its own. A site that delivers needs a [[lane]] for\n\
             # each of its ways; which plugins it uses stands in Checkmk's rules.\n\n",
        );
    }
    for item in concurrency {
        let (Some(plugin), dict) = (match item {
            Value::Tuple(pair) => (text(pair.first()), pair.get(1)),
            _ => (None, None),
        }) else {
            let _ = writeln!(out, "# concurrency has {}: not understood\n", literal(item));
            continue;
        };
        let lane = plugin.replace(|c: char| !c.is_ascii_alphanumeric() && c != '_', "-");
        let lane = match lane.trim_start_matches('-') {
            "" => "plugin",
            lane => lane,
        };
        let setting = |name| dict.and_then(|dict| integer(key(dict, name)));
        let _ = writeln!(
            out,
            "# Every notification goes to every lane; Checkmk's rules stay with Checkmk.\n\
             # Stock plugins are in share/check_mk/notifications.\n\
             [[lane]]\n\
             name = {}\n\
             script = {}\n\
             timeout = \"{}s\"",
            quoted(lane),
            quoted(&format!(
                "/omd/sites/{site}/local/share/check_mk/notifications/{plugin}"
            )),
            setting("timeout").unwrap_or(60)
        );
        if let Some(cooldown) = settings.cooldown() {
            let _ = writeln!(out, "retry = \"{cooldown}s\"");
        }
        if let Some(retries) = setting("retries") {
            let _ = writeln!(
                out,
                "# retries = {retries}: no key here; it is tried again until `expire`, by default for 24h"
            );
        }
        if let Some(count) = setting("process_count") {
            let _ = writeln!(out, "# process_count = {count}: a lane runs one at a time");
        }
        out.push('\n');
    }
}

/// What is left: names that were read and mean something else here, or nothing.
fn rest(settings: &Settings, out: &mut String) {
    let mut lines = String::new();
    for (name, value) in &settings.spooler {
        let why = match name.to_str().unwrap_or_default() {
            "incoming" | "outgoing" | "concurrency" => continue,
            "deferred_cooldown" => "the key `retry` of every lane",
            "deferred_force_retransmit" => {
                "what is not acknowledged is sent again at once when a link comes up"
            }
            "forwarding_process_count" => "one thread writes the journal, links share it",
            "log_level" => "see the option -v of notifyd",
            _ => "unknown, no counterpart",
        };
        let _ = writeln!(lines, "# {} = {}: {why}", shown(name), literal(value));
    }
    for (name, value) in &settings.globals {
        let why = match name.to_str().unwrap_or_default() {
            "notification_daemon_listen_port" => continue,
            "notification_spooling" | "notification_spool_to" => "in `send` of the peers",
            "notification_deferred_retention_time" => "the key `retry` of every lane",
            "notification_plugin_timeout" => "the key `timeout` of every lane",
            "notification_logging" => "see the option -v of notifyd",
            "notification_backlog" => "notifyctl trace shows what was",
            name if name.starts_with("notification_") => "no counterpart",
            // Other settings of the core are none of the spooler's.
            _ => continue,
        };
        let _ = writeln!(lines, "# {} = {}: {why}", shown(name), literal(value));
    }
    if !lines.is_empty() {
        out.push_str("# Read, and not a key of its own here:\n");
        out.push_str(&lines);
    }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A value as Python prints it, short enough for a comment.
fn literal(value: &Value) -> String {
    let mut out = Vec::new();
    value.print(&mut out);
    let mut text = out.to_str_lossy().into_owned();
    if text.len() > 120 {
        text.truncate(text.floor_char_boundary(117));
        text.push_str("...");
    }
    text
}

fn shown(name: &[u8]) -> String {
    program::log::quote(name, 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GLOBAL: &str = "\
# Created by WATO
# encoding: utf-8

notification_spooler_config = {'log_level': 20, 'deferred_cooldown': 120,
    'deferred_force_retransmit': 1800, 'outgoing': [{'address': '192.0.2.7', 'port': 6555,
    'heartbeat_interval': 10, 'heartbeat_timeout': 3, 'cooldown': 20, 'encryption': 'upgradable'}],
    'concurrency': [('mail', {'process_count': 4, 'retries': 3, 'timeout': 90})]}
";

    fn translated(files: &[&str], site: Option<&str>) -> String {
        let mut settings = Settings::default();
        for file in files {
            settings.add(file.as_bytes()).unwrap();
        }
        let mut out = String::new();
        translate(&settings, site, &mut out);
        out
    }

    fn keys(text: &str) -> Vec<&str> {
        let lines = text.lines();
        lines
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .collect()
    }

    #[test]
    fn what_has_a_counterpart_becomes_a_key_and_the_rest_a_comment() {
        let text = translated(
            &[GLOBAL, "notification_spooling = 'both'\n"],
            Some("branch7"),
        );
        assert_eq!(
            keys(&text),
            [
                "[site]",
                "name = \"branch7\"",
                "[tls]",
                "certificate = \"/etc/sitewire/certs/branch7.crt\"",
                "key = \"/etc/sitewire/certs/branch7.key\"",
                "ca = \"/etc/sitewire/certs/ca.crt\"",
                "[[peer]]",
                "site = \"CHANGE-ME-1\"",
                "connect = \"192.0.2.7:6555\"",
                "send = true",
                "[[lane]]",
                "name = \"mail\"",
                "script = \"/omd/sites/branch7/local/share/check_mk/notifications/mail\"",
                "timeout = \"90s\"",
                "retry = \"120s\"",
            ]
        );
        for comment in [
            "# encryption = 'upgradable': no key here; always TLS 1.3",
            "# cooldown = 20: no key here; 1 s at first, doubling up to a minute",
            "# deferred_force_retransmit = 1800: ",
            "# retries = 3: ",
            "# process_count = 4: ",
            "# notification_spooling = 'both': in `send` of the peers",
        ] {
            assert!(text.contains(comment), "{comment}:\n{text}");
        }
    }

    #[test]
    fn site_specific_files_count_more_and_old_names_are_known() {
        let specific = "notification_spooler_config.update({'outgoing': [], 'incoming': \
                        {'listen_port': 6556, 'encryption': 'unencrypted'}})\n";
        let text = translated(
            &[GLOBAL, specific, "notification_spooling = 'remote'"],
            None,
        );
        let keys_of = keys(&text);
        assert!(keys_of.contains(&"address = \"0.0.0.0:6556\""), "{text}");
        assert!(!text.contains("192.0.2.7"), "{text}");
        assert!(keys_of.contains(&"name = \"CHANGE-ME\""), "{text}");
        let old = "notification_daemon_listen_port = 6555\n\
                   notification_deferred_retention_time = 300\n\
                   notification_spool_to = ('2001:db8::1', 6555, True)\n";
        let text = translated(&[old], Some("old"));
        let keys = keys(&text);
        for key in [
            "address = \"0.0.0.0:6555\"",
            "connect = \"[2001:db8::1]:6555\"",
            "send = true",
        ] {
            assert!(keys.contains(&key), "{key}:\n{text}");
        }
    }

    #[test]
    fn whatever_the_values_are_the_result_is_toml() {
        let odd = "notification_spooler_config = {'outgoing': [{'address': 'a\"b\\n[c]', 'port': 'x'}, 5],\n\
                   'incoming': None, 'concurrency': [('--', {}), ('a\\u2028b', None), 7, ()],\n\
                   'log_level': '\\n[site]\\n', 'x\\ny': 1}\nnotification_backlog = 'a\\nb'\n";
        let text = translated(&[odd], Some("not/one"));
        let mut problems = Vec::new();
        program::config::Table::parse("x", &text, &mut problems);
        assert!(problems.is_empty(), "{problems:?}\n{text}");
    }
}
