//! Tells dumps from requests on the merged socket, if it takes both: a
//! connection that begins with a dump brings dumps and nothing else.

use std::sync::Arc;

use livestatus::dump::{DumpReader, Item};
use objects::SiteId;
use tokio::time::timeout;
use tracing::warn;

use crate::client::{self, Scope, Service};
use crate::ingest::{self, Source};
use crate::stream::Stream;

/// Longest first line of a dump.
const MAX_LINE: usize = 4096;

/// Serves one connection to the merged socket.
pub(crate) async fn serve(mut stream: Stream, service: Arc<Service>) {
    let mut first = Vec::new();
    let begins = match service.dumps_on_merged {
        true => beginning(&mut stream, &mut first, &service).await,
        false => Some(Beginning::Request),
    };
    let id = match begins {
        Some(Beginning::Dump(id)) => id,
        Some(Beginning::Request | Beginning::Unfinished) => {
            return client::serve(stream, &first, Scope::Merged, service).await;
        }
        None => return stream.end().await,
    };
    match service.store.site(&id) {
        Some(site) => ingest::serve(stream, &first, Source::Named(site), service).await,
        None => {
            service.counters.refused_commands.add();
            let reason = format!("site {id} is not configured here");
            warn!("refused a dump on the merged socket: {reason}");
            ingest::turn_away(stream, &reason, &service).await;
        }
    }
}

/// What a connection begins with.
#[derive(Debug, PartialEq)]
enum Beginning {
    /// It is not clear yet.
    Unfinished,
    /// A request, or nothing that is known here.
    Request,
    /// A dump of this site.
    Dump(SiteId),
}

/// Reads until it is clear, or the stream ends. What was read is in `first`.
/// `None` if nothing came for too long.
async fn beginning(
    stream: &mut Stream,
    first: &mut Vec<u8>,
    service: &Service,
) -> Option<Beginning> {
    let mut stopping = service.stopping.clone();
    loop {
        let begins = look(first);
        if begins != Beginning::Unfinished {
            return Some(begins);
        }
        let limit = if first.is_empty() {
            service.limits.idle_timeout
        } else {
            service.limits.request_timeout
        };
        let received = stream.receive(|bytes| first.extend_from_slice(bytes));
        let received = tokio::select! {
            received = timeout(limit, received) => received,
            _ = stopping.wait_for(|stop| *stop) => return None,
        };
        match received {
            Ok(Ok(1..)) => {}
            // Who reads on says what is wrong.
            Ok(Ok(0)) | Err(_) if !first.is_empty() => return Some(Beginning::Unfinished),
            _ => return None,
        }
    }
}

fn look(first: &[u8]) -> Beginning {
    const COMMAND: &[u8] = b"COMMAND ";
    let length = first.len().min(COMMAND.len());
    if first[..length] != COMMAND[..length] {
        return Beginning::Request;
    }
    let line = first.iter().take(MAX_LINE).position(|byte| *byte == b'\n');
    let Some(end) = line else {
        return if first.len() < MAX_LINE {
            Beginning::Unfinished
        } else {
            Beginning::Request
        };
    };
    let mut reader = DumpReader::new();
    reader.push(&first[..=end]);
    match reader.poll_item() {
        Some(Item::Begin(begin)) => Beginning::Dump(begin.site),
        _ => Beginning::Request,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_is_known_by_its_first_line_and_not_before() {
        let line = b"COMMAND [5] SITEWIRE_BEGIN;1;berlin;state;7;;1;full;;5\n";
        for end in 0..line.len() {
            assert_eq!(look(&line[..end]), Beginning::Unfinished, "{end}");
        }
        let site = SiteId::new("berlin").unwrap();
        assert_eq!(look(line), Beginning::Dump(site));
        let long = [b"COMMAND ", &[b'x'; MAX_LINE][..]].concat();
        for request in [
            &b"G"[..],
            b"COMMANDS",
            b"\n",
            b"COMMAND [5] SITEWIRE_BEGIN;1;../x;state;7;;1;full;;5\n",
            b"COMMAND [5] SITEWIRE_END;7;0;00000000\n",
            b"COMMAND [5] UPDATE_SHADOW_HOST_STATE;x\n",
            &long,
        ] {
            assert_eq!(look(request), Beginning::Request);
        }
    }
}
