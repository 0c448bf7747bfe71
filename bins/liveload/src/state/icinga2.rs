//! The REST API of Icinga 2: one request for each result, over one connection,
//! several under way at a time. Icinga 2 answers them in their order.

mod answer;
mod request;

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nagios::check_result::CheckResult;
use objects::{SiteId, UnixTime};
use program::connection::{Connection, Target};
use program::{Address, Failure, Status};
use serde_json::Value;

use super::backend::{Backend, Late, LateVerdict, Refusal};
use super::dump::object;
use super::http::{Answer, AnswerReader, Method, Peer};
use super::remark::{self, Kind, Remark, Teller};
use super::way;
use crate::cli;
use answer::Verdict;

/// Requests that are under way at most, and how many still are when more are
/// sent.
const UNDER_WAY: (usize, usize) = (32, 16);
/// Longest body that Icinga 2 takes for an action, in bytes.
const MAX_BODY: usize = 1 << 20;
/// Longest answer that is read, in bytes.
const MAX_ANSWER: usize = 16 << 20;
/// Longest password, in bytes.
const MAX_PASSWORD: u64 = 4096;
/// The port where nobody says another.
const PORT: u16 = 5665;

/// A connection to it.
pub(super) struct Icinga2 {
    target: Target,
    peer: Peer,
    connection: Connection,
    reader: AnswerReader,
    /// Requests that are not sent yet.
    out: Vec<u8>,
    /// Those that have no answer yet, the oldest in front.
    under_way: VecDeque<UnderWay>,
    late: Vec<Late>,
    /// Who the results are from, as Icinga 2 shows it.
    source: String,
    /// What the user may do: `actions/*`.
    permissions: Vec<String>,
}

struct UnderWay {
    object: Object,
    /// Whether the answer is that of a whole record.
    counts: bool,
}

struct Object {
    host: Vec<u8>,
    service: Option<Vec<u8>>,
}

impl Icinga2 {
    /// Connects, and sees that results can be handed over.
    pub(super) fn open(
        target: &str,
        api: &cli::Way,
        tls: &cli::Tls,
        site: &SiteId,
    ) -> Result<Self, Failure> {
        let (host, port) = host_and_port(target)?;
        let peer = Peer {
            host: match host.contains(':') {
                true => format!("[{host}]:{port}"),
                false => format!("{host}:{port}"),
            },
            authorization: authorization(api, tls)?,
        };
        let target = way::server(Address::Tls { host, port }, tls)?;
        let mut icinga = Self {
            connection: target.connect()?,
            target,
            peer,
            reader: AnswerReader::new(MAX_ANSWER),
            out: Vec::new(),
            under_way: VecDeque::new(),
            late: Vec::new(),
            source: remark::author(site),
            permissions: Vec::new(),
        };
        icinga.permissions = icinga.ask_permissions()?;
        icinga.need("actions/process-check-result")?;
        Ok(icinga)
    }

    /// What the user may do. Icinga 2 says of an object that somebody may not
    /// touch that there is none, so this is asked beforehand.
    fn ask_permissions(&mut self) -> Result<Vec<String>, Failure> {
        let answer = self.ask(Method::Get, "/v1", b"")?;
        match answer::verdict(&answer) {
            Verdict::Done => Ok(answer::permissions(&answer.body)),
            verdict => Err(self.failure(verdict)),
        }
    }

    fn need(&self, permission: &str) -> Result<(), Failure> {
        if self
            .permissions
            .iter()
            .any(|has| answer::covers(has, permission))
        {
            return Ok(());
        }
        let what = format!("{}: the user has no permission {permission}", self.target);
        Err(Failure::new(Status::Failed, what))
    }

    /// Asks one thing, with nothing else under way.
    fn ask(&mut self, method: Method, path: &str, body: &[u8]) -> Result<Answer, Failure> {
        self.settle(0)?;
        self.peer.post(method, path, body, &mut self.out);
        self.send()?;
        self.receive()
    }

    /// Asks for the objects of a type that pass a filter.
    fn query(&mut self, path: &str, query: &Value) -> Result<Vec<Value>, Failure> {
        let answer = self.ask(Method::Get, path, query.to_string().as_bytes())?;
        match answer::verdict(&answer) {
            Verdict::Done | Verdict::Unknown => Ok(answer::results(&answer.body)),
            verdict => Err(self.failure(verdict)),
        }
    }

    /// Does something about one object, and says how that went.
    fn act(&mut self, action: &str, body: &Value) -> Result<Verdict, Failure> {
        let path = format!("/v1/actions/{action}");
        self.need(&path[4..])?;
        let answer = self.ask(Method::Post, &path, body.to_string().as_bytes())?;
        match answer::verdict(&answer) {
            verdict @ (Verdict::NotUs(_) | Verdict::NotNow(_)) => Err(self.failure(verdict)),
            verdict => Ok(verdict),
        }
    }

    fn send(&mut self) -> Result<(), Failure> {
        self.connection.send(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// Sends what waits, and reads answers until so many are missing.
    fn settle(&mut self, missing: usize) -> Result<(), Failure> {
        if !self.out.is_empty() {
            self.send()?;
        }
        while self.under_way.len() > missing {
            let answer = self.receive()?;
            let Some(of) = self.under_way.pop_front() else {
                break;
            };
            let verdict = answer::verdict(&answer);
            if let Some(verdict) = self.judge(&of.object, verdict)?.filter(|_| of.counts) {
                let is_service = of.object.service.is_some();
                self.late.push(Late {
                    is_service,
                    verdict,
                });
            }
        }
        Ok(())
    }

    fn judge(&self, of: &Object, verdict: Verdict) -> Result<Option<LateVerdict>, Failure> {
        Ok(match verdict {
            Verdict::Done | Verdict::Older => None,
            Verdict::Unknown => Some(LateVerdict::Unknown),
            Verdict::Refused(why) => {
                let object = object(&of.host, of.service.as_deref());
                Some(LateVerdict::Refused(format!("{object}: {why}")))
            }
            verdict => return Err(self.failure(verdict)),
        })
    }

    fn receive(&mut self) -> Result<Answer, Failure> {
        let mut buffer = [0; 1 << 14];
        loop {
            let read = self.reader.poll_answer().map_err(|why| {
                let what = format!("{}: {why}", self.target);
                Failure::new(Status::Failed, what)
            })?;
            if let Some(answer) = read {
                return Ok(answer);
            }
            match self.connection.receive(&mut buffer)? {
                0 => match self.reader.finish() {
                    Some(answer) => return Ok(answer),
                    None => {
                        let what = format!("{} closed the connection", self.target);
                        return Err(Failure::new(Status::TryAgain, what));
                    }
                },
                count => self.reader.push(&buffer[..count]),
            }
        }
    }

    fn failure(&self, verdict: Verdict) -> Failure {
        let (status, why) = match verdict {
            Verdict::NotNow(why) => (Status::TryAgain, why),
            Verdict::NotUs(why) | Verdict::Refused(why) => (Status::Failed, why),
            Verdict::Done | Verdict::Older | Verdict::Unknown => {
                (Status::Failed, "it gives no sense".to_owned())
            }
        };
        Failure::new(status, format!("{}: {why}", self.target))
    }
}

impl Backend for Icinga2 {
    fn take(&mut self, results: &[CheckResult]) -> Result<Result<(), Refusal>, Failure> {
        let last = results.len().saturating_sub(1);
        for (at, result) in results.iter().enumerate() {
            if !result.has_been_checked() {
                continue;
            }
            let body = request::check_result(result, &self.source);
            let of = Object {
                host: result.host_name.to_vec(),
                service: result
                    .service_description
                    .as_ref()
                    .map(|name| name.to_vec()),
            };
            if body.len() > MAX_BODY {
                let object = object(&of.host, of.service.as_deref());
                return Ok(Err(format!("{object}: it is longer than Icinga 2 takes")));
            }
            let path = "/v1/actions/process-check-result";
            self.peer.post(Method::Post, path, &body, &mut self.out);
            self.under_way.push_back(UnderWay {
                object: of,
                counts: at == last,
            });
            if self.under_way.len() >= UNDER_WAY.0 {
                self.settle(UNDER_WAY.1)?;
            } else if self.out.len() >= 1 << 14 {
                self.send()?;
            }
        }
        Ok(Ok(()))
    }

    fn late(&mut self) -> Vec<Late> {
        std::mem::take(&mut self.late)
    }

    fn teller(&mut self) -> Option<&mut dyn Teller> {
        Some(self)
    }

    fn finish(&mut self, _: bool) -> Result<(), Failure> {
        self.settle(0)
    }
}

impl Teller for Icinga2 {
    fn can_name(&self, _: &Remark) -> bool {
        true
    }

    fn tell(&mut self, remark: &Remark, author: &str, _: UnixTime) -> Result<(), Failure> {
        let action = match remark.kind {
            Kind::Acknowledgement { .. } => "acknowledge-problem",
            Kind::Downtime { .. } => "schedule-downtime",
        };
        // The ledger may have been lost: what Icinga 2 has is not made twice.
        if let Kind::Downtime { .. } = remark.kind
            && !self.own_downtimes(remark, author)?.is_empty()
        {
            return Ok(());
        }
        match self.act(action, &request::remark(remark, author))? {
            // It has no such object, or one that is well again, or that somebody
            // has acknowledged already.
            Verdict::Done | Verdict::Older | Verdict::Unknown => {}
            verdict => {
                let service = remark.service.as_deref().map(str::as_bytes);
                let object = object(remark.host.as_bytes(), service);
                eprintln!("liveload: {object}: {}", self.failure(verdict));
            }
        }
        Ok(())
    }

    fn undo(&mut self, remark: &Remark, author: &str, _: UnixTime) -> Result<(), Failure> {
        match remark.kind {
            Kind::Acknowledgement { .. } => {
                if self.is_only_ours(remark, author)? {
                    let body = request::object(remark, author);
                    self.act("remove-acknowledgement", &body)?;
                }
            }
            Kind::Downtime { .. } => {
                for name in self.own_downtimes(remark, author)? {
                    self.act("remove-downtime", &request::downtime(&name, author))?;
                }
            }
        }
        Ok(())
    }
}

impl Icinga2 {
    /// Whether the acknowledgement that an object has is the one from here.
    fn is_only_ours(&mut self, remark: &Remark, author: &str) -> Result<bool, Failure> {
        self.need("objects/query/Comment")?;
        let comments = self.query("/v1/objects/comments", &request::acknowledgements(remark))?;
        let mut authors = comments.iter().map(|comment| &comment["attrs"]["author"]);
        Ok(!comments.is_empty() && authors.all(|by| by == author))
    }

    /// The names of the downtimes that are this one.
    fn own_downtimes(&mut self, remark: &Remark, author: &str) -> Result<Vec<String>, Failure> {
        self.need("objects/query/Downtime")?;
        let query = request::own_downtimes(remark, author);
        let downtimes = self.query("/v1/objects/downtimes", &query)?;
        let names = downtimes.iter().filter_map(|found| found["name"].as_str());
        Ok(names.map(str::to_owned).collect())
    }
}

/// `https://HOST`, `https://HOST:PORT` or `tls:HOST:PORT`.
fn host_and_port(target: &str) -> Result<(String, u16), Failure> {
    let wrong = || {
        let what = format!("--target {target}: not of the form https://HOST:PORT");
        Failure::new(Status::Usage, what)
    };
    let rest = match target.strip_prefix("https://") {
        Some(rest) => rest.trim_end_matches('/'),
        None => target.strip_prefix("tls:").ok_or_else(wrong)?,
    };
    let has_port = rest
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.ends_with(']'));
    let text = match has_port {
        true => format!("tls:{rest}"),
        false => format!("tls:{rest}:{PORT}"),
    };
    match text.parse() {
        Ok(Address::Tls { host, port }) if !host.contains(['/', '@']) => Ok((host, port)),
        _ => Err(wrong()),
    }
}

/// How we show who we are, unless our certificate does.
fn authorization(api: &cli::Way, tls: &cli::Tls) -> Result<Option<String>, Failure> {
    match (&api.api_user, &api.api_password_file) {
        (Some(user), Some(path)) => {
            let password = read_password(path)?;
            Ok(Some(request::basic(user, &password)))
        }
        _ if tls.cert.is_some() => Ok(None),
        _ => {
            let what = "who are we? Give --api-user and --api-password-file, or --cert and --key";
            Err(Failure::new(Status::Usage, what))
        }
    }
}

/// The first line of a file that is nobody else's.
fn read_password(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error| Failure::caused(Status::Failed, path.display().to_string(), error);
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.permissions().mode() & 0o007 != 0 {
        let what = format!("{}: everybody may read or write it", path.display());
        return Err(Failure::new(Status::Failed, what));
    }
    let mut text = Vec::new();
    file.take(MAX_PASSWORD)
        .read_to_end(&mut text)
        .map_err(failed)?;
    let line = text.split(|b| *b == b'\n').next().unwrap_or_default();
    Ok(line.strip_suffix(b"\r").unwrap_or(line).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_is_named_as_people_name_it() {
        for (target, want) in [
            ("https://icinga:5665", Some(("icinga", 5665))),
            ("https://icinga/", Some(("icinga", 5665))),
            ("https://[::1]", Some(("::1", 5665))),
            ("https://[::1]:99/", Some(("::1", 99))),
            ("tls:icinga:99", Some(("icinga", 99))),
            ("http://icinga:5665", None),
            ("https://icinga/v1", None),
            ("https://root@icinga", None),
            ("https://icinga:0", None),
            ("/run/icinga2", None),
        ] {
            let found = host_and_port(target).ok();
            let want = want.map(|(host, port)| (host.to_owned(), port));
            assert_eq!(found, want, "{target}");
        }
    }
}
