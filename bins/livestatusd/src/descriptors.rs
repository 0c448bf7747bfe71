//! How many files and sockets the system lets this process have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// For files, listening sockets, and answers that are kept in files.
const OTHERS: u64 = 256;

/// Asks for as many as `connections` may need, and says if that is not to be had.
pub(crate) fn make_room(connections: usize) {
    let wanted = connections as u64 + OTHERS;
    let limit = getrlimit(Resource::Nofile);
    // `None` is no limit.
    let allowed = |bound: Option<u64>| bound.unwrap_or(u64::MAX);
    if allowed(limit.current) >= wanted {
        return;
    }
    let current = allowed(limit.maximum).min(wanted);
    let raised = Rlimit {
        current: Some(current),
        maximum: limit.maximum,
    };
    let result = setrlimit(Resource::Nofile, raised);
    let reached = result.map_or(allowed(limit.current), |()| current);
    if reached < wanted {
        warn!(
            "the system allows {reached} open files: too few for {connections} connections, \
             which need about {wanted} (LimitNOFILE, ulimit -n)"
        );
    }
}
