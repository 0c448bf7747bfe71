//! Serves one Livestatus client: requests in, answers out, in their order.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bstr::ByteSlice;
use livestatus::query::Trigger;
use livestatus::request::{CommandRequest, Limits as RequestLimits};
use livestatus::{Query, Request, RequestError, RequestReader, RowWriter, Status, output};
use program::log::quote;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc::channel;
use tokio::sync::{Semaphore, watch};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{debug, warn};

use crate::auth::{Users, Viewer};
use crate::config::Limits;
use crate::counters::Counters;
use crate::query::{Answer, Refusal, Room, Wait};
use crate::store::{Site, Store};
use crate::stream::Stream;
use crate::tables::View;
use crate::{command, query, tables};

/// Queries over more rows than this are computed on a thread of their own, so
/// that they hold up nobody.
const LONG_QUERY: usize = 1000;

/// Refused commands that are logged one by one for each connection.
const LOGGED_REFUSALS: u64 = 10;

/// How often a query that waits looks whether its client is still there.
const CLIENT_CHECK: Duration = Duration::from_secs(1);

/// What all connections share.
pub(crate) struct Service {
    /// What is known.
    pub(crate) store: Arc<Store>,
    /// What is counted.
    pub(crate) counters: Arc<Counters>,
    /// Limits of connections.
    pub(crate) limits: Limits,
    /// Who users are, and what they may see.
    pub(crate) users: Users,
    /// Whether dumps without a frame are taken.
    pub(crate) allow_unmarked: bool,
    /// Whether the merged socket takes dumps.
    pub(crate) dumps_on_merged: bool,
    /// True from the moment the program is to end.
    pub(crate) stopping: watch::Receiver<bool>,
    /// How much room answers may take.
    pub(crate) room: Room,
    /// Long queries at the same time.
    pub(crate) long_queries: Arc<Semaphore>,
}

/// What a socket shows.
#[derive(Clone)]
pub(crate) enum Scope {
    /// All sites.
    Merged,
    /// One.
    Site(Arc<Site>),
}

/// Serves one connection, of which `first` has come already.
pub(crate) async fn serve(stream: Stream, first: &[u8], scope: Scope, service: Arc<Service>) {
    let mut client = Client {
        stream,
        scope,
        service,
        reader: RequestReader::new(RequestLimits::default()),
        first_bytes: Vec::new(),
        refusals: 0,
        faults: 0,
        unanswered: None,
    };
    take(&mut client.reader, &mut client.first_bytes, first);
    // The connection ends either way; what is to be said about it has been logged.
    let _ = client.run().await;
    if client.refusals > LOGGED_REFUSALS {
        let more = client.refusals - LOGGED_REFUSALS;
        warn!("{more} more commands of the same connection were refused");
    }
    let mut stopping = client.service.stopping.clone();
    tokio::select! {
        biased;
        () = client.stream.end() => {}
        _ = stopping.wait_for(|stop| *stop) => {}
    }
}

struct Client {
    stream: Stream,
    scope: Scope,
    service: Arc<Service>,
    reader: RequestReader,
    /// The beginning of what came last, for the log.
    first_bytes: Vec<u8>,
    refusals: u64,
    faults: u64,
    /// Why the last command failed, if nothing was asked since.
    unanswered: Option<String>,
}

/// The connection is over.
struct Over;

/// The sites that a query is about, and who looks at each of them.
struct Seen {
    sites: Vec<Arc<Site>>,
    viewers: Option<Vec<Viewer>>,
}

impl Seen {
    fn view<'v>(&'v self, query: &Query, counters: &'v Counters) -> View<'v> {
        let now = SystemTime::now().into();
        View {
            sites: &self.sites,
            viewers: self.viewers.as_deref(),
            // An offset that makes no sense is refused by the plan.
            times: tables::times(&query.filters, query.timezone_offset(now).unwrap_or(0)),
            counters,
            now,
        }
    }
}

impl Client {
    async fn run(&mut self) -> Result<(), Over> {
        let mut request_began = None;
        loop {
            while let Some(request) = self.reader.poll_request() {
                request_began = None;
                self.service.counters.requests.add();
                match request {
                    Ok(Request::Query(query)) => self.query(query).await?,
                    Ok(Request::Command(request)) => self.command(request).await?,
                    Err(error) => self.fault(error).await?,
                }
            }
            if !self.reader.is_inside_request() {
                request_began = None;
            } else if request_began.is_none() {
                request_began = Some(Instant::now());
            }
            if self.read(request_began).await? == 0 {
                return self.finish().await;
            }
        }
    }

    /// Waits for bytes and gives them to the reader; 0 at the end of the stream.
    async fn read(&mut self, request_began: Option<Instant>) -> Result<usize, Over> {
        let limits = self.service.limits;
        let deadline = match request_began {
            Some(began) => began + limits.request_timeout,
            None => Instant::now() + limits.idle_timeout,
        };
        let mut stopping = self.service.stopping.clone();
        let Self {
            stream,
            reader,
            first_bytes,
            ..
        } = self;
        let received = stream.receive(|bytes| take(reader, first_bytes, bytes));
        let received = tokio::select! {
            biased;
            received = timeout_at(deadline, received) => received,
            _ = stopping.wait_for(|stop| *stop) => return Err(Over),
        };
        match received {
            Ok(Ok(length)) => Ok(length),
            Ok(Err(error)) => {
                debug!("connection broke: {error}");
                Err(Over)
            }
            Err(_) => {
                if request_began.is_some() {
                    warn!(
                        "closed a connection: its request did not end within {} s; it came to '{}'",
                        limits.request_timeout.as_secs_f64(),
                        quote(&self.first_bytes, 80)
                    );
                }
                Err(Over)
            }
        }
    }

    /// The client has said all it wants to say.
    async fn finish(&mut self) -> Result<(), Over> {
        self.reader.finish();
        while let Some(request) = self.reader.poll_request() {
            self.service.counters.requests.add();
            match request {
                Ok(Request::Query(query)) => self.query(query).await?,
                Ok(Request::Command(request)) => self.command(request).await?,
                Err(error) => self.fault(error).await?,
            }
        }
        // Nobody takes this line for a part of another answer any more.
        if let Some(reason) = self.unanswered.take() {
            self.write(format!("400: {reason}\n").as_bytes()).await?;
        }
        Err(Over)
    }

    async fn query(&mut self, query: Query) -> Result<(), Over> {
        self.unanswered = None;
        let keep_alive = query.keep_alive;
        let answer = match self.wait(&query).await? {
            Ok(()) => self.evaluate(query).await?,
            Err(refusal) => {
                debug!("query refused: {}", refusal.message);
                let text = output::error(refusal.status, &refusal.message, query.fixed16);
                Answer::Bytes(text)
            }
        };
        self.send(answer).await?;
        if keep_alive { Ok(()) } else { Err(Over) }
    }

    /// Waits for what the query wants to wait for.
    async fn wait(&mut self, query: &Query) -> Result<Result<(), Refusal>, Over> {
        // Events from here on count.
        let service = Arc::clone(&self.service);
        let events = service.store.events();
        let trigger = query.wait.trigger.unwrap_or(Trigger::All);
        let mut seen = events.count(trigger);
        let wait = match Wait::of(query, &self.seen_by(query).view(query, &service.counters)) {
            Ok(Some(wait)) => wait,
            Ok(None) => return Ok(Ok(())),
            Err(refusal) => return Ok(Err(refusal)),
        };
        let began = Instant::now();
        let timeout = query.wait.timeout.map(Duration::from_millis);
        let end = timeout.and_then(|timeout| began.checked_add(timeout));
        let mut stopping = service.stopping.clone();
        loop {
            if wait.is_met(&self.seen_by(query).view(query, &service.counters))
                || end.is_some_and(|end| Instant::now() >= end)
            {
                return Ok(Ok(()));
            }
            // Now and then a look whether the client is still there.
            let look = Instant::now() + CLIENT_CHECK;
            let until = end.map_or(look, |end| end.min(look));
            let count = tokio::select! {
                count = events.more_than(seen, wait.trigger, until) => count,
                _ = stopping.wait_for(|stop| *stop) => return Err(Over),
            };
            if count > seen && wait.is_for_any_event() {
                return Ok(Ok(()));
            }
            seen = count;
            if self.stream.is_gone().await {
                return Err(Over);
            }
        }
    }

    async fn evaluate(&mut self, query: Query) -> Result<Answer, Over> {
        let seen = self.seen_by(&query);
        let rows = query::cost(&query, &seen.sites);
        let service = Arc::clone(&self.service);
        let evaluate = move |pieces| {
            let view = seen.view(&query, &service.counters);
            query::answer(&query, &view, &service.room, pieces)
        };
        let (answer, refusal) = if rows <= LONG_QUERY {
            evaluate(None)
        } else {
            let turn = Arc::clone(&self.service.long_queries);
            let turn = turn.acquire_owned().await.map_err(|_| Over)?;
            let (pieces, mut ready) = channel(query::PIECES);
            let evaluated = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                evaluate(Some(pieces))
            });
            let mut begun = false;
            // Ends when the query does, or when this client is too slow for it.
            while let Some(piece) = ready.recv().await {
                self.write(&piece).await?;
                begun = true;
            }
            let (answer, refusal) = evaluated.await.map_err(|_| Over)?;
            if begun && let Some(refusal) = refusal {
                // Half an answer cannot be taken back, only be left without its end.
                debug!("answer given up: {}", refusal.message);
                return Err(Over);
            }
            (answer, refusal)
        };
        if let Some(refusal) = refusal {
            debug!("query refused: {}", refusal.message);
        }
        Ok(answer)
    }

    async fn command(&mut self, request: CommandRequest) -> Result<(), Over> {
        let sites = self.sites();
        let is_merged = matches!(self.scope, Scope::Merged);
        let now = SystemTime::now().into();
        let counters = &self.service.counters;
        let result = command::execute(&request.command, &sites, is_merged, counters, now);
        self.service.store.events().happened(Trigger::Command);
        if let Err(reason) = &result {
            self.refusals += 1;
            if self.refusals <= LOGGED_REFUSALS {
                warn!("command refused: {reason}");
            }
        }
        if request.fixed16 {
            let answer = match result {
                Ok(()) => RowWriter::new(Default::default(), Default::default(), true).finish(),
                Err(reason) => output::error(Status::BadRequest, &reason, true),
            };
            self.write(&answer).await
        } else {
            self.unanswered = result.err();
            Ok(())
        }
    }

    async fn fault(&mut self, error: RequestError) -> Result<(), Over> {
        self.faults += 1;
        if self.faults == 1 {
            warn!(
                "request refused: {}; it came with '{}'",
                error.message,
                quote(&self.first_bytes, 80)
            );
        }
        if error.command && !error.fixed16 {
            self.service.counters.refused_commands.add();
            self.unanswered = Some(error.message);
            return Ok(());
        }
        self.unanswered = None;
        let answer = output::error(error.status, &error.message, error.fixed16);
        self.write(&answer).await?;
        if error.keep_alive || error.command {
            Ok(())
        } else {
            Err(Over)
        }
    }

    fn sites(&self) -> Vec<Arc<Site>> {
        match &self.scope {
            Scope::Merged => self.service.store.sites(),
            Scope::Site(site) => vec![Arc::clone(site)],
        }
    }

    /// What the user of a query may see something of. A site's own socket knows
    /// the contacts of the site, the merged one users.
    fn seen_by(&self, query: &Query) -> Seen {
        let sites = self.sites();
        let Some(user) = query.auth_user.as_ref().map(|user| user.as_bstr()) else {
            return Seen {
                sites,
                viewers: None,
            };
        };
        let users = &self.service.users;
        let (sites, viewers) = match &self.scope {
            Scope::Merged => users.viewers(user, sites),
            Scope::Site(site) => (sites, vec![users.viewer(user, site)]),
        };
        Seen {
            sites,
            viewers: Some(viewers),
        }
    }

    async fn send(&mut self, answer: Answer) -> Result<(), Over> {
        let (file, length) = match answer {
            Answer::Bytes(bytes) => return self.write(&bytes).await,
            Answer::File { file, length } => (file, length),
        };
        let mut buffer = vec![0; 256 * 1024];
        let mut sent = 0;
        while sent < length {
            // It was written just now, but may have to be read from the disk.
            let read = tokio::task::block_in_place(|| file.read_at(&mut buffer, sent));
            match read {
                Ok(count @ 1..) => {
                    self.write(&buffer[..count]).await?;
                    sent += count as u64;
                }
                Ok(_) => return Err(Over),
                Err(error) => {
                    warn!("cannot read an answer back from its file: {error}");
                    return Err(Over);
                }
            }
        }
        Ok(())
    }

    /// Sends all of it, as long as the client goes on reading.
    async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Over> {
        while !bytes.is_empty() {
            let patience = self.service.limits.write_timeout;
            let written = timeout(patience, self.stream.write(bytes)).await;
            match self.went_on(written)? {
                0 => return Err(Over),
                written => bytes = &bytes[written..],
            }
        }
        // TLS may have taken more than the socket has.
        let patience = self.service.limits.write_timeout;
        let flushed = timeout(patience, self.stream.flush()).await;
        self.went_on(flushed)
    }

    /// Whether the client reads what it is sent.
    fn went_on<T>(&self, sent: Result<io::Result<T>, Elapsed>) -> Result<T, Over> {
        match sent {
            Ok(sent) => sent.map_err(|_| Over),
            Err(_) => {
                let waited = self.service.limits.write_timeout.as_secs_f64();
                warn!("dropped a client that did not read its answer for {waited} s");
                Err(Over)
            }
        }
    }
}

/// Hands bytes to the reader, and keeps their beginning for the log.
fn take(reader: &mut RequestReader, first_bytes: &mut Vec<u8>, bytes: &[u8]) {
    if !bytes.is_empty() {
        first_bytes.clear();
        first_bytes.extend_from_slice(&bytes[..bytes.len().min(80)]);
        reader.push(bytes);
    }
}
