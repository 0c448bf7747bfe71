//! Keeps certificates and lists of revoked ones up to date while we run: reads
//! files again that have changed, asks for the next certificate before ours
//! ends, and fetches the list.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use authority::credentials::DUE;
use authority::message::{self, ALPN, Answer, Granted, MAX_ANSWER, Question};
use authority::{Authority, Credentials, Directory, enrolment};
use net::{Address, Stream};
use objects::{SiteId, UnixTime};
use program::exit::chain;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::access::{Access, Stamps};
use crate::config::Configuration;
use crate::link::Network;

/// How often it is looked whether a file has changed.
const LOOK: Duration = Duration::from_secs(5);
/// How often the authority is visited if all goes well, and the pauses if not:
/// from the first on, each is twice as long.
const VISIT: Duration = Duration::from_secs(6 * 3600);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// The centre must have answered after this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Works until the daemon stops.
pub(crate) async fn run(network: Arc<Network>) {
    let mut stopping = network.stopping.clone();
    let mut upkeep = Upkeep {
        stamps: network.access().stamps.clone(),
        network: Arc::clone(&network),
        visit: Instant::now(),
        pause: FIRST_PAUSE,
        warning: Instant::now(),
    };
    loop {
        if Instant::now() >= upkeep.warning {
            upkeep.warning = Instant::now() + VISIT;
            upkeep.warn();
        }
        let next = upkeep.visit.min(Instant::now() + LOOK);
        tokio::select! {
            () = tokio::time::sleep_until(next.into()) => upkeep.look(false),
            () = network.wait_for_look() => upkeep.look(true),
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        if Instant::now() >= upkeep.visit {
            upkeep.visit().await;
        }
    }
}

struct Upkeep {
    network: Arc<Network>,
    /// Of the files, before they were read last.
    stamps: Stamps,
    /// When the authority is visited next.
    visit: Instant,
    /// How long it waits after a failure.
    pause: Duration,
    /// When the end of our certificate is told again.
    warning: Instant,
}

impl Upkeep {
    /// As it was read last.
    fn configuration(&self) -> Arc<Configuration> {
        Arc::clone(&self.network.settings().configuration)
    }

    /// Reads the files again, if they have changed or somebody wants it.
    fn look(&mut self, wanted: bool) {
        self.network.note_certificate();
        let stamps = Stamps::of(&self.configuration());
        if !wanted && stamps == self.stamps {
            return;
        }
        self.stamps = stamps;
        self.reload();
    }

    /// What cannot be read leaves everything as it was.
    fn reload(&self) {
        match Access::load(&self.configuration()) {
            Ok(access) => {
                self.network.replace_access(access);
                self.network.notices.set("certificates", Vec::new());
                tracing::info!("certificates have been read again");
                self.warn();
            }
            Err(problems) => {
                for problem in &problems {
                    tracing::error!("certificates stay as they were: {problem}");
                }
                let shown = |problem| format!("certificates stay as they were: {problem}");
                let shown = problems.into_iter().map(shown).collect();
                self.network.notices.set("certificates", shown);
            }
        }
        let configuration = self.configuration();
        let Some(settings) = &configuration.authority else {
            return;
        };
        match enrolment::joined(&settings.directory) {
            Ok(joined) => self.network.admit(joined),
            Err(error) => tracing::error!("{}", chain(&error)),
        }
    }

    fn warn(&self) {
        self.network.note_certificate();
        let access = self.network.access();
        if let Some(warning) = access.warning(SystemTime::now().into()) {
            tracing::warn!("{warning}");
        }
    }

    /// Asks the authority for what is due.
    async fn visit(&mut self) {
        let Some((credentials, renew)) = self.configuration().credentials() else {
            self.visit = Instant::now() + VISIT;
            return;
        };
        let due = renew && is_due(&credentials);
        let result = match (&self.configuration().authority, renew) {
            (Some(_), _) => self.visit_own(&credentials, due).await,
            (None, true) => self.visit_peers(&credentials, due).await,
            (None, false) => Ok(false),
        };
        match result {
            Ok(changed) => {
                self.visit = Instant::now() + VISIT;
                self.pause = FIRST_PAUSE;
                if changed {
                    self.look(true);
                }
            }
            Err(why) => {
                if due && self.pause >= LONGEST_PAUSE {
                    tracing::warn!("our certificate ends soon and cannot be renewed: {why}");
                } else {
                    tracing::debug!("the authority gives no answer: {why}");
                }
                self.visit = Instant::now() + self.pause;
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    /// The authority is here: its list is signed anew in time, and our own
    /// certificate is renewed by it.
    async fn visit_own(&self, credentials: &Credentials, due: bool) -> Result<bool, String> {
        let Some(settings) = self.configuration().authority.clone() else {
            return Ok(false);
        };
        let credentials = credentials.clone();
        let work = move || {
            let now = now();
            let authority = Authority::open(&settings.directory, now)?;
            if !due {
                return Ok(None);
            }
            let own = credentials.certificate()?;
            let question = credentials.renewal()?;
            let granted = authority.answer(&question, Some(&own), settings.lifetime, now)?;
            credentials.replace(&granted, now).map(Some)
        };
        let renewed = blocking(work).await?;
        report(renewed.as_ref());
        Ok(renewed.is_some())
    }

    /// The first peer that answers is the authority's.
    async fn visit_peers(&self, credentials: &Credentials, due: bool) -> Result<bool, String> {
        let of_question = credentials.clone();
        let question = blocking(move || match due {
            true => of_question.renewal(),
            false => Ok(Question::Revocations {}),
        });
        let question = question.await?.encode().map_err(|error| chain(&error))?;
        let mut why = "no peer is connected to over TLS".to_owned();
        for peer in &self.configuration().peers {
            let Some(address @ Address::Tcp { .. }) = &peer.connect else {
                continue;
            };
            let asking = self.ask(&peer.site, address, &question);
            match tokio::time::timeout(PATIENCE, asking).await {
                Ok(Ok(granted)) => return take(credentials, granted, due).await,
                Ok(Err(error)) => why = format!("{}: {error}", peer.site),
                Err(_) => why = format!("{}: it is too slow", peer.site),
            }
        }
        Err(why)
    }

    async fn ask(
        &self,
        peer: &SiteId,
        address: &Address,
        question: &[u8],
    ) -> Result<Granted, String> {
        let access = self.network.access();
        let identity = access.identity.as_ref().ok_or("no certificate")?;
        let stream: Stream = address.connect().await.map_err(|e| chain(&e))?;
        let connecting = identity.connect_for(ALPN, peer, stream);
        let mut stream = connecting.await.map_err(|error| chain(&error))?;
        let exchange = async {
            stream.write_all(question).await?;
            stream.flush().await?;
            let mut head = [0; 4];
            stream.read_exact(&mut head).await?;
            let Ok(len) = message::length(head, MAX_ANSWER) else {
                return Err(std::io::ErrorKind::InvalidData.into());
            };
            let mut bytes = vec![0; len];
            stream.read_exact(&mut bytes).await?;
            Ok(bytes)
        };
        let bytes = exchange.await.map_err(|e: std::io::Error| e.to_string())?;
        let answer = Answer::decode(&bytes).and_then(Answer::into_result);
        answer.map_err(|error| chain(&error))
    }
}

/// Puts in place what was given; whether something has changed.
async fn take(credentials: &Credentials, granted: Granted, due: bool) -> Result<bool, String> {
    let credentials = credentials.clone();
    let work = move || {
        // As sitecert does: nobody else writes here meanwhile.
        let parent = credentials.certificate.parent();
        let _lock = parent.map(Directory::open).transpose()?;
        let list = credentials.replace_revoked(&granted)?;
        let renewed = match due {
            true => Some(credentials.replace(&granted, now())?),
            false => None,
        };
        Ok((list, renewed))
    };
    let (list, renewed) = blocking(work).await?;
    report(renewed.as_ref());
    Ok(list || renewed.is_some())
}

fn report(renewed: Option<&authority::Certificate>) {
    if let Some(certificate) = renewed {
        let days = (certificate.not_after.secs() - now().secs()) / 86_400;
        let serial = &certificate.serial;
        tracing::info!("our certificate was renewed: {serial}, for {days} days");
    }
}

/// Work on files, beside the thread of the links.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, authority::Error> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| chain(&error)),
        Err(error) => Err(error.to_string()),
    }
}

fn is_due(credentials: &Credentials) -> bool {
    let certificate = credentials.certificate();
    certificate.is_ok_and(|certificate| certificate.left(now()) < DUE)
}

fn now() -> UnixTime {
    SystemTime::now().into()
}
