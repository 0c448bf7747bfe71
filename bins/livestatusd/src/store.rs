//! What is known, by site and name: configuration and state of every host and
//! service, and how old it is.
//!
//! The list of objects of a site is immutable and replaced as a whole; a query
//! takes a reference to it and holds no lock but that of the host it is just
//! looking at. Whoever changes a state holds the site's list for reading, so
//! that no change falls between the old list and the new one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bstr::{BStr, BString, ByteSlice};
use livestatus::dump::{CheckedHost, Record, names_sum};
use livestatus::query::Trigger;
use nagios::shadow::ShadowConfiguration;
use objects::{Host, HostState, Service, ServiceState, ShadowState, SiteId, StateCode, UnixTime};

use crate::alike::Alike;
use crate::annotations::{Annotated, Annotations, Comment, Downtime};
use crate::check::{Source, State};
use crate::events::Events;
use crate::groups::Groups;
use crate::history::{History, Settings};
use crate::notes::{Before, Noted};
use crate::owners::{Owner, Owners};

/// All sites.
#[derive(Default)]
pub(crate) struct Store {
    sites: RwLock<BTreeMap<SiteId, Arc<Site>>>,
    shared: Arc<Shared>,
}

/// What all sites count together.
#[derive(Default)]
struct Shared {
    /// What happens.
    events: Events,
    /// Changes of comments and downtimes.
    annotated: AtomicU64,
    /// The highest id given to a comment or downtime.
    last_id: AtomicU64,
    /// Where changes of state are kept, if they are.
    history: Option<Settings>,
}

/// One site: the unit that dumps, configuration and sockets belong to.
pub(crate) struct Site {
    /// Its name.
    pub(crate) id: SiteId,
    objects: RwLock<Arc<Objects>>,
    status: Mutex<SiteStatus>,
    receiving: AtomicBool,
    dumps: AtomicU64,
    parked: Mutex<Vec<Saved>>,
    /// What comments and downtimes belong to, by their ids.
    owners: Owners,
    history: Option<History>,
    shared: Arc<Shared>,
}

/// Something that survived a restart.
pub(crate) enum Saved {
    /// A state.
    State(Source, Record),
    /// A comment.
    Comment(Owner, Comment),
    /// A downtime.
    Downtime(Owner, Downtime),
}

/// The configured objects of a site.
#[derive(Default)]
pub(crate) struct Objects {
    /// Hosts in the order of their names.
    pub(crate) hosts: Vec<Arc<HostEntry>>,
    /// Services of all of them.
    pub(crate) num_services: usize,
    /// The groups and contacts that they name.
    pub(crate) groups: Groups,
}

/// One host with its services.
pub(crate) struct HostEntry {
    /// Its name at the site.
    pub(crate) name: BString,
    /// Its configuration; the services stand beside it.
    pub(crate) config: Host,
    /// Hosts that have it as a parent.
    pub(crate) childs: Vec<BString>,
    /// Its services in the order of their descriptions.
    pub(crate) services: Vec<ServiceEntry>,
    /// Its tags, if it has any.
    pub(crate) tags: Tags,
    states: RwLock<HostStates>,
}

/// One service.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ServiceEntry {
    /// Its description at the site.
    pub(crate) description: BString,
    /// Its configuration, which others may share.
    pub(crate) config: Arc<Service>,
    /// Its tags, if it has any.
    pub(crate) tags: Tags,
}

/// Tags by the names of their groups.
type Tags = Option<Box<BTreeMap<BString, BString>>>;

/// The states of a host and its services.
#[derive(Debug, Clone, Default)]
pub(crate) struct HostStates {
    /// Of the host.
    pub(crate) host: State<HostState>,
    /// Of the services, in their order.
    pub(crate) services: Vec<State<ServiceState>>,
    /// The numbers of their current states once more, because queries for
    /// problems look at all of them.
    pub(crate) codes: Vec<u8>,
}

/// What `GET sites` says about where objects and states come from.
#[derive(Debug, Clone, Default)]
pub(crate) struct SiteStatus {
    /// The configuration's own time: that of its frame, else of its newest file.
    pub(crate) config_time: UnixTime,
    /// When it was taken in here.
    pub(crate) config_loaded_at: UnixTime,
    /// Why the files as they are now are not in force; empty if they are.
    pub(crate) config_error: String,
    /// The dumps of its states.
    pub(crate) dumps: DumpStatus,
}

/// The dumps received from a site.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DumpStatus {
    /// Epoch and sequence of the newest dump that began.
    pub(crate) newest: Option<(u64, u64)>,
    /// Epoch and sequence of the last dump that was complete.
    pub(crate) last_complete: Option<(u64, u64)>,
    /// The source's clock at the start of the last complete dump.
    pub(crate) time: UnixTime,
    /// When the last dump, complete or not, ended here.
    pub(crate) received_at: UnixTime,
    /// Why what is known is not all of one dump.
    pub(crate) completeness: Result<(), String>,
    /// What the last dump carried.
    pub(crate) counts: DumpCounts,
    /// The site the last dump said it is from.
    pub(crate) claimed_site: Option<SiteId>,
}

/// Records of one dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct DumpCounts {
    /// Applied.
    pub(crate) taken: u64,
    /// About objects that are not configured.
    pub(crate) unknown: u64,
    /// Not understood.
    pub(crate) refused: u64,
    /// Configured objects that a complete full dump did not name.
    pub(crate) missing: u64,
}

impl Default for DumpStatus {
    fn default() -> Self {
        Self {
            newest: None,
            last_complete: None,
            time: UnixTime::NEVER,
            received_at: UnixTime::NEVER,
            completeness: Err("no dump was received".to_owned()),
            counts: DumpCounts::default(),
            claimed_site: None,
        }
    }
}

impl Store {
    /// No sites yet; their changes of state will be kept there.
    pub(crate) fn new(history: Option<Settings>) -> Self {
        Self {
            sites: RwLock::default(),
            shared: Arc::new(Shared {
                history,
                ..Shared::default()
            }),
        }
    }

    /// All sites in the order of their names.
    pub(crate) fn sites(&self) -> Vec<Arc<Site>> {
        read(&self.sites).values().cloned().collect()
    }

    /// The site of that name, made if it is new.
    pub(crate) fn site_or_new(&self, id: &SiteId) -> Arc<Site> {
        let mut sites = write(&self.sites);
        let new = || Arc::new(Site::new(id.clone(), Arc::clone(&self.shared)));
        Arc::clone(sites.entry(id.clone()).or_insert_with(new))
    }

    /// Grows with every change of anything.
    pub(crate) fn changes(&self) -> u64 {
        self.shared.events.changes()
    }

    /// What happens, for those who wait for it.
    pub(crate) fn events(&self) -> &Events {
        &self.shared.events
    }

    /// Grows with every change of a comment or downtime.
    pub(crate) fn annotated(&self) -> u64 {
        self.shared.annotated.load(Ordering::Relaxed)
    }

    /// The highest id given to a comment or downtime.
    pub(crate) fn last_id(&self) -> u64 {
        self.shared.last_id.load(Ordering::Relaxed)
    }

    /// No id up to this one is given again.
    pub(crate) fn skip_ids(&self, last: u64) {
        self.shared.last_id.fetch_max(last, Ordering::Relaxed);
    }

    /// The site of that name.
    pub(crate) fn site(&self, id: &SiteId) -> Option<Arc<Site>> {
        read(&self.sites).get(id).cloned()
    }

    /// Forgets every site that is not in `keep`, and returns their names.
    pub(crate) fn retain(&self, keep: &[SiteId]) -> Vec<SiteId> {
        let mut gone = Vec::new();
        write(&self.sites).retain(|id, _| {
            let kept = keep.contains(id);
            if !kept {
                gone.push(id.clone());
                self.shared.events.changed();
            }
            kept
        });
        gone
    }
}

impl Site {
    fn new(id: SiteId, shared: Arc<Shared>) -> Self {
        let history = shared.history.as_ref();
        Self {
            history: history.map(|settings| History::new(settings, id.as_str())),
            id,
            objects: RwLock::default(),
            status: Mutex::default(),
            receiving: AtomicBool::new(false),
            dumps: AtomicU64::new(0),
            parked: Mutex::default(),
            owners: Owners::default(),
            shared,
        }
    }

    /// The objects as configured now.
    pub(crate) fn objects(&self) -> Arc<Objects> {
        Arc::clone(&read(&self.objects))
    }

    /// Replaces the configuration; objects of the same name keep their state.
    pub(crate) fn configure(&self, configuration: ShadowConfiguration) {
        let mut next = Objects::build(configuration);
        let mut current = write(&self.objects);
        next.inherit(&current);
        *current = Arc::new(next);
        drop(current);
        self.changed();
        self.shared.events.happened(Trigger::Program);
        let parked = std::mem::take(&mut *self.parked());
        for saved in parked {
            self.restore(saved);
        }
    }

    /// Takes back what survived a restart. False if there is no such object.
    pub(crate) fn restore(&self, saved: Saved) -> bool {
        let (id, owner) = match &saved {
            Saved::State(..) => (None, None),
            Saved::Comment(owner, comment) => (Some(comment.id), Some(owner.clone())),
            Saved::Downtime(owner, downtime) => (Some(downtime.id), Some(owner.clone())),
        };
        let waits_for = match &saved {
            Saved::Downtime(_, downtime) if !downtime.has_begun => downtime.triggered_by(),
            _ => 0,
        };
        let known = match saved {
            Saved::State(source, record) => return self.restore_state(source, record),
            Saved::Comment(owner, comment) => self.with_object(&owner, &mut |object| {
                object.add_comment(comment.clone(), comment.entry_time);
            }),
            Saved::Downtime(owner, downtime) => self.with_object(&owner, &mut |object| {
                object.add_downtime(downtime.clone(), downtime.entry_time);
            }),
        };
        if let (true, Some(id), Some(owner)) = (known, id, owner) {
            // Something may have come due meanwhile.
            self.owners.note_due(Some(UnixTime::NEVER), owner.clone());
            self.owners.wait_for(waits_for, owner.clone());
            self.owners.remember(id, owner);
        }
        known
    }

    fn restore_state(&self, source: Source, record: Record) -> bool {
        match record {
            Record::Host { host_name, state } => {
                self.change_host(host_name.as_bstr(), |_, host| host.restore(source, state))
            }
            Record::Service {
                host_name,
                service_description,
                state,
            } => self.change_service(
                host_name.as_bstr(),
                service_description.as_bstr(),
                |_, service| {
                    service.restore(source, state);
                },
            ),
            // A snapshot has none of these.
            _ => false,
        }
    }

    /// States that survived a restart of a site whose configuration cannot be
    /// read: they wait for it.
    pub(crate) fn parked(&self) -> MutexGuard<'_, Vec<Saved>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known about the site as a whole.
    pub(crate) fn status(&self) -> MutexGuard<'_, SiteStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state of a host. False if there is no such host.
    pub(crate) fn with_host(
        &self,
        host_name: &BStr,
        change: impl FnOnce(&HostEntry, &mut State<HostState>),
    ) -> bool {
        let owner = || Owner::host(host_name);
        let mut noted = None;
        let found = self.change_host(host_name, |host, state| {
            let before = Before::of(state);
            change(host, state);
            noted = Some((
                self.note(&before, state, &owner),
                state.now.past.last_update,
            ));
        });
        self.checked(noted, &owner);
        found
    }

    /// Changes the state of a service. False if there is no such service.
    pub(crate) fn with_service(
        &self,
        host_name: &BStr,
        description: &BStr,
        change: impl FnOnce(&ServiceEntry, &mut State<ServiceState>),
    ) -> bool {
        let owner = || Owner::service(host_name, description);
        let mut noted = None;
        let found = self.change_service(host_name, description, |service, state| {
            let before = Before::of(state);
            change(service, state);
            noted = Some((
                self.note(&before, state, &owner),
                state.now.past.last_update,
            ));
        });
        self.checked(noted, &owner);
        found
    }

    /// Takes the states of services of one host, all at once for who reads.
    /// Returns how many of them there are.
    pub(crate) fn take_services(
        &self,
        host_name: &BStr,
        services: impl Iterator<Item = (BString, ShadowState<ServiceState>)>,
        dump: u64,
        at: UnixTime,
    ) -> u64 {
        let objects = read(&self.objects);
        let Some(host) = objects.host(host_name) else {
            return 0;
        };
        let mut states = write(&host.states);
        let mut noted = Vec::new();
        let mut taken = 0;
        for (description, shadow) in services {
            let Some(index) = host.service_index(description.as_bstr()) else {
                continue;
            };
            taken += 1;
            let state = &mut states.services[index];
            let before = Before::of(state);
            state.take_shadow(shadow, dump, at);
            let owner = || Owner::service(host_name, description.as_bstr());
            let note = self.note(&before, state, &owner);
            if note.is_remarkable() {
                noted.push((note, description));
            }
            let code = state.now.state.code();
            states.codes[index] = code;
        }
        drop(states);
        drop(objects);
        self.changed();
        for (note, description) in noted {
            let owner = || Owner::service(host_name, description.as_bstr());
            self.checked(Some((note, at)), &owner);
        }
        self.happened(Trigger::Check);
        taken
    }

    /// As [`Self::with_host`], where nothing was checked.
    fn change_host(
        &self,
        host_name: &BStr,
        change: impl FnOnce(&HostEntry, &mut State<HostState>),
    ) -> bool {
        let objects = read(&self.objects);
        let Some(host) = objects.host(host_name) else {
            return false;
        };
        change(host, &mut write(&host.states).host);
        self.changed();
        true
    }

    /// As [`Self::with_service`], where nothing was checked.
    fn change_service(
        &self,
        host_name: &BStr,
        description: &BStr,
        change: impl FnOnce(&ServiceEntry, &mut State<ServiceState>),
    ) -> bool {
        let objects = read(&self.objects);
        let Some((host, index)) = objects.service(host_name, description) else {
            return false;
        };
        let mut states = write(&host.states);
        change(&host.services[index], &mut states.services[index]);
        states.codes[index] = states.services[index].now.state.code();
        drop(states);
        self.changed();
        true
    }

    /// Where changes of state are kept, if they are.
    pub(crate) fn history(&self) -> Option<&History> {
        self.history.as_ref()
    }

    /// Gives a host or service to `change`. False if there is none of that name.
    pub(crate) fn with_object(
        &self,
        owner: &Owner,
        change: &mut dyn FnMut(&mut dyn Annotated),
    ) -> bool {
        let host_name = owner.host_name.as_bstr();
        match &owner.service_description {
            None => self.change_host(host_name, |_, host| change(host)),
            Some(description) => {
                self.change_service(host_name, description.as_bstr(), |_, service| {
                    change(service);
                })
            }
        }
    }

    /// Takes when a host and its services were checked that are otherwise as they
    /// were. Returns how many objects that is, or `None` if the times belong to
    /// other services than those that are configured.
    pub(crate) fn take_check_times(
        &self,
        checked: &CheckedHost,
        dump: u64,
        at: UnixTime,
    ) -> Option<u64> {
        let objects = read(&self.objects);
        let host = objects.host(checked.host_name.as_bstr())?;
        let descriptions = host.services.iter().map(|service| &service.description[..]);
        if checked.last_checks.len() != 1 + host.services.len()
            || checked.names != names_sum(descriptions)
        {
            return None;
        }
        let mut states = write(&host.states);
        let mut count = 0;
        let mut times = checked.last_checks.iter();
        if let Some(Some(last_check)) = times.next() {
            count += u64::from(states.host.take_check_time(*last_check, dump, at));
        }
        for (service, last_check) in states.services.iter_mut().zip(times) {
            if let Some(last_check) = last_check {
                count += u64::from(service.take_check_time(*last_check, dump, at));
            }
        }
        drop(states);
        self.changed();
        self.shared.events.happened(Trigger::Check);
        Some(count)
    }

    /// Shows the comments and downtimes of an object, if there is such an object.
    pub(crate) fn look_at(&self, owner: &Owner, look: &mut dyn FnMut(&Annotations)) {
        let objects = self.objects();
        let Some(host) = objects.host(owner.host_name.as_bstr()) else {
            return;
        };
        let states = host.states();
        match &owner.service_description {
            None => look(states.host.annotations()),
            Some(description) => {
                if let Some(index) = host.service_index(description.as_bstr()) {
                    look(states.services[index].annotations());
                }
            }
        }
    }

    /// A new id for a comment or downtime.
    pub(crate) fn next_id(&self) -> u64 {
        self.shared.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// What comments and downtimes belong to.
    pub(crate) fn owners(&self) -> &Owners {
        &self.owners
    }

    /// Notes that a comment or downtime is to be saved, or no more.
    pub(crate) fn annotations_changed(&self, kind: Trigger) {
        self.shared.annotated.fetch_add(1, Ordering::Relaxed);
        self.shared.events.happened(kind);
    }

    /// Wakes those who wait for something of that kind.
    pub(crate) fn happened(&self, kind: Trigger) {
        self.shared.events.happened(kind);
    }

    /// Makes this the one stream of dumps of the site, as long as the result
    /// lives. `None` if there is one already.
    pub(crate) fn receive(self: &Arc<Self>) -> Option<Receiving> {
        self.receiving
            .compare_exchange(false, true, Ordering::AcqRel, Ordering::Acquire)
            .ok()
            .map(|_| Receiving(Arc::clone(self)))
    }

    /// Something was checked, and perhaps has another state now.
    fn checked(&self, noted: Option<(Noted, UnixTime)>, owner: &dyn Fn() -> Owner) {
        let Some((noted, now)) = noted else {
            return;
        };
        if noted.due.is_some() {
            self.owners.note_due(noted.due, owner());
        }
        self.begin_waiting(noted.began, now);
        self.happened(Trigger::Check);
        if noted.is_new {
            self.happened(Trigger::State);
        }
    }

    /// Notes that the snapshot is out of date.
    pub(crate) fn changed(&self) {
        self.shared.events.changed();
    }

    /// Whether a dump is being received just now.
    pub(crate) fn is_receiving(&self) -> bool {
        self.receiving.load(Ordering::Acquire)
    }

    /// Number of a dump that begins now, from 1.
    pub(crate) fn next_dump(&self) -> u64 {
        self.dumps.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// The right to send dumps of a site.
pub(crate) struct Receiving(Arc<Site>);

impl Drop for Receiving {
    fn drop(&mut self) {
        self.0.receiving.store(false, Ordering::Release);
    }
}

impl Objects {
    fn build(configuration: ShadowConfiguration) -> Self {
        let hosts = configuration.hosts;
        let mut childs: BTreeMap<BString, Vec<BString>> = BTreeMap::new();
        for (name, host) in &hosts {
            for parent in &host.parents {
                childs.entry(parent.clone()).or_default().push(name.clone());
            }
        }
        let mut num_services = 0;
        let mut alike = Alike::default();
        let hosts: Vec<_> = hosts
            .into_iter()
            .map(|(name, host)| {
                let childs = childs.remove(&name).unwrap_or_default();
                let host = HostEntry::new(name, host, childs, &mut alike);
                num_services += host.services.len();
                Arc::new(host)
            })
            .collect();
        Self {
            groups: Groups::gather(&hosts, configuration.definitions),
            hosts,
            num_services,
        }
    }

    /// Takes the states over from the objects of the same names.
    fn inherit(&mut self, old: &Self) {
        for host in &mut self.hosts {
            let Some(before) = old.host(host.name.as_bstr()) else {
                continue;
            };
            if before.is_configured_as(host) {
                *host = Arc::clone(before);
                continue;
            }
            let states = before.states();
            let mut next = write(&host.states);
            next.host = states.host.clone();
            for (place, service) in host.services.iter().enumerate() {
                if let Some(index) = before.service_index(service.description.as_bstr()) {
                    next.services[place] = states.services[index].clone();
                    next.codes[place] = states.codes[index];
                }
            }
        }
    }

    /// The host of that name.
    pub(crate) fn host(&self, name: &BStr) -> Option<&Arc<HostEntry>> {
        self.hosts
            .binary_search_by(|host| host.name.as_bstr().cmp(name))
            .ok()
            .map(|index| &self.hosts[index])
    }

    /// Objects that the dump of that number did not name.
    pub(crate) fn not_in_dump(&self, number: u64) -> u64 {
        let mut missing = 0;
        for host in &self.hosts {
            let states = host.states();
            missing += u64::from(states.host.dump != number);
            missing += states
                .services
                .iter()
                .filter(|service| service.dump != number)
                .count() as u64;
        }
        missing
    }

    fn service(&self, host_name: &BStr, description: &BStr) -> Option<(&Arc<HostEntry>, usize)> {
        let host = self.host(host_name)?;
        Some((host, host.service_index(description)?))
    }
}

impl HostEntry {
    fn new(name: BString, mut config: Host, childs: Vec<BString>, alike: &mut Alike) -> Self {
        let services: Vec<ServiceEntry> = std::mem::take(&mut config.services)
            .into_iter()
            .map(|(description, config)| ServiceEntry {
                description,
                tags: tags(&config.custom_variables),
                config: alike.service(config),
            })
            .collect();
        let states = HostStates {
            host: State::default(),
            services: vec![State::default(); services.len()],
            codes: vec![ServiceState::default().code(); services.len()],
        };
        Self {
            name,
            tags: tags(&config.custom_variables),
            config,
            childs,
            services,
            states: RwLock::new(states),
        }
    }

    /// The states as they are now.
    pub(crate) fn states(&self) -> RwLockReadGuard<'_, HostStates> {
        read(&self.states)
    }

    /// The place of the service of that description.
    pub(crate) fn service_index(&self, description: &BStr) -> Option<usize> {
        self.services
            .binary_search_by(|service| service.description.as_bstr().cmp(description))
            .ok()
    }

    fn is_configured_as(&self, other: &Self) -> bool {
        self.config == other.config
            && self.childs == other.childs
            && self.services == other.services
    }
}

/// The tags that custom variables carry: newer Checkmk has one variable
/// `TAG_group` for each, older ones have all in `TAGS`, some of them as `group:tag`.
fn tags(custom_variables: &BTreeMap<BString, BString>) -> Tags {
    let single = custom_variables.iter().filter_map(|(name, value)| {
        let group = name.trim_start_with(|c| c == '_').strip_prefix(b"TAG_")?;
        Some((BString::from(group), value.clone()))
    });
    let mut tags: BTreeMap<_, _> = single.collect();
    if tags.is_empty()
        && let Some(all) = custom_variables.get(b"TAGS".as_bstr())
    {
        // The first word is the folder.
        let words = all
            .fields()
            .filter(|word| !word.starts_with(b"/") && !word.is_empty());
        tags.extend(words.map(|word| {
            let (group, tag) = word.split_once_str(":").unwrap_or((word, word));
            (BString::from(group), BString::from(tag))
        }));
    }
    (!tags.is_empty()).then(|| Box::new(tags))
}

// A panic in the middle of a change of one state leaves nothing that others could not read.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use objects::ShadowState;

    use super::*;

    fn hosts(names: &[(&str, &[&str])]) -> ShadowConfiguration {
        let hosts = names
            .iter()
            .map(|(name, services)| {
                let services = services
                    .iter()
                    .map(|d| (BString::from(*d), Service::default()))
                    .collect();
                (
                    BString::from(*name),
                    Host {
                        services,
                        ..Host::default()
                    },
                )
            })
            .collect();
        ShadowConfiguration {
            hosts,
            ..ShadowConfiguration::default()
        }
    }

    fn set(site: &Site, host: &str, service: &str, output: &str) -> bool {
        site.with_service(host.into(), service.into(), |_, state| {
            let shadow = ShadowState {
                plugin_output: output.into(),
                ..ShadowState::default()
            };
            state.take_shadow(shadow, 1, UnixTime::from_secs(1));
        })
    }

    fn output(site: &Site, host: &str, service: &str) -> BString {
        let objects = site.objects();
        let (host, index) = objects.service(host.into(), service.into()).unwrap();
        host.states().services[index].now.plugin_output.clone()
    }

    #[test]
    fn objects_of_the_same_name_keep_their_state() {
        let site = Site::new(SiteId::new("a").unwrap(), Arc::default());
        site.configure(hosts(&[("h1", &["cpu", "disk"]), ("h2", &["cpu"])]));
        assert!(set(&site, "h1", "disk", "1"));
        assert!(set(&site, "h2", "cpu", "2"));
        assert!(!set(&site, "h2", "disk", "3"));
        let before = site.objects();
        // h1 gets a service in front of the others, h2 stays as it is.
        site.configure(hosts(&[
            ("h0", &[]),
            ("h1", &["a", "disk"]),
            ("h2", &["cpu"]),
        ]));
        assert_eq!(output(&site, "h1", "a"), "");
        assert_eq!(output(&site, "h1", "disk"), "1");
        assert_eq!(output(&site, "h2", "cpu"), "2");
        assert_eq!(
            before.hosts.len(),
            2,
            "who still has the old list may go on reading it"
        );
        assert_eq!(site.objects().num_services, 3);
    }

    #[test]
    fn one_stream_at_a_time() {
        let site = Arc::new(Site::new(SiteId::new("a").unwrap(), Arc::default()));
        let first = site.receive();
        assert!(first.is_some() && site.receive().is_none());
        drop(first);
        assert!(site.receive().is_some());
    }

    #[test]
    fn childs_are_the_parents_the_other_way_round() {
        let site = Site::new(SiteId::new("a").unwrap(), Arc::default());
        let mut config = hosts(&[("gate", &[]), ("h1", &[])]);
        config
            .hosts
            .get_mut(b"h1".as_bstr())
            .unwrap()
            .parents
            .push("gate".into());
        site.configure(config);
        assert_eq!(site.objects().hosts[0].childs, ["h1"]);
    }
}
