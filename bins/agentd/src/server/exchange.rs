//! Auto-TLS over HTTP: the request that is to be signed, and what comes back.

use std::sync::{Arc, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use hyper::StatusCode;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};

use super::answer::{self, Answer};
use super::routes::Asked;
use super::{Mode, Serving, Shared, autotls};

#[derive(Serialize)]
struct Unsigned {
    csr: String,
}

#[derive(Deserialize)]
struct Signed {
    #[serde(default)]
    signed: String,
    #[serde(default)]
    ca: String,
}

/// The request. Making a key may take a while, and disturbs nobody.
pub(super) async fn get(asked: Asked) -> Answer {
    let domain = asked.parameter("domain");
    let (shared, serving) = (Arc::clone(&asked.shared), Arc::clone(&asked.serving));
    let made = tokio::task::spawn_blocking(move || {
        let _one = shared
            .exchanging
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        autotls::request(&serving.config.tls.auto, domain.as_deref())
    });
    match made.await {
        Ok(Ok((csr, note))) => {
            if let Some(note) = note {
                tracing::error!("there was a key that cannot be used, a new one is made: {note}");
            }
            tracing::info!("{} has got a request for a certificate", asked.peer);
            answer::json(serde_json::to_vec(&Unsigned { csr }).unwrap_or_default())
        }
        Ok(Err(error)) => {
            tracing::error!("could not generate csr: {error}");
            failed()
        }
        Err(_) => failed(),
    }
}

pub(super) async fn post(mut asked: Asked) -> Answer {
    let body = match asked.body().await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let (shared, serving) = (Arc::clone(&asked.shared), Arc::clone(&asked.serving));
    let taken = tokio::task::spawn_blocking(move || take(&shared, &serving, &body)).await;
    match taken {
        Ok(Ok(())) => {
            tracing::warn!("new certificate from {}", asked.peer);
            answer::empty(StatusCode::OK)
        }
        Ok(Err(what)) => {
            tracing::error!("certificate from {} was refused: {what}", asked.peer);
            failed()
        }
        Err(_) => failed(),
    }
}

fn take(shared: &Shared, serving: &Serving, body: &Bytes) -> Result<(), String> {
    let signed: Signed =
        serde_json::from_slice(body).map_err(|error| format!("it is no JSON: {error}"))?;
    let files = &serving.config.tls.auto;
    if let Some(pinned) = files.first.ca_fingerprint {
        check_fingerprint(&signed.ca, &pinned)?;
    }
    let _one = shared
        .exchanging
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    autotls::accept(files, &signed.signed, &signed.ca).map_err(|refusal| refusal.to_string())?;
    // Perhaps the configuration has changed since this connection began.
    let config = Arc::clone(&shared.serving().config);
    match Mode::of(&config.tls) {
        Ok(mode) => shared.serve(Serving { config, mode }),
        Err(error) => tracing::error!("{error}"),
    }
    Ok(())
}

/// Every authority must be the one that was named.
fn check_fingerprint(ca: &str, pinned: &[u8]) -> Result<(), String> {
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        let certificate = certificate.map_err(|error| format!("ca: is no PEM: {error}"))?;
        if digest(&SHA256, &certificate).as_ref() != pinned {
            return Err("ca: is not the one of `autossl-ca-fingerprint`".to_owned());
        }
    }
    Ok(())
}

fn failed() -> Answer {
    answer::error(StatusCode::INTERNAL_SERVER_ERROR, "internal server error")
}
