//! Which Livestatus server is asked, and for how long it is waited for.

use std::path::PathBuf;
use std::time::Duration;

use program::connection::{Limits, Target};
use program::{Address, Failure, Status};

use crate::cli::Args;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// Who is asked, as the command line and the environment say.
pub(crate) fn of(args: &Args, usual_timeout: Duration) -> Result<Target, Failure> {
    let address = address(args)?;
    let timeout = args.timeout.unwrap_or(usual_timeout);
    let limits = Limits {
        connect: Some(timeout.min(CONNECT)),
        silence: Some(timeout),
    };
    #[cfg(feature = "tls")]
    return Target::with_tls(address, limits, args.tls.options());
    #[cfg(not(feature = "tls"))]
    Ok(Target::new(address, limits))
}

fn address(args: &Args) -> Result<Address, Failure> {
    if let Some(address) = &args.socket {
        return Ok(address.clone());
    }
    let given = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(text) = given("SITEWIRE_SOCKET") {
        // A path need not be UTF-8, the other forms are.
        return match text.to_str() {
            Some(text) => text.parse().map_err(|why| {
                Failure::new(Status::Usage, format!("SITEWIRE_SOCKET is '{text}': {why}"))
            }),
            None => Ok(Address::Unix(text.into())),
        };
    }
    Ok(Address::Unix(match given("OMD_ROOT") {
        Some(root) => PathBuf::from(root).join("tmp/run/live"),
        None => "/run/sitewire/live".into(),
    }))
}
