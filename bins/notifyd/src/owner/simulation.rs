//! Whole sites with simulated disks, a simulated network between them, and a
//! clock of their own: the real owner of the journal, the real protocol, the
//! real journal. A seed decides everything that happens; it is told when
//! something is lost, doubled or out of order.
//!
//! What happens besides work: connections break at any byte, seen by both ends,
//! one or none of them; sites lose power, also in the middle of a commit; disks
//! fail for a while; time leaps; acknowledgements wait long for their record.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use objects::notification::{Context, Kind};
use objects::{Notification, NotificationId, SiteId};
use spool::record::Event as Recorded;
use spool::sim::{Chance, SimulatedDisk, Wrong};
use spool::submission::{Answer, Submission};
use spool::{Options, Queue, SpoolDirectory, Syncing};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use wire::{Event, Session, Window};

use super::under_way::Syncs;
use super::{FromLink, Owner, Request, Said};
use crate::clock;
use crate::config::Configuration;
use crate::stop::Stop;
use crate::submit::{Reply, Submitted};

const WINDOW: u32 = 4;
const MESSAGES: usize = 24;
const OBJECTS: u64 = 4;
/// Steps of each run in which things go wrong.
const TROUBLE: u64 = 1500;
/// Without trouble everything must be in order after this many more.
const PATIENCE: u64 = 60_000;

/// Two sites that send each other everything. Each knows every id of the other
/// only as long as the ring of its peer says so.
fn pair(both_connect: bool) -> Vec<(&'static str, String)> {
    let back = match both_connect {
        true => "connect = 'unix:/a'\n",
        false => "",
    };
    vec![
        (
            "a",
            "[[listen]]\naddress = 'unix:/a'\n[[peer]]\nsite = 'b'\nsend = true\nconnect = 'unix:/b'\n"
                .to_owned(),
        ),
        (
            "b",
            format!("[[listen]]\naddress = 'unix:/b'\n[[peer]]\nsite = 'a'\nsend = true\n{back}"),
        ),
    ]
}

/// A site with two centres, which both forward to a hub.
fn diamond() -> Vec<(&'static str, String)> {
    let centre = "[[listen]]\naddress = 'unix:/x'\n[[peer]]\nsite = 'r'\n\
                  [[peer]]\nsite = 'hub'\nsend = true\nconnect = 'unix:/x'\n";
    vec![
        (
            "r",
            "[[peer]]\nsite = 'a'\nconnect = 'unix:/x'\n[[peer]]\nsite = 'b'\nconnect = 'unix:/x'\n\
             [forward]\nto = ['a', 'b']\nfailover_after = '5s'\n"
                .to_owned(),
        ),
        ("a", centre.to_owned()),
        ("b", centre.to_owned()),
        (
            "hub",
            "[[listen]]\naddress = 'unix:/x'\n[[peer]]\nsite = 'a'\nsites = ['r']\n[[peer]]\nsite = 'b'\nsites = ['r']\n".to_owned(),
        ),
    ]
}

#[test]
fn a_pair_of_sites_loses_nothing_doubles_nothing_and_keeps_the_order() {
    for seed in seeds(150) {
        let mut world = World::new(
            &pair(seed.is_multiple_of(3)),
            ring(4 * WINDOW as usize),
            seed,
        );
        world.run(&[0, 1]);
        for (from, to) in [(0, 1), (1, 0)] {
            world.check_once(from, to);
            // What is left of a group of records that was torn, never acknowledged,
            // may lack its first ones.
            if !world.power {
                world.check_order(from, to);
            }
        }
    }
}

#[test]
fn a_site_with_two_centres_loses_nothing_and_the_hub_has_nothing_twice() {
    for seed in seeds(60) {
        let options = Options {
            all_ids: 1000,
            ..ring(4 * WINDOW as usize)
        };
        let mut world = World::new(&diamond(), options, seed);
        world.run(&[0]);
        world.check_once(0, 3);
    }
}

/// A receiver that remembers too little must be found out.
#[test]
fn the_simulation_has_teeth() {
    let mut doubled = 0;
    for seed in seeds(10) {
        let mut world = World::new(&pair(false), ring(1), seed);
        world.run(&[0, 1]);
        doubled += world.doubled(0, 1) + world.doubled(1, 0);
    }
    assert!(doubled > 0, "nothing was doubled");
}

/// `SITEWIRE_SEED=N` runs that one, `SITEWIRE_SEEDS=N` so many.
fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let (first, count) = match number("SITEWIRE_SEED") {
        Some(seed) => (seed, 1),
        None => (0, number("SITEWIRE_SEEDS").unwrap_or(count)),
    };
    first..first + count
}

fn ring(peer_ids: usize) -> Options {
    Options {
        // Large enough that the history of everything is there at the end.
        segment_size: 256 << 10,
        keep_segments: 1000,
        compact_above: 1000,
        peer_ids,
        all_ids: 1,
        ahead: 0,
        reserve: 0,
        ..Options::default()
    }
}

struct World {
    seed: u64,
    chance: Chance,
    start: Instant,
    now: Instant,
    nodes: Vec<Node>,
    links: Vec<Link>,
    next_number: u64,
    options: Options,
    /// Whether a site that ends loses what its disk has not confirmed, and disks
    /// refuse things.
    power: bool,
}

struct Node {
    site: SiteId,
    directory: tempfile::TempDir,
    configuration: Configuration,
    disk: SimulatedDisk,
    owner: Option<Owner<SimulatedDisk>>,
    /// Syncs that nobody has made yet.
    syncs: Option<Receiver<Syncing>>,
    inbox: VecDeque<Request>,
    /// Submitted and not answered: asked again after a crash, as `notify` would.
    asking: BTreeMap<u64, Notification>,
    replies: (UnboundedSender<Vec<Reply>>, UnboundedReceiver<Vec<Reply>>),
    next_submission: u64,
    accepted: Vec<NotificationId>,
}

/// A connection; the first end opened it.
struct Link {
    ends: [End; 2],
    /// Bytes on their way to each end.
    wire: [VecDeque<u8>; 2],
}

struct End {
    node: usize,
    peer: SiteId,
    outgoing: bool,
    number: u64,
    /// `None` once it is over.
    session: Option<Session>,
    to_session: Option<UnboundedSender<net::Command>>,
    commands: UnboundedReceiver<net::Command>,
    introduced: bool,
    /// Nothing more comes from the other end, and this one notices.
    eof: bool,
    /// The network takes nothing any more.
    cut: bool,
}

impl World {
    fn new(sites: &[(&str, String)], options: Options, seed: u64) -> Self {
        let start = Instant::now();
        clock::simulate(start);
        let mut world = Self {
            seed,
            chance: Chance::new(seed),
            start,
            now: start,
            nodes: sites
                .iter()
                .map(|(name, rest)| Node::new(name, rest))
                .collect(),
            links: Vec::new(),
            next_number: 1,
            options,
            power: seed.is_multiple_of(2),
        };
        for at in 0..world.nodes.len() {
            world.restart(at);
        }
        world
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.chance.below(n) == 0
    }

    fn any(&mut self, len: usize) -> usize {
        self.chance.below(len as u64) as usize
    }

    /// Works until all that `sources` accepted is where it should be.
    fn run(&mut self, sources: &[usize]) {
        let mut left: Vec<usize> = sources.iter().flat_map(|at| [*at; MESSAGES]).collect();
        for step in 0.. {
            let trouble = step < TROUBLE;
            if !trouble {
                let done = left.is_empty() && self.nodes.iter().all(Node::is_done);
                if done {
                    break;
                }
            }
            assert!(step < TROUBLE + PATIENCE, "seed {}: no end", self.seed);
            if !left.is_empty() && self.one_in(20) {
                let which = self.any(left.len());
                let at = left.swap_remove(which);
                self.nodes[at].submit(self.chance.below(OBJECTS));
            }
            self.step(trouble);
        }
        clock::stop_simulating();
        // Faults to come are not those of who reads the journals now.
        self.nodes.iter().for_each(|node| node.disk.restart());
    }

    fn step(&mut self, trouble: bool) {
        self.pass_time(trouble);
        match self.chance.below(100) {
            0..30 => self.work(trouble),
            30..35 => self.sync(),
            35..60 => self.pump(),
            60..95 => self.carry(),
            _ => self.connect(),
        }
        if trouble {
            match self.chance.below(400) {
                0..8 => self.cut(),
                8..10 => {
                    let at = self.any(self.nodes.len());
                    self.crash(at);
                }
                10 => {
                    let at = self.any(self.nodes.len());
                    let disk = &self.nodes[at].disk;
                    let first = disk.operations() + self.chance.below(5);
                    let count = 1 + self.chance.below(6);
                    match self.chance.below(3) {
                        _ if !self.power => disk.kill_at(first),
                        0 => disk.kill_at(first),
                        1 => disk.fail(first, count, Wrong::Error),
                        _ => disk.fail(first, count, Wrong::NoSpace),
                    }
                }
                _ => {}
            }
        }
    }

    fn pass_time(&mut self, trouble: bool) {
        let millis = match self.chance.below(500) {
            0 if trouble => self.chance.below(40_000),
            1..5 => self.chance.below(2_000),
            _ => self.chance.below(20),
        };
        self.now += Duration::from_millis(millis);
        clock::simulate(self.now);
    }

    /// The owner of one journal takes some of what it was asked, and commits.
    fn work(&mut self, trouble: bool) {
        let at = self.any(self.nodes.len());
        let count = self.any(8);
        let node = &mut self.nodes[at];
        node.work(count);
        if !trouble && node.owner.is_some() && self.one_in(50) {
            // A disk heals in the end.
            self.nodes[at].disk.restart();
        }
        if self.nodes[at].disk.is_killed() {
            self.crash(at);
        }
    }

    /// A sync is made beside the owner of a journal.
    fn sync(&mut self) {
        let at = self.any(self.nodes.len());
        self.nodes[at].sync();
        if self.nodes[at].disk.is_killed() {
            self.crash(at);
        }
    }

    /// Some runs make the syncs of all commits beside the owner, some none.
    fn restart(&mut self, at: usize) {
        let options = self.options.clone();
        self.nodes[at].start(options, self.seed % 4 < 2);
    }

    /// Power is lost, or only the process killed.
    fn crash(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        // A sync may have been made, and nobody heard of it.
        if self.chance.below(2) == 0 {
            node.sync();
        }
        node.owner = None;
        node.inbox.clear();
        match self.power {
            true => node.disk.crash(self.chance.below(u64::MAX)),
            false => node.disk.restart(),
        }
        for link in 0..self.links.len() {
            for end in 0..2 {
                if self.links[link].ends[end].node == at {
                    let seen = self.one_in(2);
                    self.links[link].lose(end, seen);
                }
            }
        }
        self.restart(at);
    }

    /// A connection breaks, at any byte.
    fn cut(&mut self) {
        if self.links.is_empty() {
            return;
        }
        let at = self.any(self.links.len());
        for end in 0..2 {
            let len = self.links[at].wire[end].len() as u64;
            let kept = self.chance.below(len + 1) as usize;
            self.links[at].wire[end].truncate(kept);
            let seen = !self.one_in(3);
            let end = &mut self.links[at].ends[end];
            end.cut = true;
            end.eof |= seen;
        }
    }

    fn connect(&mut self) {
        let at = self.any(self.nodes.len());
        let peers = &self.nodes[at].configuration.peers;
        let connecting: Vec<SiteId> = peers
            .iter()
            .filter(|peer| peer.connect.is_some())
            .map(|peer| peer.site.clone())
            .collect();
        if connecting.is_empty() {
            return;
        }
        let peer = connecting[self.any(connecting.len())].clone();
        let is_up = self.links.iter().any(|link| {
            let end = &link.ends[0];
            end.node == at && end.peer == peer && end.session.is_some()
        });
        let other = self.nodes.iter().position(|node| node.site == peer);
        let (false, Some(other)) = (is_up, other) else {
            return;
        };
        let numbers = [self.next_number, self.next_number + 1];
        self.next_number += 2;
        let site = self.nodes[at].site.clone();
        let end = |node: usize, peer: &SiteId, number, outgoing| {
            let (to_session, commands) = unbounded_channel();
            End {
                node,
                peer: peer.clone(),
                outgoing,
                number,
                session: Some(self.nodes[node].session(peer, self.now)),
                to_session: Some(to_session),
                commands,
                introduced: false,
                eof: false,
                cut: false,
            }
        };
        let ends = [
            end(at, &peer, numbers[0], true),
            end(other, &site, numbers[1], false),
        ];
        self.links.push(Link {
            ends,
            wire: [VecDeque::new(), VecDeque::new()],
        });
    }

    /// One end does what it would do between two reads.
    fn pump(&mut self) {
        if self.links.is_empty() {
            return;
        }
        let at = self.any(self.links.len());
        let end = self.any(2);
        self.links[at].pump(end, &mut self.nodes, self.now);
        self.links
            .retain(|link| link.ends.iter().any(|end| end.session.is_some()));
    }

    /// Some bytes arrive.
    fn carry(&mut self) {
        if self.links.is_empty() {
            return;
        }
        let at = self.any(self.links.len());
        let end = self.any(2);
        let len = self.links[at].wire[end].len() as u64;
        let count = match self.one_in(4) {
            true => self.chance.below(len + 1),
            false => len,
        };
        self.links[at].carry(end, count as usize, self.now);
    }

    /// Each id that `from` accepted has been accepted by `to`: how often, and
    /// the place in the order of acceptance.
    fn acceptances(&self, at: usize, id: NotificationId) -> Vec<u64> {
        let Some(owner) = &self.nodes[at].owner else {
            return Vec::new();
        };
        let events = owner.queue.history(id).unwrap();
        let orders = events.into_iter().filter_map(|(_, event)| match event {
            Recorded::Accepted { order, .. } => Some(order),
            _ => None,
        });
        orders.collect()
    }

    fn doubled(&self, from: usize, to: usize) -> usize {
        let ids = self.nodes[from].accepted.iter();
        ids.filter(|id| self.acceptances(to, **id).len() > 1)
            .count()
    }

    fn check_once(&self, from: usize, to: usize) {
        let seed = self.seed;
        assert_eq!(self.nodes[from].accepted.len(), MESSAGES, "seed {seed}");
        for id in &self.nodes[from].accepted {
            let count = self.acceptances(to, *id).len();
            assert!(count <= 1, "seed {seed}: {id} from {from} at {to}: {count}");
        }
        // The records of what has ended may be gone, as a full disk gives old
        // segments away; how many were taken in is never forgotten.
        let owner = self.nodes[to].owner.as_ref();
        let received = owner.map(|owner| owner.queue.totals().received);
        assert_eq!(
            received,
            Some(MESSAGES as u64),
            "seed {seed}: from {from} at {to}"
        );
    }

    fn check_order(&self, from: usize, to: usize) {
        let mut order: Vec<(u64, NotificationId)> = Vec::new();
        for id in &self.nodes[from].accepted {
            order.extend(
                self.acceptances(from, *id)
                    .first()
                    .map(|order| (*order, *id)),
            );
        }
        order.sort_unstable();
        let mut last: BTreeMap<u8, u64> = BTreeMap::new();
        for (_, id) in order {
            let there = self.acceptances(to, id)[0];
            let before = last.insert(object_of(id), there).unwrap_or(0);
            assert!(before < there, "seed {}: {id} overtook", self.seed);
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for node in &self.nodes {
                let figures = node.owner.as_ref().map(|owner| owner.queue.figures());
                let asked = (node.asking.len(), node.inbox.len());
                eprintln!("{}: {figures:?}, asking, asked: {asked:?}", node.site);
                if let Some(owner) = &node.owner {
                    let lines = owner.forward_figures();
                    eprintln!("  lines: {lines:?}, failing {:?}", owner.queue.failing());
                    for message in owner.queue.open() {
                        eprintln!("  open: {message:?}: {:?}", owner.queue.history(message.id));
                    }
                }
            }
            for link in &self.links {
                let end = |end: &End| (end.session.is_some(), end.introduced, end.eof, end.cut);
                eprintln!("link: {:?} {:?}", end(&link.ends[0]), end(&link.ends[1]));
            }
            let after = self.now - self.start;
            eprintln!(
                "SITEWIRE_SEED={} runs this again; it failed after {after:?}",
                self.seed
            );
        }
    }
}

impl Node {
    fn new(name: &str, rest: &str) -> Self {
        let directory = tempfile::TempDir::new().unwrap();
        let spool = directory.path().join("spool");
        let text = format!(
            "[site]\nname = '{name}'\n[spool]\ndirectory = '{}'\n{rest}",
            spool.display()
        );
        Self {
            site: SiteId::new(name).unwrap(),
            directory,
            configuration: Configuration::parse("simulated", &text).unwrap(),
            disk: SimulatedDisk::new(),
            owner: None,
            syncs: None,
            inbox: VecDeque::new(),
            asking: BTreeMap::new(),
            replies: unbounded_channel(),
            next_submission: 0,
            accepted: Vec::new(),
        }
    }

    fn start(&mut self, options: Options, syncs_beside: bool) {
        let directory = open_spool(&self.directory.path().join("spool"));
        let (queue, _) = Queue::recover(self.disk.clone(), options).unwrap();
        let mut owner = Owner::new(
            &self.configuration,
            directory,
            queue,
            Vec::new(),
            Stop::default(),
        )
        .unwrap();
        if syncs_beside {
            let (syncs, inbox) = Syncs::simulated();
            owner.syncs = Some(syncs);
            self.syncs = Some(inbox);
        }
        owner.window = Window {
            msgs: WINDOW,
            bytes: 1 << 20,
        };
        // Who was not answered asks again, unless it was stored: the ids of
        // those who submit here are not what is tried.
        let asking: Vec<(u64, NotificationId)> = self
            .asking
            .iter()
            .map(|(number, notification)| (*number, notification.id))
            .collect();
        for (number, id) in asking {
            let history = owner.queue.history(id).unwrap();
            let accepted =
                |(_, event): &(_, Recorded<'_>)| matches!(event, Recorded::Accepted { .. });
            if history.iter().any(accepted) {
                self.asking.remove(&number);
                self.accepted.push(id);
            } else {
                self.ask(number);
            }
        }
        self.owner = Some(owner);
    }

    fn submit(&mut self, object: u64) {
        let mut bytes = *NotificationId::new(clock::time()).as_bytes();
        bytes[15] = object as u8;
        let name = format!("h{object}");
        let notification = Notification {
            id: NotificationId::from_bytes(bytes),
            kind: Kind::Raw,
            created: clock::time(),
            expires: None,
            site: self.site.clone(),
            context: Context::from([("HOSTNAME".to_owned(), name.as_str().into())]),
        };
        let number = self.next_submission;
        self.next_submission += 1;
        self.asking.insert(number, notification);
        self.ask(number);
    }

    fn ask(&mut self, number: u64) {
        let body = self.asking[&number].print().unwrap().into_bytes();
        let submission = Submission {
            number,
            body: &body,
        };
        self.inbox.push_back(Request::Submitted {
            submissions: vec![Submitted::new(submission, &self.site)],
            reply: self.replies.0.clone(),
        });
    }

    fn work(&mut self, count: usize) {
        let Some(owner) = &mut self.owner else { return };
        let count = count.min(self.inbox.len());
        for request in self.inbox.drain(..count) {
            owner.handle(request);
        }
        owner.round();
        if self.disk.is_killed() {
            return;
        }
        let replies = std::iter::from_fn(|| self.replies.1.try_recv().ok());
        for reply in replies.flatten().collect::<Vec<_>>() {
            match reply.answer {
                Answer::Stored(id) | Answer::Known(id) => {
                    if self.asking.remove(&reply.number).is_some() {
                        self.accepted.push(id);
                    }
                }
                Answer::Later(_) => self.ask(reply.number),
                other => panic!("{other:?}"),
            }
        }
    }

    fn sync(&mut self) {
        let sync = self.syncs.as_ref().and_then(|syncs| syncs.try_recv().ok());
        if let Some(sync) = sync {
            self.inbox.push_back(Request::Synced(sync()));
        }
    }

    fn is_done(&self) -> bool {
        let owner = self.owner.as_ref();
        self.asking.is_empty() && owner.is_some_and(|owner| owner.queue.figures().open == 0)
    }

    /// As `link::Network` makes them.
    fn session(&self, peer: &SiteId, now: Instant) -> Session {
        let instance = self.site.to_string();
        let mut config = wire::Config::new(self.site.clone(), instance, clock::time());
        config.window = Window {
            msgs: WINDOW,
            bytes: 1 << 20,
        };
        config.peer_site = Some(peer.clone());
        Session::new(config, now)
    }
}

impl Link {
    fn carry(&mut self, end: usize, count: usize, now: Instant) {
        let bytes: Vec<u8> = self.wire[end].drain(..count).collect();
        let drained = self.wire[end].is_empty();
        let end = &mut self.ends[end];
        let Some(session) = &mut end.session else {
            return;
        };
        // Errors are found in the session when it is pumped.
        let mut result = session.handle_input(&bytes, now);
        if end.eof && drained && result.is_ok() {
            result = session.handle_end();
        }
        end.cut |= result.is_err();
        if let Err(error) = result {
            assert!(
                matches!(error.cause(), wire::Cause::Dead | wire::Cause::PeerEnded),
                "{error}"
            );
        }
    }

    fn pump(&mut self, at: usize, nodes: &mut [Node], now: Instant) {
        let end = &mut self.ends[at];
        let Some(session) = &mut end.session else {
            return;
        };
        let mut over = end.cut && end.eof && self.wire[at].is_empty();
        while let Ok(command) = end.commands.try_recv() {
            over |= command.obey(session, now).is_err();
        }
        if session.poll_timeout().is_some_and(|due| due <= now) {
            over |= session.handle_timeout(now).is_err();
        }
        let Node { inbox, site, .. } = &mut nodes[end.node];
        let mut tell = |what| {
            inbox.push_back(Request::Link {
                peer: end.peer.clone(),
                number: end.number,
                what,
            });
        };
        let mut said = Vec::new();
        while let Some(event) = session.poll_event() {
            match event {
                Event::PeerHello(hello) => {
                    end.introduced = true;
                    tell(FromLink::Up {
                        results: false,
                        commands: end.to_session.take().unwrap(),
                        outgoing: end.outgoing,
                        accepts: hello.hello.accepts,
                    });
                }
                event => said.push(Said::of(event, site)),
            }
        }
        if !said.is_empty() {
            tell(FromLink::Said(said));
        }
        over |= session.is_finished();
        let mut output = Vec::new();
        while let bytes @ [_, ..] = session.poll_output() {
            output.extend_from_slice(bytes);
            let len = bytes.len();
            session.output_written(len);
        }
        if !end.cut {
            self.wire[1 - at].extend(output);
        }
        if over {
            if end.introduced {
                tell(FromLink::Down);
            }
            self.lose(at, true);
        }
    }

    /// One end is no more; the other one notices, or not.
    fn lose(&mut self, at: usize, seen: bool) {
        self.ends[at].session = None;
        self.ends[1 - at].eof |= seen;
        self.ends[1 - at].cut = true;
    }
}

/// Another test's child may hold a lock of ours until it becomes a script.
fn open_spool(path: &Path) -> SpoolDirectory {
    loop {
        match SpoolDirectory::open(path) {
            Err(spool::Error::Locked { .. }) => std::thread::yield_now(),
            other => return other.unwrap(),
        }
    }
}

/// The last byte of an id made by [`Node::submit`].
fn object_of(id: NotificationId) -> u8 {
    id.as_bytes()[15]
}
