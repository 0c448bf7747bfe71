//! Where the program's memory comes from.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Read by the C library's allocator, once, at the start of a program.
const ARENAS: &str = "MALLOC_ARENA_MAX";

/// Lets all threads share one arena, unless the environment says how many there
/// are to be. With one for each thread, as is usual, what one has freed serves no
/// other: at 100,000 services a load of queries and dumps then keeps half as much
/// again as the objects need.
///
/// The program has to begin anew for it. If it cannot, it goes on as it is.
pub(crate) fn share() {
    if env::var_os(ARENAS).is_some() {
        return;
    }
    let mut names = env::args_os();
    if let (Ok(program), Some(name)) = (env::current_exe(), names.next()) {
        // Comes back only if it did not work.
        let _ = Command::new(program)
            .arg0(name)
            .args(names)
            .env(ARENAS, "1")
            .exec();
    }
}
