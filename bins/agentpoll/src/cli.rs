//! The command line of agentpoll.

use std::path::PathBuf;

use agent::Rule;
use clap::{Parser, Subcommand};
use objects::SiteId;

/// Turn an agent's document into configuration and check results
///
/// Reads the JSON document that agentd --once prints or that an openITCOCKPIT
/// agent answers with.
#[derive(Debug, Parser)]
#[command(
    name = "agentpoll",
    version = program::VERSION,
    max_term_width = 80,
    after_help = EPILOGUE
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print livestatusd's configuration for the host of a document
    ///
    /// The host gets a service for everything in the document that is worth
    /// watching.
    #[command(max_term_width = 80)]
    Discover(Discover),

    /// Evaluate a document and submit the check results to a core
    ///
    /// Evaluated is what the core has services for; what it has none for is
    /// left out, and what is missing in the document is UNKNOWN.
    #[command(max_term_width = 80)]
    Once(Once),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Discover {
    /// The document; - is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub(crate) file: PathBuf,

    /// Name of the host [default: the name of this machine]
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(crate) host: Option<String>,

    /// Address of the host
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) address: String,

    /// Site named in the file's first line
    ///
    /// For people: livestatusd goes by the directory that the file is in.
    #[arg(long, value_name = "SITE", env = "OMD_SITE", default_value = "local")]
    pub(crate) site: SiteId,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Once {
    /// The document; - is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub(crate) file: PathBuf,

    /// Livestatus socket of the core, a Unix socket
    #[arg(long, value_name = "SOCKET", required_unless_present = "dry_run")]
    pub(crate) socket: Option<PathBuf>,

    /// Name of the host [default: the name of this machine]
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(crate) host: Option<String>,

    /// Thresholds for the services that match PATTERN; may be repeated
    ///
    /// In PATTERN * stands for any text, and the device at the end of a disk's
    /// description may be left out. WARN and CRIT are ranges as in all plugins:
    /// 10, 10:, ~:10, 10:20, @10:20, or nothing. The last match counts.
    #[arg(long, value_name = "PATTERN=WARN,CRIT")]
    pub(crate) threshold: Vec<Rule>,

    /// Print the commands instead of submitting them
    ///
    /// Without --socket, for what discover would find in the document.
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}

/// A name that fits into a command.
fn name(text: &str) -> Result<String, &'static str> {
    if text.is_empty() || text.contains(|c: char| c == ';' || c.is_control()) {
        return Err("a host's name is not empty and has no semicolon or line feed");
    }
    Ok(text.to_owned())
}

const EPILOGUE: &str = "\
Examples:
  agentd --once | agentpoll discover --host web1 > web1.mk
  agentd --once | agentpoll once --host web1 --socket /run/sitewire/live
  agentpoll once -n --threshold 'Disk usage of: /=70,80' web1.json

Exit status: 0 done, 1 failed, 2 used wrongly, 75 try again.
Manual: agentpoll(1), agentd(8), sitewire(7)";
