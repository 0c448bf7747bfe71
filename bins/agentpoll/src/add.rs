//! `agentpoll add`: from the name of a host to its place in the configuration,
//! with certificates exchanged and services found.

use std::io::{self, BufRead, IsTerminal, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use agent::Document;
use program::exit::chain;
use program::{Failure, Status};

use crate::cli::{Add, Mode, Tls};
use crate::config::{Config, DEFAULT, read_file};
use crate::daemon;
use crate::memory::Memory;
use crate::place::{PORT, Place};
use crate::run::print;
use crate::source::wait;
use crate::trust::Belief;

/// Longest configuration file.
const MAX_FILE: usize = 16 << 20;

/// What is to be said of the host.
struct Wanted {
    place: Place,
    mode: Mode,
    tls: Tls,
}

pub(crate) fn run(args: &Add) -> Result<Status, Failure> {
    let path = args
        .config
        .clone()
        .unwrap_or_else(|| PathBuf::from(DEFAULT));
    let before = text_of(&path)?;
    let mut terminal = Terminal {
        asks: !args.yes && !args.dry_run,
    };
    let wanted = ask(args, &mut terminal)?;
    let stanza = stanza(args, &wanted);
    if args.dry_run {
        check(&path, &format!("{before}{stanza}"))?;
        return print(stanza.as_bytes());
    }
    let config = check(&path, &format!("{before}{stanza}"))?;
    let stanza = match wanted.mode {
        Mode::Push => stanza,
        Mode::Pull => {
            let services = find(args, &config, &mut terminal)?;
            with_services(&stanza, &services)
        }
    };
    let text = format!("{before}{stanza}");
    check(&path, &text)?;
    let mode = path.metadata().map_or(0o640, |known| known.mode() & 0o777);
    program::file::replace(&path, mode, |out| out.write_all(text.as_bytes()))
        .map_err(|error| program::file::failure(&path, error))?;
    print(next_steps(args, &path, &config, wanted.mode).as_bytes())
}

/// The file as it is; one that is not there is empty.
fn text_of(path: &Path) -> Result<String, Failure> {
    if !path.exists() {
        return Ok(String::new());
    }
    let text = read_file(path, MAX_FILE)
        .map_err(|what| Failure::new(Status::Failed, format!("{}: {what}", path.display())))?;
    match text.is_empty() || text.ends_with('\n') {
        true => Ok(text),
        false => Ok(text + "\n"),
    }
}

fn check(path: &Path, text: &str) -> Result<Config, Failure> {
    Config::parse(&path.display().to_string(), text).map_err(|problems| {
        for problem in &problems {
            eprintln!("agentpoll: {problem}");
        }
        if problems
            .iter()
            .any(|problem| problem.contains("[authority]"))
        {
            eprintln!(
                "agentpoll: `sitecert init-ca --directory DIR` makes an authority; \
                 [authority] with directory = \"DIR\" names it"
            );
        }
        Failure::silent(Status::BadConfiguration)
    })
}

fn ask(args: &Add, terminal: &mut Terminal) -> Result<Wanted, Failure> {
    let bad = |what: String| Failure::new(Status::Usage, what);
    let mode = match args.mode {
        Some(mode) => mode,
        None => match terminal.ask("Is the agent asked, or does it push (pull, push)?", "pull")? {
            text if text == "pull" => Mode::Pull,
            text if text == "push" => Mode::Push,
            other => return Err(bad(format!("{other:?} is neither pull nor push"))),
        },
    };
    let address = match (&args.address, mode) {
        (Some(address), _) => address.clone(),
        (None, Mode::Push) => args.host.clone(),
        (None, Mode::Pull) => terminal.ask("Where is the agent?", &args.host)?,
    };
    let place = match Place::parse(&address) {
        Ok(place) => place,
        // Nobody connects to it.
        Err(_) if mode == Mode::Push => Place {
            address: String::new(),
            port: PORT,
        },
        Err(why) => return Err(bad(format!("{address:?} {why}"))),
    };
    let tls = match (args.tls, mode) {
        (Some(tls), _) => tls,
        (None, Mode::Push) => Tls::Off,
        (None, Mode::Pull) => {
            match terminal.ask("How is it spoken to (auto, certificate, off)?", "auto")? {
                text if text == "auto" => Tls::Auto,
                text if text == "certificate" => Tls::Certificate,
                text if text == "off" => Tls::Off,
                other => {
                    return Err(bad(format!(
                        "{other:?} is none of auto, certificate and off"
                    )));
                }
            }
        }
    };
    Ok(Wanted { place, mode, tls })
}

/// The host as it stands in the file.
fn stanza(args: &Add, wanted: &Wanted) -> String {
    let quoted = |text: &str| toml_string(text);
    let mut text = format!("\n[[host]]\nname = {}\n", quoted(&args.host));
    let mut line = |key: &str, value: String| text.push_str(&format!("{key} = {value}\n"));
    if !args.uses.is_empty() {
        let uses: Vec<String> = args.uses.iter().map(|name| quoted(name)).collect();
        line("use", format!("[{}]", uses.join(", ")));
    }
    if !wanted.place.address.is_empty() && wanted.place.address != args.host {
        line("address", quoted(&wanted.place.address));
    }
    if wanted.place.port != PORT {
        line("port", wanted.place.port.to_string());
    }
    match wanted.mode {
        Mode::Push => line("mode", quoted("push")),
        Mode::Pull => {}
    }
    line(
        "tls",
        quoted(match wanted.tls {
            Tls::Auto => "auto",
            Tls::Certificate => "certificate",
            Tls::Off => "off",
        }),
    );
    if let Some(belief) = args.believe.filter(|belief| *belief != Belief::Host) {
        line("believe", quoted(&belief.to_string()));
    }
    for (key, file) in [
        ("login_file", &args.login_file),
        ("token_file", &args.token_file),
    ] {
        if let Some(file) = file {
            line(key, quoted(&file.display().to_string()));
        }
    }
    text
}

/// Fetches the document, certificates exchanged if need be, and finds out what
/// is to be watched.
fn find(args: &Add, config: &Config, terminal: &mut Terminal) -> Result<Vec<String>, Failure> {
    let name = &args.host;
    let host = config.host(name).expect("the stanza has it");
    let memory = Memory::open(&config.state.directory)?;
    let caller = daemon::caller(config, host, &memory);
    let caller = caller.map_err(|what| Failure::new(Status::Failed, what))?;
    let unreadable = |error| Failure::caused(Status::Failed, "cannot look at the state", error);
    let mut record = memory.host(name).map_err(unreadable)?;
    let answer = wait(async {
        let answer = caller.document(&mut record).await;
        answer.map_err(|error| Failure::new(Status::TryAgain, format!("{name}: {}", chain(&error))))
    })?;
    let document = Document::parse(&answer.body)
        .map_err(|error| Failure::caused(Status::TryAgain, name.clone(), error))?;
    let found = agent::discover_for(&document, &host.rules).services;
    let found = found
        .into_keys()
        .filter_map(|key| String::from_utf8(key.into()).ok());
    let found: Vec<String> = found.collect();
    if !terminal.asks {
        return Ok(found);
    }
    let mut chosen = Vec::new();
    let all = terminal.ask(
        &format!("{} services found. Take all (yes, no, list)?", found.len()),
        "yes",
    )?;
    if all.starts_with('y') {
        return Ok(found);
    }
    if all.starts_with('l') {
        let list: String = found.iter().map(|text| format!("  {text}\n")).collect();
        print(list.as_bytes())?;
    }
    for description in found {
        if terminal
            .ask(&format!("{description} (yes, no)?"), "yes")?
            .starts_with('y')
        {
            chosen.push(description);
        }
    }
    Ok(chosen)
}

fn with_services(stanza: &str, services: &[String]) -> String {
    let lines: String = services
        .iter()
        .map(|description| format!("    {},\n", toml_string(description)))
        .collect();
    format!("{stanza}services = [\n{lines}]\n")
}

fn next_steps(args: &Add, path: &Path, config: &Config, mode: Mode) -> String {
    let host = &args.host;
    let path = path.display();
    let mut text = format!("{host} is in {path}. Tell a running agentpoll with SIGHUP.\n");
    match mode {
        Mode::Pull => text.push_str(&format!(
            "The core is told of its services by:\n  agentpoll discover --format nagios -c {path} {host}\n"
        )),
        Mode::Push => {
            let at = config.receive.as_ref().map(|receive| receive.address.to_string());
            text.push_str(&format!(
                "Its agent's config.ini says, in [oitc]:\n  enabled = True\n  url = https://THIS_MACHINE  ({})\n  apikey = that of api_key_file\n\
                 Once it has registered:\n  agentpoll agents\n  agentpoll accept UUID --host {host}\n",
                at.unwrap_or_default()
            ));
        }
    }
    text
}

/// A string of TOML.
fn toml_string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// Who is asked.
struct Terminal {
    /// Otherwise everything is answered with its default.
    asks: bool,
}

impl Terminal {
    fn ask(&mut self, question: &str, default: &str) -> Result<String, Failure> {
        if !self.asks {
            return Ok(default.to_owned());
        }
        let failed = |error| Failure::caused(Status::Failed, "cannot ask", error);
        print!("{question} [{default}] ");
        io::stdout().flush().map_err(failed)?;
        let mut line = String::new();
        let len = io::stdin().lock().read_line(&mut line).map_err(failed)?;
        if len == 0 || !io::stdin().is_terminal() {
            println!();
        }
        match line.trim() {
            "" => Ok(default.to_owned()),
            answer => Ok(answer.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for text in [
            "web1",
            "a \"b\" \\ c",
            "Büro\u{1}",
            "Disk usage of: C: (C:)",
        ] {
            let stanza = with_services(
                "[[host]]\nname = \"x\"\ntls = \"off\"\n",
                &[text.to_owned()],
            );
            let config = Config::parse("x", &stanza);
            match text.contains(char::is_control) {
                true => assert!(config.is_err()),
                false => {
                    let config = config.unwrap();
                    assert_eq!(config.hosts[0].services.as_ref().unwrap(), &[text]);
                }
            }
        }
    }
}
