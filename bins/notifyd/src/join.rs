//! Answers sites that want a certificate: those that were invited, and those
//! that have one which ends soon. They come over TLS with a protocol of their
//! own, and get nothing but one answer.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use authority::message::{self, Answer, Granted, MAX_QUESTION, Question};
use authority::{Authority, Certificate, Error, Refusal, Settings, enrolment};
use net::Presented;
use program::exit::chain;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;

use crate::link::Network;

/// Who is answered at the same time; they wait for each other anyway.
const SEATS: usize = 16;
/// The question must be there after this long, and the answer be taken.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many refusals in a period are enough for one address.
const REFUSALS: u32 = 10;
const PERIOD: Duration = Duration::from_secs(60);
/// Addresses that are remembered at the same time.
const ADDRESSES: usize = 1024;

/// Where sites that want a certificate are answered.
#[derive(Debug)]
pub(crate) struct Desk {
    settings: Settings,
    seats: Semaphore,
    refused: Mutex<Refused>,
}

impl Desk {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            seats: Semaphore::new(SEATS),
            refused: Mutex::default(),
        }
    }

    /// Serves one visitor. An error is what is to be complained about.
    pub(crate) async fn serve<S>(
        &self,
        network: &Network,
        mut stream: S,
        shown: Option<Presented>,
        origin: &str,
    ) -> Result<(), String>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let address = origin.parse::<SocketAddr>().ok().map(|origin| origin.ip());
        let busy = |text: &str| Error::Refused {
            reason: Refusal::Busy,
            text: text.to_owned(),
        };
        let result = match (self.seats.try_acquire(), self.has_enough_of(address)) {
            (_, true) => Err(busy("too many wrong attempts: come back later")),
            (Err(_), _) => Err(busy("too many ask at the same time: come back later")),
            (Ok(_seat), false) => {
                let question = in_time(read(&mut stream)).await?;
                self.answer(question, shown).await
            }
        };
        let told = match &result {
            Ok(granted) => {
                self.admit(network, granted, origin);
                Ok(())
            }
            Err(error) => {
                self.note_refusal(address);
                Err(format!("no certificate for it: {}", chain(error)))
            }
        };
        let answer = Answer::from(result).encode().map_err(|e| chain(&e))?;
        let sending = async {
            stream.write_all(&answer).await?;
            stream.shutdown().await
        };
        in_time(async { sending.await.map_err(|error| error.to_string()) }).await?;
        told
    }

    /// The authority's files are read for every answer: sitecert writes there, too.
    async fn answer(
        &self,
        question: Result<Question, Error>,
        shown: Option<Presented>,
    ) -> Result<Granted, Error> {
        let question = question?;
        let settings = self.settings.clone();
        let answering = tokio::task::spawn_blocking(move || {
            let shown = shown.map(|shown| Certificate::parse(shown.certificate()));
            let shown = shown.transpose().map_err(Error::Message)?;
            let now = SystemTime::now().into();
            let authority = Authority::open(&settings.directory, now)?;
            authority.answer(&question, shown.as_ref(), settings.lifetime, now)
        });
        let ended = || Error::Message("the answer was not finished".to_owned());
        answering.await.unwrap_or_else(|_| Err(ended()))
    }

    /// A site that has joined is a peer before it knows that itself.
    fn admit(&self, network: &Network, granted: &Granted, origin: &str) {
        // Who asked for the list only has got no certificate.
        let Ok(certificate) = Certificate::first_in(&granted.certificate) else {
            return;
        };
        if let Some(site) = certificate.site() {
            let serial = &certificate.serial;
            tracing::info!("site {site} at {origin} has got certificate {serial}");
        }
        match enrolment::joined(&self.settings.directory) {
            Ok(joined) => network.admit(joined),
            Err(error) => tracing::error!("{}", chain(&error)),
        }
    }

    fn has_enough_of(&self, address: Option<IpAddr>) -> bool {
        let refused = self.refused.lock();
        let mut refused = refused.unwrap_or_else(PoisonError::into_inner);
        address.is_some_and(|address| refused.is_enough(address, Instant::now()))
    }

    fn note_refusal(&self, address: Option<IpAddr>) {
        let refused = self.refused.lock();
        let mut refused = refused.unwrap_or_else(PoisonError::into_inner);
        if let Some(address) = address {
            refused.note(address, Instant::now());
        }
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(result) => result,
        Err(_) => Err("it wants a certificate, but is too slow".to_owned()),
    }
}

/// The question, or what is wrong with it; an error if there is none.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Result<Question, Error>, String> {
    let failed = |error: std::io::Error| format!("it wants a certificate, but: {error}");
    let mut head = [0; 4];
    stream.read_exact(&mut head).await.map_err(failed)?;
    let len = match message::length(head, MAX_QUESTION) {
        Ok(len) => len,
        Err(error) => return Ok(Err(error)),
    };
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).await.map_err(failed)?;
    Ok(Question::decode(&bytes))
}

/// Who was refused lately, and how often.
#[derive(Debug, Default)]
struct Refused(HashMap<IpAddr, (Instant, u32)>);

impl Refused {
    fn is_enough(&mut self, address: IpAddr, now: Instant) -> bool {
        match self.0.get(&address) {
            Some((since, count)) => *count >= REFUSALS && now < *since + PERIOD,
            None => false,
        }
    }

    fn note(&mut self, address: IpAddr, now: Instant) {
        self.0.retain(|_, (since, _)| now < *since + PERIOD);
        if self.0.len() >= ADDRESSES && !self.0.contains_key(&address) {
            return;
        }
        self.0.entry(address).or_insert((now, 0)).1 += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_refused_often_has_to_wait_and_nobody_else() {
        let (now, mut refused) = (Instant::now(), Refused::default());
        let [one, other] = [[192, 0, 2, 1], [192, 0, 2, 2]].map(IpAddr::from);
        for _ in 0..REFUSALS {
            assert!(!refused.is_enough(one, now));
            refused.note(one, now);
        }
        assert!(refused.is_enough(one, now) && !refused.is_enough(other, now));
        assert!(!refused.is_enough(one, now + PERIOD));
    }

    #[test]
    fn many_addresses_do_not_fill_the_memory() {
        let (now, mut refused) = (Instant::now(), Refused::default());
        for n in 0..3000_u32 {
            refused.note(IpAddr::from(n.to_be_bytes()), now);
        }
        assert_eq!(refused.0.len(), ADDRESSES);
        refused.note(IpAddr::from([1; 4]), now + PERIOD);
        assert_eq!(refused.0.len(), 1);
    }
}
