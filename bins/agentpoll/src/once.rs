//! A document as check results, for the services that the core has.

use std::collections::BTreeMap;

use agent::{Document, Evaluator, Rules};
use bstr::{BString, ByteSlice};
use livestatus::Command;
use nagios::object::{ILLEGAL_CHARACTERS, legal_name};
use objects::CheckResult;
use program::{Failure, Status};

use crate::cli::Once;
use crate::core::Core;
use crate::run::{now, print};
use crate::source;

pub(crate) fn run(args: &Once) -> Result<Status, Failure> {
    let core = Core::of(args)?;
    let found = source::find(&args.source)?;
    let rules = found.rules().and(args.threshold.clone());
    let services = match &core {
        Some(core) => core.services(&found.host_name)?,
        None => agent::discover_for(&found.document, &rules)
            .services
            .into_keys()
            .collect(),
    };
    for rule in Rules::new(args.threshold.clone()).unused(&services) {
        eprintln!(
            "agentpoll: --threshold {}: there is no such service",
            rule.pattern()
        );
    }
    let results = evaluate(&found.document, &found.host_name, &services, &rules);
    let commands = commands(&results)?;
    match core {
        Some(core) if !args.dry_run => core.submit(&commands),
        _ => print(&commands),
    }
}

/// The result for the host first: a core that sees a problem of a service
/// looks at its host.
fn evaluate(
    document: &Document,
    host_name: &BString,
    services: &[BString],
    rules: &Rules,
) -> Vec<CheckResult> {
    let evaluator = Evaluator::new(document, host_name.clone(), now(), rules);
    // A core that does not take all characters in names has others for ours.
    let known: BTreeMap<BString, &BString> = evaluator
        .descriptions()
        .map(|ours| (legal_name(ours, ILLEGAL_CHARACTERS), ours))
        .collect();
    let services = services.iter().filter_map(|description| {
        let ours = known.get(description).copied().unwrap_or(description);
        let result = evaluator.service(ours.as_bstr())?;
        Some(CheckResult {
            service_description: Some(description.clone()),
            ..result
        })
    });
    std::iter::once(evaluator.host()).chain(services).collect()
}

fn commands(results: &[CheckResult]) -> Result<Vec<u8>, Failure> {
    let mut commands = Vec::new();
    for result in results {
        Command::from_check_result(result)
            .map_err(|error| Failure::caused(Status::Failed, "cannot submit a result", error))?
            .print(&mut commands);
    }
    Ok(commands)
}
