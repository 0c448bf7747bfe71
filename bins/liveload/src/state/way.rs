//! The way into the core that the command line names, opened for one site.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use objects::{DumpBegin, DumpContent, DumpMode, SiteId, UnixTime};
use program::connection::{Limits, Target};
use program::{Address, Failure, Status};
use transfer::Ledger;

use super::backend::{Backend, Nothing};
use super::command::{Livestatus, Pipe};
use super::icinga2::Icinga2;
use super::ingest::Ingest;
use super::process_file::ProcessFile;
use super::spool::Spool;
use crate::cli::{self, Backend as To};

/// How long connecting to a core may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a core may be silent, or not read.
const SILENCE: Duration = Duration::from_secs(60);

/// What opening it needs to know.
pub(super) struct Way<'a> {
    pub(super) args: &'a cli::Way,
    pub(super) tls: &'a cli::Tls,
    pub(super) ledger: &'a Ledger,
    /// For whom.
    pub(super) site: &'a SiteId,
    /// How long the core may take to read what came before.
    pub(super) wait: Duration,
    /// It leads nowhere.
    pub(super) dry_run: bool,
}

impl Way<'_> {
    /// Opens it for a dump that began like that, if it did.
    pub(super) fn open(&self, begin: Option<&DumpBegin>) -> Result<Box<dyn Backend>, Failure> {
        if self.dry_run {
            return Ok(Box::new(Nothing));
        }
        let args = self.args;
        Ok(match args.backend {
            To::Spool => Box::new(Spool::open(
                &self.spool_directory()?,
                self.site,
                args.file_mode,
                args.core.of_files(),
                self.ledger.file(self.site, "spool"),
                self.wait,
            )?),
            To::Pipe => Box::new(Pipe::open(self.target()?.as_ref(), args.core)?),
            To::ProcessFile => Box::new(ProcessFile::open(
                self.target()?.as_ref(),
                args.file_dir.as_deref(),
                self.site,
                args.file_mode,
                args.core,
                self.wait,
            )?),
            To::Livestatus => {
                let target = server(self.address()?, self.tls)?;
                Box::new(Livestatus::open(&target, args.core)?)
            }
            To::Icinga2Api => Box::new(Icinga2::open(self.target()?, args, self.tls, self.site)?),
            To::Livestatusd => {
                let target = server(socket_of(self.site, self.address()?), self.tls)?;
                Box::new(Ingest::open(target, &self.begin(begin))?)
            }
        })
    }

    fn spool_directory(&self) -> Result<PathBuf, Failure> {
        match (&self.args.target, std::env::var_os("OMD_ROOT")) {
            (None, Some(root)) => Ok(PathBuf::from(root).join("tmp/nagios/checkresults")),
            _ => Ok(self.target()?.into()),
        }
    }

    fn target(&self) -> Result<&str, Failure> {
        self.args.target.as_deref().ok_or_else(|| {
            let what = "where to? --target must say it";
            Failure::new(Status::Usage, what)
        })
    }

    fn address(&self) -> Result<Address, Failure> {
        let address = self.target()?.parse::<Address>();
        address.map_err(|why| Failure::new(Status::Usage, format!("--target: {why}")))
    }

    /// How the dump begins that we print.
    fn begin(&self, came: Option<&DumpBegin>) -> DumpBegin {
        let now = UnixTime::from(SystemTime::now());
        let own = || DumpBegin {
            site: self.site.clone(),
            content: DumpContent::State,
            epoch: 0,
            sequence: u64::try_from(now.micros()).unwrap_or(0),
            mode: DumpMode::Full,
            time: now,
            config_hash: None,
        };
        DumpBegin {
            site: self.site.clone(),
            ..came.cloned().unwrap_or_else(own)
        }
    }
}

/// A server as the command line names it, with the limits of this program.
pub(super) fn server(address: Address, tls: &cli::Tls) -> Result<Target, Failure> {
    let limits = Limits {
        connect: Some(CONNECT),
        silence: Some(SILENCE),
    };
    Target::with_tls(address, limits, tls.options())
}

/// Where there is a directory with a socket for each site, that of `site`.
fn socket_of(site: &SiteId, address: Address) -> Address {
    match address {
        Address::Unix(path) if path.is_dir() => Address::Unix(path.join(site.as_str())),
        address => address,
    }
}
