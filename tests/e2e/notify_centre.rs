//! One site that delivers: a notifyd with some lanes, what is submitted to it,
//! and what it says became of that.

use harness::{Running, Site, wait_for};
use serde_json::Value;

use crate::notify_sites::{notify, notifyctl, notifyd};

pub(crate) struct Centre {
    pub(crate) site: Site,
    _running: Running,
}

impl Centre {
    /// One that is called `central`. `configure` makes the files that it needs, and
    /// the rest of its configuration, in which `@` stands for its directory.
    pub(crate) fn start(configure: impl FnOnce(&Site) -> String) -> Self {
        let site = Site::new("central");
        let rest = configure(&site);
        let at = site.directory().display().to_string();
        let text = format!(
            "[site]\nname = 'central'\n[spool]\ndirectory = '@/spool'\n\
             [state]\nfile = '@/var/notifyd.state'\ninterval = '200ms'\n{rest}"
        );
        site.write(
            "etc/notifyd.toml",
            text.replace("'@/", &format!("'{at}/"))
                .replace("\"@/", &format!("\"{at}/")),
        );
        let mut running = notifyd(&site, "central");
        running.wait_for_line("is ready");
        Self {
            site,
            _running: running,
        }
    }

    /// Submits one; its id.
    #[track_caller]
    pub(crate) fn notify(&self, entries: &[(&str, &str)]) -> String {
        let entries: Vec<String> = entries
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        notify(&self.site.path("spool"), &entries).expect("accepted")
    }

    /// What `notifyctl trace --json` says.
    pub(crate) fn trace(&self, id: &str) -> Vec<Value> {
        trace(&self.site, id)
    }

    /// Waits for the end of a notification; what each attempt said, and the end.
    #[track_caller]
    pub(crate) fn outcome(&self, id: &str) -> Vec<String> {
        let trace = wait_for(&format!("the end of {id}"), || {
            let trace = self.trace(id);
            trace
                .iter()
                .any(|event| event["event"] == "ended")
                .then_some(trace)
        });
        let words = trace.iter().filter_map(|event| {
            let text = event["text"].as_str().unwrap_or_default();
            match event["event"].as_str()? {
                "result" => Some(text.split_once(" ended, ")?.1.to_owned()),
                "ended" => Some(text.to_owned()),
                _ => None,
            }
        });
        words.collect()
    }

    /// Submits one and waits for its end.
    #[track_caller]
    pub(crate) fn deliver(&self, entries: &[(&str, &str)]) -> Vec<String> {
        let id = self.notify(entries);
        self.outcome(&id)
    }
}

/// What `notifyctl trace --json` says at `site`; nothing where it is not known.
pub(crate) fn trace(site: &Site, id: &str) -> Vec<Value> {
    let text = notifyctl(site, &["trace", "--json", id]).unwrap_or_default();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}
