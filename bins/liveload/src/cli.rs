//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use objects::SiteId;
use program::Address;

/// Take dumps of a site into a monitoring core
///
/// Reads dumps of livedump (states in the check result format, configurations
/// in the object format) or states of cmcdump from FILEs or standard input,
/// checks every record, and hands over what it understood to the core. A dump
/// must begin and end with the marks that say what it is and that it is whole.
#[derive(Debug, Parser)]
#[command(name = "liveload", version = program::VERSION, max_term_width = 80)]
#[command(args_conflicts_with_subcommands = true, args_override_self = true)]
#[command(after_help = "\
Examples:
  livedump | ssh central liveload --site remote1
  liveload --site remote1 --target /var/lib/nagios4/spool/checkresults < dump
  liveload status --json

Exit status: 0 done, 1 failed, 2 used wrongly, 3 incomplete, 75 try again.
Manual: liveload(1), sitewire-dump(5), sitewire(7)")]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) import: Import,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what came from which site, and when
    Status(Status),
    /// Tell the core of sites that are silent, so that people see it there
    Stale(Box<Stale>),
}

/// What to take in, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// Dumps; standard input without
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Site the dumps are from, whatever they say
    #[arg(long, value_name = "SITE", conflicts_with = "any_site")]
    pub(crate) site: Option<SiteId>,

    /// Believe each dump which site it is from
    ///
    /// Only where all sites belong to one owner: one could speak for another.
    #[arg(long)]
    pub(crate) any_site: bool,

    /// Where it is remembered what came from which site
    ///
    /// One directory for each core that dumps are taken into. [default:
    /// $OMD_ROOT/var/sitewire/liveload or /var/lib/sitewire/liveload]
    #[arg(long, value_name = "DIR")]
    pub(crate) ledger: Option<PathBuf>,

    /// How long to wait for another import of the same site
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub(crate) wait: Duration,

    /// How long standard input may be silent
    ///
    /// Whoever hangs at the other end keeps other imports of the site waiting.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub(crate) idle_timeout: Duration,

    /// Check everything, write nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,

    /// Say what was taken in
    #[arg(short, long)]
    pub(crate) verbose: bool,

    #[command(flatten)]
    pub(crate) reading: Reading,

    #[command(flatten)]
    pub(crate) signatures: Signatures,

    #[command(flatten)]
    pub(crate) way: Way,

    #[command(flatten)]
    pub(crate) states: States,

    #[command(flatten)]
    pub(crate) silence: Silence,

    #[command(flatten)]
    pub(crate) configuration: Configuration,

    #[command(flatten)]
    pub(crate) inbox: Inbox,

    #[command(flatten)]
    pub(crate) tls: Tls,
}

/// What is taken for a dump.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Reading")]
pub(crate) struct Reading {
    /// What a dump without a mark is; implies nothing about whether it is taken
    #[arg(long, value_name = "MODE")]
    pub(crate) mode: Option<Mode>,

    /// Take dumps without marks, as the original tools write them
    ///
    /// Nobody can tell whether such a dump is whole, or which one is newer.
    #[arg(long)]
    pub(crate) allow_unmarked: bool,

    /// Take a dump that is older than what was taken in
    #[arg(long)]
    pub(crate) allow_older: bool,

    /// A dump without marks has the escapes that --core undoes
    ///
    /// As files of the spool have them. The original livedump escapes nothing.
    #[arg(long)]
    pub(crate) unmarked_escapes: bool,

    /// Undo an encoding of the whole input: qp is quoted-printable
    #[arg(long, value_name = "ENCODING")]
    pub(crate) decode: Option<Encoding>,

    /// Hosts that the site may have: a pattern with * and ?; repeatable
    #[arg(long, value_name = "PATTERN")]
    pub(crate) allow_hosts: Vec<String>,

    /// Put this in front of every host's name
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) prefix: String,

    /// Most bytes of a dump
    #[arg(long, value_name = "N", default_value_t = 4 << 30)]
    pub(crate) max_bytes: u64,

    /// Most records of a dump
    #[arg(long, value_name = "N", default_value_t = 10_000_000)]
    pub(crate) max_records: u64,
}

/// Who must have signed a dump.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Signatures")]
pub(crate) struct Signatures {
    /// Take only what is signed with the key of its site
    ///
    /// FILE has the certificates that are believed, in PEM: those of
    /// authorities, as sitecert makes them, or those of sites. The dump is
    /// written to the ledger's directory first, and nothing of it is looked at
    /// before its signature is right. With --any-site, each dump must be signed
    /// by the site that it says it is from.
    #[arg(long, value_name = "FILE", conflicts_with = "allow_unmarked")]
    pub(crate) require_signature: Option<PathBuf>,

    /// With --require-signature: how old a dump may be
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    pub(crate) max_age: Duration,
}

/// How states reach the core.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "States")]
pub(crate) struct Way {
    /// How states are handed to the core
    #[arg(long, value_name = "BACKEND", default_value = "spool")]
    pub(crate) backend: Backend,

    /// Directory, pipe, socket or URL of the backend
    ///
    /// For livestatusd also the directory of its ingest sockets; for
    /// icinga2-api https://HOST:PORT.
    ///
    /// [default for spool: $OMD_ROOT/tmp/nagios/checkresults]
    #[arg(long, value_name = "WHERE")]
    pub(crate) target: Option<String>,

    /// With icinga2-api: who we are; without, our certificate tells (--cert)
    #[arg(long, value_name = "USER", requires = "api_password_file")]
    pub(crate) api_user: Option<String>,

    /// With icinga2-api: file with the password of that user, in its first line
    #[arg(long, value_name = "FILE", requires = "api_user")]
    pub(crate) api_password_file: Option<PathBuf>,

    /// The core, where cores differ in what they read
    #[arg(long, value_name = "CORE", default_value = "nagios")]
    pub(crate) core: Core,

    /// With process-file: where its file lies; the directory of the pipe without
    ///
    /// The core must be able to remove files there.
    #[arg(long, value_name = "DIR")]
    pub(crate) file_dir: Option<PathBuf>,

    /// Mode of the files that the core is given, octal
    #[arg(long, value_name = "MODE", default_value = "660", value_parser = file_mode)]
    pub(crate) file_mode: u32,
}

impl Way {
    /// The core behind it: of one backend there is only one.
    pub(crate) fn core(&self) -> Core {
        match self.backend {
            Backend::Icinga2Api => Core::Icinga2,
            _ => self.core,
        }
    }
}

/// What is taken of states, and how much of it.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "States")]
pub(crate) struct States {
    /// Also attempts, soft and hard states and the last change, by replay
    ///
    /// Of dumps that livedump --full or cmcdump wrote. livestatusd is given all
    /// of that anyway.
    #[arg(long)]
    pub(crate) full: bool,

    /// With --full: the command pipe, for acknowledgements and downtimes
    ///
    /// Their author in the core is sitewire:SITE. Downtimes of others stay.
    #[arg(long, value_name = "PIPE", requires = "full")]
    pub(crate) command_file: Option<PathBuf>,

    /// With --command-file: status.dat of the core, which tells whose an
    /// acknowledgement is
    ///
    /// Where somebody at the core has acknowledged a problem as well, it stays
    /// acknowledged. --objects-socket does the same.
    #[arg(long, value_name = "FILE", requires = "command_file")]
    pub(crate) status_file: Option<PathBuf>,

    /// Object cache of the core: records of other objects are dropped
    #[arg(long, value_name = "FILE", conflicts_with = "objects_socket")]
    pub(crate) objects: Option<PathBuf>,

    /// Livestatus of the core: records of objects that it has not are dropped
    #[arg(long, value_name = "SOCKET")]
    pub(crate) objects_socket: Option<Address>,

    /// How far in the future a check may have been
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub(crate) max_skew: Duration,

    /// What becomes of a check further in the future
    #[arg(long, value_name = "WHAT", default_value = "clamp")]
    pub(crate) on_skew: OnSkew,
}

/// How configurations reach the core.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct Configuration {
    /// Configuration directory of the core
    ///
    /// For Nagios and Naemon a cfg_dir, in which the site gets the file
    /// sitewire-SITE.cfg; for livestatusd its configuration directory, in which
    /// the site gets the file SITE/sitewire.mk.
    #[arg(long, value_name = "DIR")]
    pub(crate) config_dir: Option<PathBuf>,

    /// The core's own check, such as `nagios4 -v /etc/nagios4/nagios.cfg`
    ///
    /// Run by the shell after the new file is in place; if it fails, the old
    /// file is put back.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) check_command: Option<String>,

    /// What makes the core read its configuration
    #[arg(long, value_name = "COMMAND")]
    pub(crate) reload_command: Option<String>,

    /// Reload at most this often; what is too early is done by a later run
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub(crate) reload_interval: Duration,

    /// Longest time that the check or the reload may take
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub(crate) command_timeout: Duration,

    /// Finish what an earlier run left: the reload that was too early
    #[arg(long, requires = "config_dir", conflicts_with = "files")]
    pub(crate) reload_pending: bool,

    /// Most hosts, in percent, that a site may lose at once
    #[arg(long, value_name = "PERCENT", default_value_t = 30, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) max_shrink: u8,

    /// Take a configuration that loses more hosts than that, this once
    #[arg(long)]
    pub(crate) allow_shrink: bool,

    /// A check command of the core that the dump may name; repeatable
    #[arg(long, value_name = "NAME")]
    pub(crate) allow_check_command: Vec<String>,

    /// A template of the core that the dump may use; repeatable
    #[arg(long, value_name = "NAME")]
    pub(crate) allow_template: Vec<String>,

    /// Take commands, event handlers, macros and any directive
    ///
    /// Whoever writes the dump can then run programs here.
    #[arg(long)]
    pub(crate) trust_config: bool,
}

/// Where dumps come from that are not standard input.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Inbox and mail")]
pub(crate) struct Inbox {
    /// Take the files that are put into this directory, in their order
    ///
    /// What was taken is moved to done/, what was not to refused/ with the
    /// reason beside it.
    #[arg(long, value_name = "DIR", conflicts_with = "files")]
    pub(crate) inbox: Option<PathBuf>,

    /// Take what is there and end, instead of waiting for more
    #[arg(long, requires = "inbox")]
    pub(crate) once: bool,

    /// How often to look for new files
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    pub(crate) interval: Duration,

    /// A file that is not whole is waited for until it is this old
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub(crate) settle: Duration,

    /// How many files are kept in done/ and in refused/
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) keep: usize,

    /// What comes is a mail with one dump in it; the inbox is a maildir
    #[arg(long)]
    pub(crate) mail: bool,
}

/// Whom to believe behind tls:HOST:PORT, and who connects.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "TLS")]
pub(crate) struct Tls {
    /// With tls: the certificates of the CA that vouches for the server
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,

    /// With tls: our certificate, if the server wants to know who connects
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,

    /// With tls: the private key of our certificate
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,

    /// With tls: the host or site that the server's certificate is for
    #[arg(long, value_name = "NAME")]
    pub(crate) tls_name: Option<String>,
}

impl Tls {
    pub(crate) fn options(&self) -> program::tls::Options<'_> {
        program::tls::Options {
            ca: self.ca.as_deref(),
            certificate: self.cert.as_deref(),
            key: self.key.as_deref(),
            name: self.tls_name.as_deref(),
            peer: "server",
        }
    }
}

/// What to show.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// Sites; all without
    #[arg(value_name = "SITE")]
    pub(crate) sites: Vec<SiteId>,

    /// Where it is remembered what came from which site
    #[arg(long, value_name = "DIR")]
    pub(crate) ledger: Option<PathBuf>,

    /// One JSON object a line
    #[arg(long, conflicts_with = "nagios")]
    pub(crate) json: bool,

    /// As a plugin: one line, and exit 0 to 3
    #[arg(long)]
    pub(crate) nagios: bool,

    /// With --nagios: warn when the last complete dump is older, in seconds
    #[arg(
        short,
        long,
        value_name = "N",
        default_value_t = 120,
        requires = "nagios"
    )]
    pub(crate) warning: u64,

    /// With --nagios: critical when the last complete dump is older, in seconds
    #[arg(
        short,
        long,
        value_name = "N",
        default_value_t = 300,
        requires = "nagios"
    )]
    pub(crate) critical: u64,
}

/// When a site is silent, and what the core is told then.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Silent sites")]
pub(crate) struct Silence {
    /// A site is silent that has sent no complete dump for so long
    ///
    /// Its objects in the core become UNKNOWN, and its hosts UNREACHABLE, until
    /// it sends one; told again each time that it was silent for as long once
    /// more. For an import only with --inbox. [default of stale: 10m]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) stale_after: Option<Duration>,

    /// What the core is told of the silence for
    #[arg(long, value_name = "WHAT", default_value = "all")]
    pub(crate) stale_objects: StaleObjects,
}

/// Whose silence to tell the core of.
#[derive(Debug, clap::Args)]
pub(crate) struct Stale {
    /// Sites; all without
    #[arg(value_name = "SITE")]
    pub(crate) sites: Vec<SiteId>,

    /// Where it is remembered what came from which site
    #[arg(long, value_name = "DIR")]
    pub(crate) ledger: Option<PathBuf>,

    /// How long to wait for an import of the same site
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub(crate) wait: Duration,

    /// Say which sites are silent, and tell the core nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,

    #[command(flatten)]
    pub(crate) silence: Silence,

    #[command(flatten)]
    pub(crate) way: Way,

    #[command(flatten)]
    pub(crate) tls: Tls,
}

/// Of which objects it is told that their site is silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StaleObjects {
    All,
    Hosts,
    Services,
}

/// What a dump carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    State,
    Config,
}

/// How the input was encoded on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Encoding {
    Qp,
}

/// How states are handed to the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    /// Check result files in the spool of Nagios or Naemon
    Spool,
    /// External commands written to a named pipe
    Pipe,
    /// External commands in a file, which a core is told of through its pipe
    ProcessFile,
    /// External commands to a Livestatus socket
    Livestatus,
    /// Complete states to an ingest socket of livestatusd
    Livestatusd,
    /// Requests to the REST API of Icinga 2
    #[value(name = "icinga2-api")]
    Icinga2Api,
}

/// The core that states are handed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Core {
    Nagios,
    Naemon,
    /// Only where commands are written to a pipe or a socket
    Icinga2,
}

impl Core {
    /// How check result files are written for it.
    pub(crate) fn of_files(self) -> nagios::check_result::Core {
        self.of_commands().of_files()
    }

    /// How commands are written for it.
    pub(crate) fn of_commands(self) -> nagios::passive::Core {
        match self {
            Self::Nagios => nagios::passive::Core::Nagios,
            Self::Naemon => nagios::passive::Core::Naemon,
            Self::Icinga2 => nagios::passive::Core::Icinga2,
        }
    }
}

/// What becomes of a check in the future.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnSkew {
    /// It was now
    Clamp,
    /// The record is refused
    Refuse,
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    program::config::parse_duration(text).ok_or("not a duration such as 30s")
}

fn file_mode(text: &str) -> Result<u32, &'static str> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("not a mode such as 660"),
    }
}
