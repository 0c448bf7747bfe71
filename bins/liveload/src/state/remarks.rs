//! Acknowledgements and downtimes of a source, brought to a core.
//!
//! What the core was told stands in the ledger's file `SITE.remarks`, one remark
//! a line. One that is wanted and does not stand there is told; one that stands
//! there and is wanted no more is taken back. So only remarks that came from
//! here are touched, and nothing is told twice.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use nagios::check_result::CheckResult;
use objects::{SiteId, UnixTime};
use program::{Failure, file};

use super::backend::Backend;
use super::remark::{self, Remark, Teller};

/// What the core is to be told, while one dump goes through.
pub(super) struct Remarks {
    memory: PathBuf,
    author: String,
    /// Without, whoever hands over the states does it.
    teller: Option<Box<dyn Teller>>,
    now: UnixTime,
    told: BTreeSet<Remark>,
    wanted: BTreeSet<Remark>,
    /// Of those: the core takes them only when it has read this dump.
    early: BTreeSet<Remark>,
    unnamed: u64,
}

impl Remarks {
    pub(super) fn open(
        memory: PathBuf,
        site: &SiteId,
        teller: Option<Box<dyn Teller>>,
        now: UnixTime,
    ) -> Result<Self, Failure> {
        let told = match fs::read_to_string(&memory) {
            Ok(text) => text.lines().filter_map(Remark::parse).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeSet::new(),
            Err(error) => return Err(file::failure(&memory, error)),
        };
        Ok(Self {
            memory,
            author: remark::author(site),
            teller,
            now,
            told,
            wanted: BTreeSet::new(),
            early: BTreeSet::new(),
            unnamed: 0,
        })
    }

    /// Notes what is wanted for an object. With `is_new_spell` its state is
    /// another than at the last dump, so that the core has let go of an
    /// acknowledgement, or will.
    pub(super) fn note(&mut self, record: &CheckResult, is_new_spell: bool) {
        let Some(full) = &record.full else { return };
        let is_problem = record.return_code != 0 && full.has_been_checked;
        if let Some(kind) = full.acknowledgement.filter(|_| is_problem) {
            let comment = full.acknowledgement_comments.last();
            match Remark::acknowledgement(record, kind, comment) {
                Some(remark) => {
                    if is_new_spell {
                        self.told.remove(&remark);
                        self.early.insert(remark.clone());
                    }
                    self.wanted.insert(remark);
                }
                None => self.unnamed += 1,
            }
        }
        for remark in Remark::downtimes(record, full, &self.author, self.now) {
            match remark {
                Some(remark) => {
                    self.wanted.insert(remark);
                }
                None => self.unnamed += 1,
            }
        }
    }

    /// Tells the core what is new and what is gone; of a dump that is not whole
    /// only what is new. What the core cannot take yet is left to the next dump.
    pub(super) fn finish(
        &mut self,
        name: &str,
        is_complete: bool,
        states: &mut dyn Backend,
        wait: Duration,
    ) -> Result<(), Failure> {
        let told = self.tell(is_complete, states, wait);
        let stored = self.store();
        let late = told?;
        stored?;
        if late > 0 {
            eprintln!(
                "liveload: {name}: {late} acknowledgements wait for the next dump: the core has not read this one"
            );
        }
        if self.unnamed > 0 {
            let unnamed = self.unnamed;
            eprintln!(
                "liveload: {name}: the core cannot be told of {unnamed} remarks: the name of the object"
            );
        }
        Ok(())
    }

    fn tell(
        &mut self,
        is_complete: bool,
        states: &mut dyn Backend,
        wait: Duration,
    ) -> Result<usize, Failure> {
        let (now, author) = (self.now, self.author.clone());
        if is_complete {
            let gone: Vec<Remark> = self.told.difference(&self.wanted).cloned().collect();
            for remark in gone {
                if let Some(teller) = self.teller(states)
                    && !remark.is_over(now)
                {
                    teller.undo(&remark, &author, now)?;
                }
                self.told.remove(&remark);
            }
        }
        let new: BTreeSet<Remark> = self.wanted.difference(&self.told).cloned().collect();
        let (early, at_once): (Vec<Remark>, Vec<Remark>) = new
            .into_iter()
            .partition(|remark| self.early.contains(remark));
        self.tell_all(at_once, states)?;
        if early.is_empty() {
            return Ok(0);
        }
        if !states.await_core(wait)? {
            return Ok(early.len());
        }
        self.tell_all(early, states)?;
        Ok(0)
    }

    fn tell_all(&mut self, remarks: Vec<Remark>, states: &mut dyn Backend) -> Result<(), Failure> {
        let (now, author) = (self.now, self.author.clone());
        for remark in remarks {
            match self.teller(states) {
                Some(teller) if teller.can_name(&remark) => {
                    teller.tell(&remark, &author, now)?;
                    self.told.insert(remark);
                }
                _ => self.unnamed += 1,
            }
        }
        Ok(())
    }

    fn teller<'a>(&'a mut self, states: &'a mut dyn Backend) -> Option<&'a mut dyn Teller> {
        match &mut self.teller {
            Some(teller) => Some(teller.as_mut()),
            None => states.teller(),
        }
    }

    fn store(&self) -> Result<(), Failure> {
        program::file::replace(&self.memory, 0o600, |out| {
            for remark in &self.told {
                writeln!(out, "{}", remark.print())?;
            }
            Ok(())
        })
        .map_err(|error| file::failure(&self.memory, error))
    }
}
