//! The newest of everything that agentd knows, for all who show it.
//!
//! Those who collect put something up, those who answer take what hangs there.
//! A lock is held only as long as it takes to copy a reference.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::SystemTime;

use agent::Document;
use agent::document::Inventory;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::watch;

use crate::collect::Effort;

/// Cheap to clone: all clones are one board.
#[derive(Clone)]
pub(crate) struct Board(Arc<Shared>);

struct Shared {
    published: RwLock<Arc<Published>>,
    packages: RwLock<Arc<Packages>>,
    /// By the name of the exporter; `None` as long as nobody asked it.
    scrapes: RwLock<BTreeMap<String, Option<Scrape>>>,
    documents: watch::Sender<u64>,
    inventories: watch::Sender<u64>,
}

/// A document in all its forms.
pub(crate) struct Published {
    pub(crate) document: Document,
    pub(crate) json: Bytes,
    /// With its quotes, as it stands in a header.
    pub(crate) etag: String,
    /// `None` before the first collection; the JSON is `{}` then.
    pub(crate) collected: Option<SystemTime>,
    /// How the collectors have done.
    pub(crate) efforts: Vec<Effort>,
    gzip: OnceLock<Bytes>,
}

/// The inventory of installed software.
pub(crate) struct Packages {
    pub(crate) inventory: Inventory,
    pub(crate) json: Bytes,
    pub(crate) collected: Option<SystemTime>,
}

/// What an exporter answered last.
#[derive(Clone)]
pub(crate) struct Scrape {
    /// Its metrics. Where there are none because it could not be asked, a
    /// comment says why, so that nobody takes old figures for new ones.
    pub(crate) text: Bytes,
    pub(crate) at: SystemTime,
}

impl Board {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared {
            published: RwLock::new(Arc::new(Published::nothing_yet())),
            packages: RwLock::new(Arc::new(Packages::new(Inventory::default(), None))),
            scrapes: RwLock::default(),
            documents: watch::Sender::new(0),
            inventories: watch::Sender::new(0),
        }))
    }

    pub(crate) fn document(&self) -> Arc<Published> {
        copy(&self.0.published)
    }

    pub(crate) fn packages(&self) -> Arc<Packages> {
        copy(&self.0.packages)
    }

    /// The last answer of the exporter of this name; `None` if there is no such
    /// exporter, or it was not asked yet.
    pub(crate) fn exporter(&self, name: &str) -> Option<Scrape> {
        copy(&self.0.scrapes).get(name).cloned().flatten()
    }

    /// The exporters that are configured, whether they answer or not.
    pub(crate) fn exporters(&self) -> Vec<String> {
        copy(&self.0.scrapes).into_keys().collect()
    }

    /// Changes with every new document.
    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.0.documents.subscribe()
    }

    /// Changes with every new inventory.
    pub(crate) fn inventory_changed(&self) -> watch::Receiver<u64> {
        self.0.inventories.subscribe()
    }

    pub(super) fn put_document(&self, published: Published) {
        replace(&self.0.published, Arc::new(published));
        self.0.documents.send_modify(|number| *number += 1);
    }

    pub(super) fn put_packages(&self, inventory: Inventory, collected: Option<SystemTime>) {
        replace(
            &self.0.packages,
            Arc::new(Packages::new(inventory, collected)),
        );
        self.0.inventories.send_modify(|number| *number += 1);
    }

    /// From now on there are these exporters; what the same ones answered stays.
    pub(super) fn name_exporters(&self, names: impl Iterator<Item = String>) {
        let old = copy(&self.0.scrapes);
        let new = names.map(|name| {
            let scrape = old.get(&name).cloned().flatten();
            (name, scrape)
        });
        replace(&self.0.scrapes, new.collect());
    }

    pub(super) fn put_scrape(&self, name: &str, scrape: Scrape) {
        let mut scrapes = self
            .0
            .scrapes
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = scrapes.get_mut(name) {
            *place = Some(scrape);
        }
    }
}

fn copy<T: Clone>(place: &RwLock<T>) -> T {
    place.read().unwrap_or_else(PoisonError::into_inner).clone()
}

fn replace<T>(place: &RwLock<T>, value: T) {
    *place.write().unwrap_or_else(PoisonError::into_inner) = value;
}

impl Published {
    pub(crate) fn new(
        document: Document,
        efforts: Vec<Effort>,
        collected: SystemTime,
    ) -> Result<Self, agent::Error> {
        let json = Bytes::from(document.print()?);
        Ok(Self {
            etag: etag(&json),
            document,
            json,
            collected: Some(collected),
            efforts,
            gzip: OnceLock::new(),
        })
    }

    fn nothing_yet() -> Self {
        let json = Bytes::from_static(b"{}");
        Self {
            document: Document::default(),
            etag: etag(&json),
            json,
            collected: None,
            efforts: Vec::new(),
            gzip: OnceLock::new(),
        }
    }

    /// The JSON compressed; made for the first who wants it so.
    pub(crate) fn gzip(&self) -> Bytes {
        self.gzip.get_or_init(|| compress(&self.json)).clone()
    }
}

impl Packages {
    fn new(inventory: Inventory, collected: Option<SystemTime>) -> Self {
        // Texts and whole numbers only: there is nothing in it that JSON has not.
        let json = serde_json::to_vec(&inventory).unwrap_or_else(|_| b"{}".to_vec());
        Self {
            inventory,
            json: json.into(),
            collected,
        }
    }
}

fn etag(json: &[u8]) -> String {
    format!("\"{:x}-{:08x}\"", json.len(), crc32c::crc32c(json))
}

fn compress(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 8), Compression::fast());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    // Writing to memory does not fail.
    written.unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use agent::Checked;
    use agent::document::Agent;
    use flate2::read::GzDecoder;

    use super::*;

    fn document(name: &str) -> Published {
        let document = Document {
            agent: Checked::Done(Agent {
                system: name.to_owned(),
                ..Agent::default()
            }),
            ..Document::default()
        };
        Published::new(document, Vec::new(), SystemTime::now()).unwrap()
    }

    #[test]
    fn before_the_first_collection_there_is_an_empty_object() {
        let board = Board::new();
        assert_eq!(&board.document().json[..], b"{}");
        assert_eq!(board.document().collected, None);
    }

    #[test]
    fn who_waits_is_woken_and_who_reads_keeps_what_he_took() {
        let board = Board::new();
        let mut changed = board.changed();
        board.put_document(document("one"));
        assert!(changed.has_changed().unwrap());
        changed.mark_unchanged();
        let taken = board.document();
        board.put_document(document("two"));
        assert!(changed.has_changed().unwrap());
        assert!(taken.json.windows(3).any(|bytes| bytes == b"one"));
        assert_ne!(taken.etag, board.document().etag);
    }

    #[test]
    fn the_compressed_form_is_the_same_document() {
        let document = document("one");
        let mut text = Vec::new();
        GzDecoder::new(&document.gzip()[..])
            .read_to_end(&mut text)
            .unwrap();
        assert_eq!(text, document.json);
    }

    #[test]
    fn an_exporter_is_known_before_it_has_answered() {
        let board = Board::new();
        let names = || ["a".to_owned(), "b".to_owned()].into_iter();
        board.name_exporters(names());
        assert_eq!(board.exporters(), ["a", "b"]);
        assert!(board.exporter("a").is_none());
        let scrape = |text: &'static str| Scrape {
            text: Bytes::from_static(text.as_bytes()),
            at: SystemTime::now(),
        };
        board.put_scrape("a", scrape("up 1\n"));
        board.put_scrape("c", scrape("up 0\n"));
        board.name_exporters(names());
        assert_eq!(&board.exporter("a").unwrap().text[..], b"up 1\n");
        assert!(board.exporter("c").is_none());
    }
}
