//! The sections of `config.ini`, key by key.

use std::path::{Path, PathBuf};
use std::time::Duration;

use agent::ini::Ini;

use super::sitewire::{self, Own};
use crate::places::DIRECTORY;

use super::{
    AutoTls, Checkmk, Checks, Config, Credentials, Custom, EventLog, Keys, Level, Packages,
    Prometheus, Push, Reading, Severity, Tls, Web, note_unknown, seconds,
};

/// Keys that installations have and that mean nothing in 3.x.
const WITHOUT_MEANING: [&str; 11] = [
    "autossl-folder",
    "wineventlog-cache",
    "qemustats",
    "enable-dev-pprof",
    "alfresco-jmxuser",
    "alfresco-jmxpassword",
    "alfresco-jmxaddress",
    "alfresco-jmxport",
    "alfresco-jmxpath",
    "alfresco-jmxquery",
    "alfresco-javapath",
];

pub(super) fn read(ini: &Ini, path: &Path, reading: &mut Reading<'_>) -> Config {
    let known = [
        "default",
        "oitc",
        "prometheus",
        "packagemanager",
        "sitewire",
    ];
    note_unknown(ini, &known, reading);
    // First: it says what the defaults of the others are.
    let own = with(ini, "sitewire", reading, sitewire::read);
    let (web, tls, checks, custom_file) = with(ini, "default", reading, |keys| default(keys, &own));
    let interval = checks.interval;
    let push = with(ini, "oitc", reading, |keys| oitc(keys, interval, own.safe));
    let prometheus = with(ini, "prometheus", reading, prometheus);
    let packages = with(ini, "packagemanager", reading, packages);
    Config {
        path: path.to_owned(),
        web,
        tls,
        checks,
        custom: Custom {
            file: custom_file,
            checks: Vec::new(),
            workers: own.workers,
            output: own.output,
        },
        prometheus,
        packages,
        push,
        checkmk: Checkmk {
            listen: own.checkmk_address,
            from: own.checkmk_from,
        },
        settings: Vec::new(),
    }
}

fn with<T>(
    ini: &Ini,
    name: &str,
    reading: &mut Reading<'_>,
    read: impl FnOnce(&mut Keys<'_, '_>) -> T,
) -> T {
    let mut keys = Keys::new(name, ini.section(name), Severity::Fatal, reading);
    let value = read(&mut keys);
    keys.finish();
    value
}

fn in_directory(name: &str) -> PathBuf {
    Path::new(DIRECTORY).join(name)
}

fn default(keys: &mut Keys<'_, '_>, own: &Own) -> (Web, Tls, Checks, PathBuf) {
    let tls = tls(keys, own);
    let web = web(keys, own, &tls);
    let checks = checks(keys, own);
    let custom = keys.path("customchecks", &in_directory("customchecks.ini"));
    for key in WITHOUT_MEANING {
        keys.ignore(key);
    }
    if keys.flag("alfrescostats", false) {
        keys.warn("alfrescostats", "there is no check of Alfresco".to_owned());
    }
    (web, tls, checks, custom)
}

fn web(keys: &mut Keys<'_, '_>, own: &Own, tls: &Tls) -> Web {
    let auth = auth(keys);
    // Without anything that tells friend from foe, only this machine may ask.
    let guarded = auth.is_some() || tls.own.is_some() || tls.auto.first.is_guarded();
    let address = match own.safe && !guarded {
        true => "127.0.0.1",
        false => "",
    };
    let port = keys.integer("port", 3333);
    Web {
        address: keys.text("address", address),
        port: u16::try_from(port).unwrap_or_else(|_| {
            keys.refuse("port", format!("{port} is no port"));
            3333
        }),
        auth,
        config_update: keys.flag("config-update-mode", false),
        connections: own.connections,
    }
}

fn auth(keys: &mut Keys<'_, '_>) -> Option<Credentials> {
    let auth = keys.secret("auth");
    if auth.is_empty() {
        return None;
    }
    let Some((user, password)) = auth.split_once(':') else {
        keys.refuse("auth", "`auth` is not of the form USER:PASSWORD".to_owned());
        return None;
    };
    Some(Credentials {
        user: user.to_owned(),
        password: password.to_owned(),
    })
}

fn tls(keys: &mut Keys<'_, '_>, own: &Own) -> Tls {
    let enabled = keys.flag("try-autossl", false);
    let level = level(keys, own.safe);
    let none = Path::new("");
    let certificate = keys.path("certfile", none);
    let key = keys.path("keyfile", none);
    let is_set = |path: &Path| !path.as_os_str().is_empty();
    if is_set(&certificate) != is_set(&key) {
        let text = "`certfile` and `keyfile` mean nothing without each other";
        keys.warn("certfile", text.to_owned());
    }
    let auto = AutoTls {
        enabled,
        csr: keys.path("autossl-csr-file", &in_directory("agent.csr")),
        certificate: keys.path("autossl-crt-file", &in_directory("agent.crt")),
        key: keys.path("autossl-key-file", &in_directory("agent.key")),
        ca: keys.path("autossl-ca-file", &in_directory("server_ca.crt")),
        key_type: own.key_type,
        first: own.first.clone(),
    };
    Tls {
        level,
        own: (is_set(&certificate) && is_set(&key)).then_some((certificate, key)),
        auto,
    }
}

fn level(keys: &mut Keys<'_, '_>, safe: bool) -> Level {
    // An example file of the original once had it with underscores.
    let key = match keys.has("tls-security-level") || !keys.has("tls_security_level") {
        true => "tls-security-level",
        false => "tls_security_level",
    };
    keys.ignore("tls_security_level");
    let default = if safe { "modern" } else { "lax" };
    let text = keys.text(key, default);
    match text.trim().to_ascii_lowercase().as_str() {
        "modern" => Level::Modern,
        "intermediate" => Level::Intermediate,
        "lax" => Level::Lax,
        _ => {
            keys.warn(
                key,
                format!(
                    "`{key} = {text}` is none of lax, intermediate and modern, and acts as lax"
                ),
            );
            Level::Lax
        }
    }
}

fn checks(keys: &mut Keys<'_, '_>, own: &Own) -> Checks {
    let interval = keys.integer("interval", 30);
    if interval < 1 {
        keys.refuse(
            "interval",
            "`interval` must be at least 1 second".to_owned(),
        );
    }
    Checks {
        interval: seconds(interval.max(1)),
        cpu: keys.flag("cpustats", true),
        load: keys.flag("load", true),
        memory: keys.flag("memory", true),
        swap: keys.flag("swap", true),
        processes: keys.flag("processstats", true),
        net_stats: keys.flag("netstats", true),
        net_io: keys.flag("netio", true),
        disks: keys.flag("diskstats", true),
        disk_io: keys.flag("diskio", true),
        sensors: keys.flag("sensorstats", false),
        users: keys.flag("userstats", true),
        ntp: keys.flag("ntp", true),
        chrony: own.chrony,
        ntp_server: own.ntp,
        systemd: keys.flag("systemdservices", true),
        launchd: keys.flag("launchdservices", false),
        windows_services: keys.flag("winservices", true),
        event_log: EventLog {
            enabled: keys.flag("wineventlog", true),
            logs: keys.list("wineventlog-logtypes", "System,Application"),
            age: seconds(keys.integer("wineventlog-age", 3600)),
            method: keys.text("wineventlog-method", "WMI"),
        },
        docker: keys.flag("dockerstats", false),
        libvirt: keys.flag("libvirt", true),
    }
}

fn oitc(keys: &mut Keys<'_, '_>, interval: Duration, safe: bool) -> Push {
    keys.ignore("hostuuid");
    let enabled = keys.flag("enabled", false);
    let url = keys.text("url", "");
    let apikey = keys.secret("apikey");
    if enabled && !(url.starts_with("http://") || url.starts_with("https://")) {
        keys.refuse(
            "url",
            format!("`url = {url}` does not begin with http:// or https://"),
        );
    }
    if enabled && apikey.is_empty() {
        keys.warn(
            "apikey",
            "`apikey` is empty: the server will refuse us".to_owned(),
        );
    }
    if !apikey
        .bytes()
        .all(|byte| byte == b' ' || byte.is_ascii_graphic())
    {
        keys.refuse(
            "apikey",
            "`apikey` has characters that HTTP does not allow".to_owned(),
        );
    }
    let timeout = match keys.integer("timeout", 0) {
        ..=0 => interval.saturating_sub(Duration::from_secs(1)),
        number => seconds(number),
    };
    let verify = keys.flag("verify-server-certificate", safe);
    if enabled && url.starts_with("https://") && !verify {
        let text = "the server's certificate is not looked at: anybody on the way can read and change what is pushed";
        keys.warn("verify-server-certificate", text.to_owned());
    }
    Push {
        enabled,
        url,
        apikey,
        proxy: keys.text("proxy", ""),
        timeout: timeout.max(Duration::from_secs(1)),
        verify,
        webserver: keys.flag("enable-webserver", false),
        auth_file: keys.path("authfile", &in_directory("auth.json")),
    }
}

fn prometheus(keys: &mut Keys<'_, '_>) -> Prometheus {
    Prometheus {
        enabled: keys.flag("enabled", false),
        file: keys.path("exporters", &in_directory("prometheus_exporters.ini")),
        exporters: Vec::new(),
    }
}

fn packages(keys: &mut Keys<'_, '_>) -> Packages {
    let minutes = keys.integer("check-interval", 60);
    if minutes < 1 {
        let text =
            format!("`check-interval = {minutes}` is less than a minute, which is what counts");
        keys.warn("check-interval", text);
    }
    Packages {
        enabled: keys.flag("enabled", true),
        interval: seconds(minutes.clamp(1, 1 << 20) * 60),
        // The original refreshes over the network, as root, unless told otherwise.
        update_check: keys.flag("enable-update-check", false),
        alternatives: keys.flag("enable-alternative-packagemanagers", false),
        description_length: usize::try_from(keys.integer("limit-description-length", 80)).ok(),
    }
}
