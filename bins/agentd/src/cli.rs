//! The command line of agentd.

use std::path::PathBuf;

use clap::Parser;

/// Collect the figures of this machine
///
/// Prints one JSON document with the keys of openITCOCKPIT's agent: agent, cpu,
/// memory, swap, system_load, disks, net_stats, net_io. A collection takes one
/// second, over which processor time and network traffic are measured.
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
        default_value = "/etc/openitcockpit-agent/config.ini"
    )]
    pub(crate) config: PathBuf,

    /// Collect once, print the document and exit
    #[arg(long)]
    pub(crate) once: bool,

    /// Read the configuration, name every problem in it and exit
    #[arg(long, conflicts_with_all = ["once", "print_config"])]
    pub(crate) check_config: bool,

    /// Print what is in effect, with where it came from, and exit
    #[arg(long, conflicts_with = "once")]
    pub(crate) print_config: bool,
}

const EPILOGUE: &str = "\
Examples:
  agentd --once | agentpoll once --host web1 --socket /run/sitewire/live
  agentd --once | jq .disks
  agentd --check-config -c /etc/openitcockpit-agent/config.ini

Exit status: 0 done, 1 failed, 2 used wrongly, 78 the configuration is bad.
Manual: agentd(8), agentpoll(1), sitewire(7)";
