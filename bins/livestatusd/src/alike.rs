//! Keeps what is equal once: most services of a site are configured like
//! hundreds of others.

use std::collections::BTreeMap;
use std::sync::Arc;

use bstr::BString;
use objects::Service;

/// Services with the same check that are told apart. Where there are more, each
/// new one takes the place of another and is perhaps kept twice.
const KINDS: usize = 16;

/// The configurations of services seen so far.
#[derive(Default)]
pub(crate) struct Alike {
    /// By their checks, in which services differ most.
    services: BTreeMap<BString, Kinds>,
}

#[derive(Default)]
struct Kinds {
    known: Vec<Arc<Service>>,
    next: usize,
}

impl Alike {
    /// The one that is equal to this.
    pub(crate) fn service(&mut self, service: Service) -> Arc<Service> {
        match self.services.get_mut(&service.check_command) {
            Some(kinds) => kinds.share(service),
            None => {
                let check_command = service.check_command.clone();
                self.services
                    .entry(check_command)
                    .or_default()
                    .share(service)
            }
        }
    }
}

impl Kinds {
    fn share(&mut self, service: Service) -> Arc<Service> {
        if let Some(known) = self.known.iter().find(|known| ***known == service) {
            return Arc::clone(known);
        }
        let service = Arc::new(service);
        if self.known.len() < KINDS {
            self.known.push(Arc::clone(&service));
        } else {
            self.known[self.next] = Arc::clone(&service);
            self.next = (self.next + 1) % KINDS;
        }
        service
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(check_command: &str, notes: usize) -> Service {
        Service {
            check_command: check_command.into(),
            notes: notes.to_string().into(),
            ..Service::default()
        }
    }

    #[test]
    fn equal_services_are_one_and_others_are_not() {
        let mut alike = Alike::default();
        for round in 0..3 {
            for check_command in ["a", "b"] {
                for notes in [1, 2] {
                    let got = alike.service(service(check_command, notes));
                    assert_eq!(*got, service(check_command, notes));
                    // The one here, and the one that is kept.
                    assert_eq!(Arc::strong_count(&got), 2, "round {round}");
                }
            }
        }
        let one = alike.service(service("a", 1));
        assert!(Arc::ptr_eq(&one, &alike.service(service("a", 1))));
    }

    #[test]
    fn services_that_all_differ_are_not_all_remembered() {
        let mut alike = Alike::default();
        for notes in 0..1000 {
            assert_eq!(*alike.service(service("a", notes)), service("a", notes));
        }
        assert_eq!(alike.services[&BString::from("a")].known.len(), KINDS);
    }
}
