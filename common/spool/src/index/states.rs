//! How far messages have come, each state once: most messages of a backlog share
//! a handful of them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::record::End;

/// Where a message is from and how far it has come at each target, in numbers
/// that the index gives to peers and targets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct State {
    pub(super) from: Option<u32>,
    pub(super) held: bool,
    /// Whether it has a label.
    pub(super) is_labelled: bool,
    pub(super) targets: Vec<Progress>,
}

/// How far it has come at one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Progress {
    pub(super) target: u32,
    pub(super) attempts: u32,
    pub(super) end: Option<End>,
}

impl State {
    /// The progress at a target, which is added if it is not there.
    pub(super) fn at(&mut self, target: u32) -> &mut Progress {
        let known = self.targets.iter().position(|p| p.target == target);
        let at = known.unwrap_or_else(|| {
            self.targets.push(Progress {
                target,
                attempts: 0,
                end: None,
            });
            self.targets.len() - 1
        });
        &mut self.targets[at]
    }

    pub(super) fn find(&self, target: u32) -> Option<&Progress> {
        self.targets.iter().find(|p| p.target == target)
    }

    pub(super) fn find_mut(&mut self, target: u32) -> Option<&mut Progress> {
        self.targets.iter_mut().find(|p| p.target == target)
    }

    /// The gravest end, if it has one at every target.
    pub(super) fn settled(&self) -> Option<End> {
        let ends = self.targets.iter().map(|progress| progress.end);
        ends.reduce(|a, b| Some(a?.graver(b?)))?
    }

    /// The targets that still need the message; none while it is held.
    pub(super) fn waits_at(&self) -> impl Iterator<Item = u32> + '_ {
        let open = |progress: &&Progress| progress.end.is_none() && !self.held;
        let open = self.targets.iter().filter(open);
        open.map(|progress| progress.target)
    }
}

/// All states that some message is in.
#[derive(Default)]
pub(super) struct States {
    /// By number, with how many messages are in it; none where it is free.
    states: Vec<Option<(Arc<State>, usize)>>,
    numbers: HashMap<Arc<State>, u32>,
    free: Vec<u32>,
    /// For each target: how many messages it still needs, but for those held.
    waiting: HashMap<u32, u64>,
    /// How many messages are held.
    held: usize,
    /// For each target: how many states have it.
    users: HashMap<u32, u32>,
    /// Targets that no state has any more.
    unused: Vec<u32>,
}

impl States {
    /// One more message is in this state.
    pub(super) fn enter(&mut self, state: State) -> u32 {
        self.held += usize::from(state.held);
        for target in state.waits_at() {
            *self.waiting.entry(target).or_default() += 1;
        }
        if let Some(number) = self.numbers.get(&state) {
            if let Some((_, count)) = &mut self.states[*number as usize] {
                *count += 1;
            }
            return *number;
        }
        for progress in &state.targets {
            *self.users.entry(progress.target).or_default() += 1;
        }
        let state = Arc::new(state);
        let number = self.free.pop().unwrap_or_else(|| {
            self.states.push(None);
            (self.states.len() - 1) as u32
        });
        self.states[number as usize] = Some((Arc::clone(&state), 1));
        self.numbers.insert(state, number);
        number
    }

    /// One message less is in it.
    pub(super) fn leave(&mut self, number: u32) {
        let slot = &mut self.states[number as usize];
        let Some((state, count)) = slot else { return };
        self.held -= usize::from(state.held);
        for target in state.waits_at() {
            if let Some(waiting) = self.waiting.get_mut(&target) {
                *waiting -= 1;
            }
        }
        *count -= 1;
        if *count > 0 {
            return;
        }
        self.numbers.remove(&**state);
        if let Some((state, _)) = slot.take() {
            self.let_targets_go(&state);
        }
        self.free.push(number);
    }

    fn let_targets_go(&mut self, state: &State) {
        for target in state.targets.iter().map(|progress| progress.target) {
            if let Some(users) = self.users.get_mut(&target) {
                *users -= 1;
                if *users == 0 {
                    self.users.remove(&target);
                    self.waiting.remove(&target);
                    self.unused.push(target);
                }
            }
        }
    }

    /// A target that no message has any more.
    pub(super) fn pop_unused(&mut self) -> Option<u32> {
        while let Some(target) = self.unused.pop() {
            if !self.users.contains_key(&target) {
                return Some(target);
            }
        }
        None
    }

    pub(super) fn get(&self, number: u32) -> &State {
        let (state, _) = self.states[number as usize]
            .as_ref()
            .expect("a message is in it");
        state
    }

    /// How many messages are held.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// How many messages a target still needs, but for those held.
    pub(super) fn waiting(&self, target: u32) -> u64 {
        self.waiting.get(&target).copied().unwrap_or(0)
    }

    /// The same for several targets; a message that more than one of them needs
    /// counts once.
    pub(super) fn waiting_at_any(&self, targets: &[u32]) -> u64 {
        let states = self.states.iter().flatten();
        let waiting = states.filter(|(state, _)| state.waits_at().any(|t| targets.contains(&t)));
        waiting.map(|(_, count)| *count as u64).sum()
    }
}
