//! Our status core, as the display of some sites.

use std::path::PathBuf;

use crate::{Clock, Program, Running, Site, wait_for};

/// A `livestatusd` in a site of its own.
pub struct Livestatusd {
    /// The process.
    pub process: Running,
    /// Where it runs.
    pub site: Site,
}

impl Livestatusd {
    /// Starts one that shows `sites`, with nothing in them yet.
    #[track_caller]
    pub fn start(sites: &[&str]) -> Self {
        Self::start_with(sites, "")
    }

    /// As [`Livestatusd::start`], with more lines of configuration.
    #[track_caller]
    pub fn start_with(sites: &[&str], more: &str) -> Self {
        Self::start_by(None, sites, more)
    }

    /// As [`Livestatusd::start_with`], going by another clock than ours.
    #[track_caller]
    pub fn start_by(clock: Option<&Clock>, sites: &[&str], more: &str) -> Self {
        let site = Site::new("central");
        for name in sites {
            let directory = site.path("etc/shadow").join(name);
            std::fs::create_dir_all(directory).expect("cannot make a directory");
        }
        for directory in ["live.d", "ingest.d"] {
            std::fs::create_dir_all(site.socket(directory)).expect("cannot make a directory");
        }
        let at = site.directory().display();
        let configuration = format!(
            "socket = \"{at}/tmp/run/live\"\n\
             site_sockets = \"{at}/tmp/run/live.d\"\n\
             ingest_sockets = \"{at}/tmp/run/ingest.d\"\n\
             configuration = \"{at}/etc/shadow\"\n\
             snapshot = \"{at}/var/livestatusd.snapshot\"\n{more}\n"
        );
        site.write("etc/livestatusd.toml", configuration);
        let process = Self::launch(clock, &site);
        Self { process, site }
    }

    #[track_caller]
    fn launch(clock: Option<&Clock>, site: &Site) -> Running {
        let program = Program::new("livestatusd")
            .arg("--config")
            .arg(site.path("etc/livestatusd.toml"));
        let mut process = match clock {
            Some(clock) => clock.run(program).start(),
            None => program.start(),
        };
        // Not by connecting: a stream that ends at once is an incomplete dump.
        let mut sockets = vec![site.socket("live")];
        for entry in std::fs::read_dir(site.path("etc/shadow")).expect("made above") {
            let name = entry.expect("readable").file_name();
            sockets.push(site.socket("live.d").join(&name));
            sockets.push(site.socket("ingest.d").join(&name));
        }
        for socket in sockets {
            process.wait_for_line(&format!("listening on {}", socket.display()));
        }
        process
    }

    /// Kills it and starts it again in the same place.
    #[track_caller]
    pub fn restart(self) -> Self {
        Self::start_again(self.stop())
    }

    /// Asks it to end, and returns the place it leaves.
    #[track_caller]
    pub fn stop(self) -> Site {
        self.process.terminate();
        self.site
    }

    /// Starts it where it has been before.
    #[track_caller]
    pub fn start_again(site: Site) -> Self {
        let process = Self::launch(None, &site);
        Self { process, site }
    }

    /// The socket that shows all sites.
    pub fn merged(&self) -> PathBuf {
        self.site.socket("live")
    }

    /// The socket that shows one site.
    pub fn live(&self, site: &str) -> PathBuf {
        self.site.socket("live.d").join(site)
    }

    /// The socket that takes the dumps of one site.
    pub fn ingest(&self, site: &str) -> PathBuf {
        self.site.socket("ingest.d").join(site)
    }

    /// The ports of its listeners on the network, in the order of the
    /// configuration.
    #[track_caller]
    pub fn ports<const N: usize>(&self) -> [u16; N] {
        wait_for("the ports", || {
            let log = self.process.log();
            let addresses = log
                .iter()
                .filter_map(|line| line.split_once("listening on t"));
            let ports: Vec<u16> = addresses
                .filter_map(|(_, address)| address.rsplit(':').next()?.parse().ok())
                .collect();
            ports.try_into().ok()
        })
    }

    /// Puts a shadow configuration into place and has it read.
    pub fn configure(&self, site: &str, configuration: &[u8]) {
        let file = format!("etc/shadow/{site}/shadow.mk");
        self.site.write(file, configuration);
        self.process.hang_up();
    }
}
