//! The command line of agentpoll.

use std::path::PathBuf;

use agent::Rule;
use clap::{Parser, Subcommand, ValueEnum};
use objects::SiteId;

use crate::trust::Belief;

/// Ask agents about their machines, and tell a core what they say
///
/// Reads the JSON documents that agentd makes, or that an openITCOCKPIT agent
/// answers with.
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
    /// Ask many agents again and again, and take what agents push
    #[command(max_term_width = 80)]
    Run(Run),

    /// Make an agent known: certificates, services, configuration
    ///
    /// Asks on the terminal for what the command line does not say. The host is
    /// appended to the configuration file.
    #[command(max_term_width = 80)]
    Add(Add),

    /// Print a configuration for the host of a document
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

    /// List the agents that have registered to push
    #[command(max_term_width = 80)]
    Agents(Agents),

    /// Accept an agent that has registered to push
    #[command(max_term_width = 80)]
    Accept(Accept),

    /// Forget an agent that pushes, or what is remembered of a host
    ///
    /// The agent has to register again. A host is asked as if it had never been
    /// asked before: this is how an agent that was set up anew, without its
    /// certificate, gets another one.
    #[command(max_term_width = 80)]
    Forget(Forget),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// Configuration file [default: /etc/sitewire/agentpoll.toml]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Check the configuration, say all that is wrong with it, and end
    #[arg(long)]
    pub(crate) check_config: bool,

    /// Log more; twice: everything
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// Name of the host, as the core knows it
    #[arg(value_name = "HOST", value_parser = name)]
    pub(crate) host: String,

    /// Configuration file [default: /etc/sitewire/agentpoll.toml]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Where the agent is: HOST or HOST:PORT, an IPv6 address in brackets
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) address: Option<String>,

    /// Who begins
    #[arg(long, value_name = "MODE")]
    pub(crate) mode: Option<Mode>,

    /// How the agent is spoken to
    #[arg(long, value_name = "TLS")]
    pub(crate) tls: Option<Tls>,

    /// Which certificates of the agent are believed: host, authority or anyone
    #[arg(long, value_name = "WHOM")]
    pub(crate) believe: Option<Belief>,

    /// File with USER:PASSWORD of the agent
    #[arg(long, value_name = "FILE")]
    pub(crate) login_file: Option<PathBuf>,

    /// File with the agent's token for its first exchange of certificates
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// Template that the host uses; may be repeated
    #[arg(long = "use", value_name = "TEMPLATE")]
    pub(crate) uses: Vec<String>,

    /// Take what is proposed and ask nothing
    #[arg(short, long)]
    pub(crate) yes: bool,

    /// Print what would be appended, and exchange and write nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}

/// Who begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// The agent is asked
    Pull,
    /// The agent comes to us
    Push,
}

/// How an agent is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tls {
    /// It gets a certificate from us, and TLS from then on
    Auto,
    /// It has a certificate
    Certificate,
    /// Plain text
    Off,
}

/// Where a document comes from, and how to speak to who has it.
#[derive(Debug, clap::Args)]
pub(crate) struct Source {
    /// A file, - for standard input, http(s)://HOST:PORT, or a configured host
    #[arg(value_name = "SOURCE", default_value = "-")]
    pub(crate) source: String,

    /// Configuration file for hosts [default: /etc/sitewire/agentpoll.toml]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Certificates of those who may have signed for the agent, with https
    ///
    /// Without, whatever the agent shows is believed.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,

    /// Certificate that is shown to the agent, with https
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) certificate: Option<PathBuf>,

    /// The key of that certificate
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub(crate) key: Option<PathBuf>,

    /// File with USER:PASSWORD of the agent, with http and https
    #[arg(long, value_name = "FILE")]
    pub(crate) login_file: Option<PathBuf>,

    /// Name of the host [default: that of the configuration, or this machine's]
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(crate) host: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Discover {
    #[command(flatten)]
    pub(crate) source: Source,

    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "mk")]
    pub(crate) format: Format,

    /// What the core does not take in names, with nagios: each becomes _
    #[arg(
        long,
        value_name = "CHARS",
        default_value = nagios::object::ILLEGAL_CHARACTERS,
        hide_default_value = true
    )]
    pub(crate) illegal_characters: String,

    /// Address of the host [default: where its agent is, or 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) address: Option<String>,

    /// Site named in the file's first line
    ///
    /// For people: livestatusd goes by the directory that the file is in.
    #[arg(long, value_name = "SITE", env = "OMD_SITE", default_value = "local")]
    pub(crate) site: SiteId,
}

/// Forms of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// livestatusd's
    Mk,
    /// Object definitions of Nagios, Naemon and others
    Nagios,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Once {
    #[command(flatten)]
    pub(crate) source: Source,

    /// Livestatus socket of the core: PATH, tcp:HOST:PORT or tls:HOST:PORT
    #[arg(long, value_name = "SOCKET", required_unless_present = "dry_run")]
    pub(crate) socket: Option<program::Address>,

    /// With tls: the certificates of the CA that vouches for the core
    #[arg(long, value_name = "FILE", requires = "socket")]
    pub(crate) core_ca: Option<PathBuf>,

    /// With tls: our certificate, if the core wants to know who asks
    #[arg(long, value_name = "FILE", requires = "core_key")]
    pub(crate) core_certificate: Option<PathBuf>,

    /// With tls: the private key of that certificate
    #[arg(long, value_name = "FILE", requires = "core_certificate")]
    pub(crate) core_key: Option<PathBuf>,

    /// With tls: the host or site that the core's certificate is for [default: HOST]
    #[arg(long, value_name = "NAME", requires = "core_ca")]
    pub(crate) core_name: Option<String>,

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

#[derive(Debug, clap::Args)]
pub(crate) struct Agents {
    /// Configuration file [default: /etc/sitewire/agentpoll.toml]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Print a JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Accept {
    /// The agent, as `agentpoll agents` lists it
    #[arg(value_name = "UUID")]
    pub(crate) uuid: String,

    /// The host whose agent it is
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(crate) host: String,

    /// Configuration file [default: /etc/sitewire/agentpoll.toml]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Forget {
    /// UUID of an agent, or name of a host
    #[arg(value_name = "AGENT|HOST")]
    pub(crate) whom: String,

    /// Configuration file [default: /etc/sitewire/agentpoll.toml]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// A name that fits into a command.
pub(crate) fn name(text: &str) -> Result<String, &'static str> {
    if text.is_empty() || text.contains(|c: char| c == ';' || c.is_control()) {
        return Err("a name is not empty and has no semicolon or line feed");
    }
    Ok(text.to_owned())
}

const EPILOGUE: &str = "\
Examples:
  agentpoll add web1 --address 192.0.2.7
  agentpoll run
  agentd --once | agentpoll discover --host web1 > web1.mk
  agentpoll once https://web1:3333 --host web1 --socket /run/sitewire/live
  agentpoll once -n --threshold 'Disk usage of: /=70,80' web1.json

Exit status: 0 done, 1 failed, 2 used wrongly, 75 try again,
78 configuration unusable.
Manual: agentpoll(1), agentpoll.toml(5), agentd(8), sitewire(7)";
