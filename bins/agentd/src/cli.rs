//! The command line of agentd.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use tracing::Level;

use crate::places;

/// Collect the figures of this machine and show them to monitoring systems
///
/// Runs in the foreground and serves them over HTTP or HTTPS as openITCOCKPIT's
/// agent does, with its configuration files; --once prints them and ends.
#[derive(Debug, Parser)]
#[command(
    name = "agentd",
    version = program::VERSION,
    max_term_width = 80,
    after_help = EPILOGUE
)]
pub(crate) struct Args {
    /// The configuration file
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = places::CONFIG
    )]
    pub(crate) config: PathBuf,

    /// The log file
    #[arg(short, long, value_name = "FILE", default_value = places::LOG)]
    pub(crate) log: PathBuf,

    /// Log what happens, too, and not only what is wrong
    #[arg(short, long)]
    pub(crate) verbose: bool,

    /// Log every request, too
    #[arg(short, long)]
    pub(crate) debug: bool,

    /// Log on standard error alone
    #[arg(long)]
    pub(crate) disable_logfile: bool,

    /// Do not try at the start whether files can be made beside the log
    #[arg(long)]
    pub(crate) disable_logrotate: bool,

    /// Keep so many older log files; less than 1: do not rotate
    #[arg(
        long,
        value_name = "N",
        default_value_t = 3,
        allow_negative_numbers = true
    )]
    pub(crate) log_rotate: i32,

    /// Collect once, print what was found and exit
    #[arg(long)]
    pub(crate) once: bool,

    /// What is printed: the document, sections for Checkmk, series for
    /// Prometheus, or one check as a plugin prints it
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "json",
        requires = "once"
    )]
    pub(crate) format: Format,

    /// The check that is printed, by the name of its service
    #[arg(
        long,
        value_name = "NAME",
        requires = "once",
        required_if_eq("format", "nagios")
    )]
    pub(crate) check: Option<String>,

    /// Measure rates over so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, requires = "once")]
    pub(crate) sample: f64,

    /// Read the configuration, name every problem in it and exit
    #[arg(long, conflicts_with_all = ["once", "print_config"])]
    pub(crate) check_config: bool,

    /// Print what is in effect, with where it came from, and exit
    #[arg(long, conflicts_with = "once")]
    pub(crate) print_config: bool,
}

/// Forms of what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Json,
    Checkmk,
    Prometheus,
    Nagios,
}

impl Args {
    /// Debugging wins over talking.
    pub(crate) fn level(&self) -> Level {
        match (self.debug, self.verbose) {
            (true, _) => Level::DEBUG,
            (false, true) => Level::INFO,
            (false, false) => Level::WARN,
        }
    }

    pub(crate) fn kept_logs(&self) -> u32 {
        u32::try_from(self.log_rotate).unwrap_or(0)
    }
}

const EPILOGUE: &str = "\
Examples:
  agentd --once | agentpoll once --host web1 --socket /run/sitewire/live
  agentd --once --format nagios --check 'Memory'
  agentd --check-config -c /etc/openitcockpit-agent/config.ini

Exit status: 0 done, 1 failed, 2 used wrongly, 78 the configuration is bad;
             with --format nagios the state: 0 to 3.
Manual: agentd(8), agentpoll(1), sitewire(7)";
