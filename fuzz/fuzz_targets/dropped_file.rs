//! Any bytes as a file in the drop box: read as they are, taken for a
//! notification or set aside, and never left behind or a panic.
#![no_main]

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use objects::Envelope;
use objects::notification::{MAX_BODY, to_utf8};
use spool::SpoolDirectory;
use spool::drop_box::Found;

fuzz_target!(|bytes: &[u8]| {
    let path = spool_of_this_process();
    let directory = SpoolDirectory::open(path).expect("a spool");
    let drop_box = directory.drop_box().expect("a drop box");
    let name = OsStr::new("x");
    std::fs::write(path.join("new").join(name), bytes).expect("a file");
    match drop_box.look(name).expect("a look") {
        Found::File(file) => {
            assert_eq!(file.body, bytes);
            match Envelope::parse(&to_utf8(bytes)) {
                Ok(_) => drop_box.remove(&file).expect("removed"),
                Err(error) => drop_box
                    .set_aside(name, &error.to_string())
                    .expect("set aside"),
            }
        }
        Found::NotYet(why) => {
            assert!(bytes.is_empty());
            drop_box.set_aside(name, &why).expect("set aside");
        }
        Found::Never(why) => {
            assert!(bytes.len() > MAX_BODY);
            drop_box.set_aside(name, &why).expect("set aside");
        }
        Found::Gone => panic!("a file that is there"),
    }
    assert!(drop_box.names(1).expect("names").is_empty());
    let corrupt = path.join("corrupt");
    std::fs::remove_dir_all(&corrupt).expect("own files");
});

fn spool_of_this_process() -> &'static PathBuf {
    static SPOOL: OnceLock<PathBuf> = OnceLock::new();
    SPOOL.get_or_init(|| {
        std::env::temp_dir().join(format!("sitewire-fuzz-spool-{}", std::process::id()))
    })
}
