//! The command line of agentd.

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
    /// Collect once, print the document and exit
    #[arg(long)]
    pub(crate) once: bool,
}

const EPILOGUE: &str = "\
Examples:
  agentd --once | agentpoll once --host web1 --socket /run/sitewire/live
  agentd --once | jq .disks

Exit status: 0 done, 1 failed, 2 used wrongly.
Manual: agentd(8), agentpoll(1), sitewire(7)";
