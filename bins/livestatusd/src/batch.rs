//! The services of one host as a dump brings them, gathered so that who reads
//! sees the host as it was before the dump or as it is after it.

use bstr::{BStr, BString, ByteSlice};
use objects::{ServiceState, ShadowState};

/// A host with more services, or longer outputs, is changed in several steps.
const MAX_SERVICES: usize = 8192;
const MAX_BYTES: usize = 8 << 20;

/// States of services that were not applied yet, all of one host.
#[derive(Default)]
pub(crate) struct Batch {
    host_name: BString,
    services: Vec<(BString, ShadowState<ServiceState>)>,
    bytes: usize,
}

impl Batch {
    /// Whether a service of this host can be added.
    pub(crate) fn has_room_for(&self, host_name: &BStr) -> bool {
        self.services.is_empty()
            || self.host_name == host_name
                && self.services.len() < MAX_SERVICES
                && self.bytes < MAX_BYTES
    }

    /// Adds a service of the host for which there is room.
    pub(crate) fn add(
        &mut self,
        host_name: BString,
        description: BString,
        state: ShadowState<ServiceState>,
    ) {
        self.host_name = host_name;
        self.bytes += state.plugin_output.len() + state.long_plugin_output.len();
        self.bytes += state.perf_data.len() + description.len();
        self.services.push((description, state));
    }

    /// Takes out what was gathered: the host, and its services.
    pub(crate) fn take(
        &mut self,
    ) -> Option<(
        &BStr,
        impl ExactSizeIterator<Item = (BString, ShadowState<ServiceState>)>,
    )> {
        self.bytes = 0;
        let host_name = self.host_name.as_bstr();
        let services = self.services.drain(..);
        (services.len() > 0).then_some((host_name, services))
    }
}
