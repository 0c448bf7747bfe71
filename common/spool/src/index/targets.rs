//! The targets that some message has, each once and with a number: a million
//! messages that are to be delivered in the same way have its detail once.

use std::collections::HashMap;

use crate::record::Target;

#[derive(Default)]
pub(super) struct Targets {
    /// None where a number is free.
    targets: Vec<Option<Target>>,
    numbers: HashMap<Target, u32>,
    free: Vec<u32>,
}

impl Targets {
    /// The number of a target, which is added if it is not there.
    pub(super) fn number(&mut self, target: &Target) -> u32 {
        if let Some(number) = self.find(target) {
            return number;
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.targets.push(None);
            (self.targets.len() - 1) as u32
        });
        self.targets[number as usize] = Some(target.clone());
        self.numbers.insert(target.clone(), number);
        number
    }

    pub(super) fn find(&self, target: &Target) -> Option<u32> {
        self.numbers.get(target).copied()
    }

    pub(super) fn get(&self, number: u32) -> &Target {
        self.targets[number as usize]
            .as_ref()
            .expect("a state has it")
    }

    /// The numbers of all that somebody means who says `named`.
    pub(super) fn meant_by<'a>(&'a self, named: &'a Target) -> impl Iterator<Item = u32> + 'a {
        let all = self.numbers.iter();
        let meant = all.filter(move |(target, _)| target.is_meant_by(named));
        meant.map(|(_, number)| *number)
    }

    /// No message has it any more.
    pub(super) fn forget(&mut self, number: u32) {
        if let Some(target) = self.targets[number as usize].take() {
            self.numbers.remove(&target);
            self.free.push(number);
        }
    }
}
