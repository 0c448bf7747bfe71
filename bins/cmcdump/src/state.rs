//! The complete state of all hosts and services. Records leave as they come.

use bstr::BString;
use objects::{HostState, ServiceState, ShadowState};
use program::Failure;
use source::{Columns, HOST, SERVICE, Scope, Source, StateReader, each_row, remarks};

use crate::dump::Dump;

/// Dumps the states of all hosts, then those of all services, then what people
/// have said about them.
pub(crate) fn dump(source: &Source, scope: &Scope, mut dump: Dump<'_>) -> Result<(), Failure> {
    let mut hosts = Columns::choose(source, "hosts", &HOST)?;
    let mut services = Columns::choose(source, "services", &SERVICE)?;
    let reader = StateReader::of(source.server());
    let mut state = ShadowState::<HostState>::default();
    let mut name = BString::default();
    each_row(source, scope, &mut hosts, |columns, row| {
        reader.host(columns, row, &mut name, &mut state);
        dump.host(&name, &mut state)
    })?;
    let mut state = ShadowState::<ServiceState>::default();
    let mut description = BString::default();
    each_row(source, scope, &mut services, |columns, row| {
        reader.service(columns, row, (&mut name, &mut description), &mut state);
        dump.service(&name, &description, &mut state)
    })?;
    remarks::each_comment(source, scope, |object, comment| {
        dump.comment(object, comment)
    })?;
    remarks::each_downtime(source, scope, |object, downtime| {
        dump.downtime(object, downtime)
    })?;
    dump.end()
}
