//! The centre's side of an enrolment: who gets a certificate for which
//! question.

use std::path::Path;
use std::time::Duration;

use objects::{SiteId, UnixTime};

use crate::directory::{self, make_directory, names, remove};
use crate::invitation::{ATTEMPTS, InvitationId, Secret, Standing, Used};
use crate::message::{Granted, Question};
use crate::{Authority, Certificate, Error, Lifetime, Refusal, Request};

/// Where the names of the sites lie that have joined by invitation.
const JOINED: &str = "joined";
/// A certificate is renewed when no more than this part of its time is left.
const RENEWABLE: f64 = 0.5;

impl Authority {
    /// Answers a question. `peer` is the certificate that the asking end has
    /// shown and proved, if any.
    pub fn answer(
        &self,
        question: &Question,
        peer: Option<&Certificate>,
        lifetime: Duration,
        now: UnixTime,
    ) -> Result<Granted, Error> {
        let certificate = match question {
            Question::Join {
                invitation,
                secret,
                request,
            } => self.join(invitation, secret, request, lifetime, now)?,
            Question::Renew { request } => {
                let (old, site) = self.known(peer)?;
                self.renew_for(&site, old, request, lifetime, now)?
            }
            Question::Revocations {} => {
                self.known(peer)?;
                String::new()
            }
        };
        Ok(Granted {
            certificate,
            authority: self.chain().to_owned(),
            revoked: directory::read(&self.revocations_path())?,
        })
    }

    fn join(
        &self,
        id: &str,
        secret: &str,
        request: &str,
        lifetime: Duration,
        now: UnixTime,
    ) -> Result<String, Error> {
        let unknown = || {
            Error::refused(
                Refusal::Unknown,
                "there is no such invitation, or no longer",
            )
        };
        let id: InvitationId = id.parse().map_err(|_| unknown())?;
        let secret = Secret::from_hex(secret).ok_or_else(unknown)?;
        let mut invitation = self.invitation(&id)?.ok_or_else(unknown)?;
        if invitation.attempts >= ATTEMPTS {
            return Err(unknown());
        }
        if !invitation.is_proved_by(&secret) {
            invitation.attempts += 1;
            self.write_invitation(&id, &invitation)?;
            return Err(unknown());
        }
        let request = read_request(request)?;
        match (invitation.standing(now), &invitation.used) {
            (_, Some(used)) => return self.granted_before(used, &request),
            (Standing::Open, None) => {}
            _ => {
                let text = "the invitation has expired";
                return Err(Error::refused(Refusal::Expired, text));
            }
        }
        let lifetime = Lifetime::from_now(now, lifetime);
        let issued = self.sign_request(&invitation.site, &request, lifetime)?;
        self.remember_site(&invitation.site, now)?;
        // From here on the invitation is for this key only. Whoever was killed
        // before has given nothing away.
        invitation.used = Some(Used {
            time: now.secs(),
            key: request.pin,
            serial: issued.certificate.serial.to_string(),
        });
        self.write_invitation(&id, &invitation)?;
        Ok(issued.chain)
    }

    /// The answer may have been lost: the same key gets the same certificate.
    fn granted_before(&self, used: &Used, request: &Request) -> Result<String, Error> {
        let refused = |reason, text: &str| Err(Error::refused(reason, text));
        if used.key != request.pin {
            return refused(Refusal::Used, "the invitation has been used already");
        }
        let Some(serial) = used.serial() else {
            return refused(Refusal::Unknown, "the invitation is damaged");
        };
        match self.issued_certificate(&serial)? {
            Some(_) if self.revoked()?.contains_key(&serial) => {
                refused(Refusal::Revoked, "the certificate has been revoked")
            }
            Some(certificate) => Ok(certificate.to_pem() + self.chain()),
            None => refused(Refusal::Unknown, "the certificate is gone"),
        }
    }

    /// A site whose certificate is from here and still believed.
    fn known<'a>(&self, peer: Option<&'a Certificate>) -> Result<(&'a Certificate, SiteId), Error> {
        let foreign = |text: &str| Error::refused(Refusal::Foreign, text);
        let peer = peer.ok_or_else(|| foreign("this needs a certificate"))?;
        if !peer.is_signed_by(self.certificate()) {
            return Err(foreign("the certificate is not from this authority"));
        }
        let site = peer
            .site()
            .ok_or_else(|| foreign("the certificate is for no site"))?;
        if self.revoked()?.contains_key(&peer.serial) {
            let text = "the certificate has been revoked";
            return Err(Error::refused(Refusal::Revoked, text));
        }
        Ok((peer, site))
    }

    fn renew_for(
        &self,
        site: &SiteId,
        old: &Certificate,
        request: &str,
        lifetime: Duration,
        now: UnixTime,
    ) -> Result<String, Error> {
        if old.left(now) > RENEWABLE {
            let text = "more than half of the certificate's time is left";
            return Err(Error::refused(Refusal::Early, text));
        }
        let request = read_request(request)?;
        let lifetime = Lifetime::from_now(now, lifetime);
        Ok(self.sign_request(site, &request, lifetime)?.chain)
    }

    fn remember_site(&self, site: &SiteId, now: UnixTime) -> Result<(), Error> {
        let joined = self.directory.file(JOINED);
        make_directory(&joined)?;
        directory::write(&joined.join(site.as_str()), &format!("{}\n", now.secs()))
    }

    /// The site is no longer one that has joined, nor invited.
    pub(crate) fn forget_site(&self, site: &SiteId) -> Result<(), Error> {
        self.withdraw_site(site)?;
        remove(&self.directory.file(JOINED).join(site.as_str())).or_else(|error| match error {
            // Nobody has joined yet.
            Error::File { ref source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Ok(())
            }
            error => Err(error),
        })
    }
}

/// The sites that have joined by invitation, in order. Takes no lock: each of
/// them is there or not.
pub fn joined(directory: &Path) -> Result<Vec<SiteId>, Error> {
    let names = names(&directory.join(JOINED))?;
    Ok(names
        .iter()
        .filter_map(|name| SiteId::new(name).ok())
        .collect())
}

fn read_request(text: &str) -> Result<Request, Error> {
    Request::from_pem(text)
        .map_err(|what| Error::refused(Refusal::Request, format!("the request {what}")))
}
