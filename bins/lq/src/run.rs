//! From the command line to the answer.

use std::io::{IsTerminal, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use bstr::{BString, ByteSlice};
use program::{Address, Failure, Status};

use crate::ask;
use crate::cli::{Args, Format};
use crate::connection::Connection;
use crate::query::{self, Request};
use crate::sites;
use crate::table;

/// Longest query taken from standard input.
const MAX_QUERY: u64 = 64 << 20;

pub(crate) fn run(args: &Args) -> Result<Status, Failure> {
    let address = args.socket.clone().unwrap_or_else(default_socket);
    let arguments: Vec<BString> = args
        .query
        .iter()
        .map(|a| a.clone().into_vec().into())
        .collect();
    let mut out = std::io::stdout().lock();
    let connect = || Connection::open(&address, args.timeout);
    if arguments == ["sites"] {
        match args.format {
            None | Some(Format::Table) => sites::show(&mut connect()?, &mut out)?,
            Some(format) => {
                let columns = format!("Columns: {}", sites::COLUMNS.join(" "));
                let lines = ["GET sites".into(), columns.into()];
                let request = query::framed(&lines, Some(word(format)), true);
                ask::copy(&mut connect()?, &request, &mut out)?;
            }
        }
        return finish(&mut out);
    }
    let text = if arguments.is_empty() {
        read_input()?
    } else {
        query::join_arguments(&arguments)
    };
    let requests = Request::parse(&text).map_err(|line| {
        let line = line.to_str_lossy();
        Failure::new(
            Status::Usage,
            format!("a query begins with GET or COMMAND, not with '{line}'"),
        )
    })?;
    if requests.is_empty() {
        return Err(Failure::new(Status::Usage, "there is no query"));
    }
    // Commands that follow each other go over one connection, queries over
    // one each: not every server bears a connection that stays.
    for chunk in requests.chunk_by(|a, b| is_command(a) && is_command(b)) {
        match &chunk[0] {
            Request::Command(_) => ask::commands(&mut connect()?, &print_commands(chunk))?,
            get @ Request::Get(lines) => answer(get, lines, args, &mut connect()?, &mut out)?,
        }
    }
    finish(&mut out)
}

fn is_command(request: &Request) -> bool {
    matches!(request, Request::Command(_))
}

/// Each command ends with a blank line: that is what all servers understand.
fn print_commands(requests: &[Request]) -> Vec<u8> {
    let mut text = Vec::new();
    for request in requests {
        let (Request::Get(lines) | Request::Command(lines)) = request;
        for line in lines {
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        text.push(b'\n');
    }
    text
}

/// Prints the answer to a query.
fn answer(
    get: &Request,
    lines: &[BString],
    args: &Args,
    connection: &mut Connection,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let format = match args.format {
        // A query that names a format is not overruled by a default.
        None if get.has_format() => None,
        None if std::io::stdout().is_terminal() => Some(Format::Table),
        None => Some(Format::Csv),
        given => given,
    };
    if format != Some(Format::Table) {
        let request = query::framed(lines, format.map(word), false);
        return ask::copy(connection, &request, out);
    }
    let request = query::framed(lines, Some("json"), true);
    let mut table = None;
    ask::rows(connection, &request, |row| {
        let cells: Vec<String> = row.cells().map(table::show).collect();
        match &mut table {
            None => table = Some(table::new(cells.iter().map(String::as_str))),
            Some(table) => {
                table.add_row(cells);
            }
        }
    })?;
    // Icinga 2 sends not even the names when there are no rows.
    let text = table.as_ref().map_or_else(String::new, table::print);
    ask::write(out, text.as_bytes())
}

fn word(format: Format) -> &'static str {
    match format {
        Format::Csv => "csv",
        Format::Json | Format::Table => "json",
        Format::Python => "python",
    }
}

fn finish(out: &mut dyn Write) -> Result<Status, Failure> {
    match out.flush() {
        Ok(()) => Ok(Status::Done),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            Err(Failure::silent(Status::Failed))
        }
        Err(error) => Err(Failure::caused(
            Status::Failed,
            "cannot write to standard output",
            error,
        )),
    }
}

fn default_socket() -> Address {
    Address::Unix(match std::env::var_os("OMD_ROOT") {
        Some(root) if !root.is_empty() => PathBuf::from(root).join("tmp/run/live"),
        _ => "/run/sitewire/live".into(),
    })
}

fn read_input() -> Result<BString, Failure> {
    let mut text = Vec::new();
    let failure = |error| Failure::caused(Status::Failed, "cannot read standard input", error);
    let limited = &mut std::io::stdin().lock().take(MAX_QUERY + 1);
    limited.read_to_end(&mut text).map_err(failure)?;
    if text.len() as u64 > MAX_QUERY {
        let what = format!("the query is longer than {MAX_QUERY} bytes");
        return Err(Failure::new(Status::Failed, what));
    }
    Ok(text.into())
}
