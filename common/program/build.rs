//! Tells the programs which commit they were built from.

use std::process::Command;

fn main() {
    // A debug build does not name its commit: it would be relinked after each.
    if std::env::var("PROFILE").as_deref() != Ok("release") {
        println!("cargo::rerun-if-changed=build.rs");
        println!("cargo::rustc-env=SITEWIRE_COMMIT=debug build");
        return;
    }
    println!("cargo::rerun-if-changed=../../.git/HEAD");
    println!("cargo::rerun-if-changed=../../.git/refs/heads");
    let output = Command::new("git")
        .args(["rev-parse", "--short=7", "HEAD"])
        .output();
    let commit = match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    };
    println!("cargo::rustc-env=SITEWIRE_COMMIT={commit}");
}
