//! From the command line to the answer.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::time::Duration;

use bstr::{BString, ByteSlice};
use program::connection::{Connection, Target};
use program::{Failure, Status};

use crate::ask;
use crate::cli::{Args, Format};
use crate::query::{self, Request};
use crate::screen::Screen;
use crate::shortcut::Question;
use crate::table::{self, Cell, Table};
use crate::target;
use crate::watch::Watch;

/// How long a server may be silent: large answers are assembled first.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Longest query taken from a file or standard input.
const MAX_QUERY: u64 = 64 << 20;

pub(crate) fn run(args: &Args) -> Result<Status, Failure> {
    let work = Work::new(args)?;
    let target = target::of(args, TIMEOUT)?;
    let once = |screen: &Screen, out: &mut dyn Write| match &work {
        Work::Question(question) => question.answer(args.format, &target, screen, out),
        Work::Requests(requests) => answer_all(requests, args, &target, screen, out),
    };
    if let Some(interval) = args.watch {
        let watch = Watch {
            interval,
            color: args.color,
            address: target.to_string(),
            tables: work.prints_tables(args),
            ask: &once,
        };
        return watch.run();
    }
    let mut out = std::io::stdout().lock();
    once(&Screen::now(args.color), &mut out)?;
    ask::flush(&mut out)?;
    Ok(Status::Done)
}

/// What is to be done, read and understood before anything is connected.
enum Work<'a> {
    Question(Question<'a>),
    Requests(Vec<Request>),
}

impl<'a> Work<'a> {
    fn new(args: &'a Args) -> Result<Self, Failure> {
        if let Some(shortcut) = &args.shortcut {
            if !args.query.is_empty() || args.file.is_some() {
                let what = "a query and a command cannot be given together";
                return Err(Failure::new(Status::Usage, what));
            }
            return Ok(Self::Question(Question::new(shortcut)?));
        }
        let requests = requests(args)?;
        if args.watch.is_some() && requests.iter().any(is_command) {
            let what = "a COMMAND is sent once: it cannot be watched";
            return Err(Failure::new(Status::Usage, what));
        }
        Ok(Self::Requests(requests))
    }

    fn prints_tables(&self, args: &Args) -> bool {
        match args.format {
            None => matches!(self, Self::Question(_)),
            format => format == Some(Format::Table),
        }
    }
}

/// The requests that were typed, or are in the file, or come on standard input.
pub(crate) fn requests(args: &Args) -> Result<Vec<Request>, Failure> {
    let text = match &args.file {
        Some(path) if path.as_os_str() != "-" => read_file(path)?,
        None if !args.query.is_empty() => {
            let bytes = |argument: &std::ffi::OsString| argument.clone().into_vec().into();
            let arguments: Vec<BString> = args.query.iter().map(bytes).collect();
            query::join_arguments(&arguments)
        }
        _ => read(std::io::stdin().lock(), "standard input")?,
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
    Ok(requests)
}

/// Commands that follow each other go over one connection, queries over one
/// each: not every server bears a connection that stays.
fn answer_all(
    requests: &[Request],
    args: &Args,
    target: &Target,
    screen: &Screen,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    for chunk in requests.chunk_by(|a, b| is_command(a) && is_command(b)) {
        match &chunk[0] {
            Request::Command(_) => ask::commands(&mut target.connect()?, &print_commands(chunk))?,
            get @ Request::Get(lines) => {
                answer(get, lines, args, &mut target.connect()?, screen, out)?;
            }
        }
    }
    Ok(())
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
    screen: &Screen,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let format = match args.format {
        // A query that names a format is not overruled by a default.
        None if get.has_format() => None,
        None if screen.size.is_some() => Some(Format::Table),
        None => Some(Format::Csv),
        given => given,
    };
    let Some(format) = format else {
        let request = query::framed(lines, None, false);
        return Ok(ask::copy(connection, &request, out)?);
    };
    if format != Format::Table {
        let request = query::framed(lines, Some(query::word(format)), false);
        return Ok(ask::print(connection, &request, format, out)?);
    }
    let request = query::framed(lines, Some("json"), true);
    let mut table: Option<Table> = None;
    ask::rows(connection, &request, |row| {
        let cells: Vec<String> = row.cells().map(table::show).collect();
        match &mut table {
            None => table = Some(Table::new(cells.iter().map(String::as_str))),
            Some(table) => table.push(cells.into_iter().map(Cell::plain).collect()),
        }
        Ok(())
    })?;
    // Icinga 2 sends not even the names when there are no rows.
    let text = table.map_or_else(String::new, |table| table.print(screen));
    ask::write(out, text.as_bytes())
}

fn read_file(path: &Path) -> Result<BString, Failure> {
    let name = path.display().to_string();
    let failure = |error| Failure::caused(Status::Failed, format!("cannot read {name}"), error);
    read(File::open(path).map_err(failure)?, &name)
}

fn read(source: impl Read, name: &str) -> Result<BString, Failure> {
    let mut text = Vec::new();
    let failure = |error| Failure::caused(Status::Failed, format!("cannot read {name}"), error);
    source
        .take(MAX_QUERY + 1)
        .read_to_end(&mut text)
        .map_err(failure)?;
    if text.len() as u64 > MAX_QUERY {
        let what = format!("the query is longer than {MAX_QUERY} bytes");
        return Err(Failure::new(Status::Failed, what));
    }
    Ok(text.into())
}
