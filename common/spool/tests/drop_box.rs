//! The drop box from both sides, with whatever people drop.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use objects::notification::{Context, Kind, MAX_BODY};
use objects::{Notification, NotificationId, SiteId, UnixTime};
use spool::drop_box::{DropBox, Found, Grace, Submitted, submit};
use spool::{Error, SpoolDirectory};

struct Spool {
    _temporary: tempfile::TempDir,
    path: PathBuf,
    drop_box: DropBox,
}

fn spool() -> Spool {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("spool");
    let drop_box = SpoolDirectory::open(&path).unwrap().drop_box().unwrap();
    Spool {
        _temporary: temporary,
        path,
        drop_box,
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn notification() -> (NotificationId, String) {
    let created = UnixTime::from_secs(1_795_217_983);
    let notification = Notification {
        id: NotificationId::new(created),
        kind: Kind::Raw,
        created,
        expires: None,
        site: SiteId::new("remote1").unwrap(),
        context: Context::from([("HOSTNAME".into(), "db1".into())]),
    };
    (notification.id, notification.print().unwrap())
}

#[test]
fn what_is_submitted_is_found_once_and_removed() {
    let spool = spool();
    let (id, body) = notification();
    assert_eq!(
        submit(&spool.path, id, body.as_bytes()).unwrap(),
        Submitted::New
    );
    let again = submit(&spool.path, id, body.as_bytes()).unwrap();
    assert_eq!(again, Submitted::AlreadyThere);
    assert_eq!(names(&spool.path.join("new")), [id.to_string()]);
    assert!(names(&spool.path.join("tmp")).is_empty());
    let mode = fs::metadata(spool.path.join("new").join(id.to_string())).unwrap();
    assert_eq!(mode.permissions().mode() & 0o7777, 0o600);
    assert_eq!(
        fs::metadata(&spool.path).unwrap().permissions().mode() & 0o7777,
        0o700
    );

    let found = spool.drop_box.names(10).unwrap();
    let Found::File(file) = spool.drop_box.look(&found[0]).unwrap() else {
        panic!("no file");
    };
    assert_eq!(file.body, body.as_bytes());
    for _ in 0..2 {
        spool.drop_box.remove(&file).unwrap();
        assert_eq!(spool.drop_box.look(&found[0]).unwrap(), Found::Gone);
    }
    spool.drop_box.sync().unwrap();
}

#[test]
fn half_a_file_under_its_name_does_not_cost_the_notification() {
    let spool = spool();
    let (id, body) = notification();
    let taken = spool.path.join("new").join(id.to_string());
    fs::write(&taken, &body[..body.len() / 2]).unwrap();
    assert_eq!(
        submit(&spool.path, id, body.as_bytes()).unwrap(),
        Submitted::New
    );
    let other = spool.path.join("new").join(format!("{id}.1"));
    assert_eq!(fs::read(other).unwrap(), body.as_bytes());
    assert_eq!(fs::read(taken).unwrap().len(), body.len() / 2);
}

#[test]
fn what_cannot_be_submitted_says_whether_to_come_again() {
    let spool = spool();
    let (id, body) = notification();
    let missing = submit(&spool.path.join("nowhere"), id, body.as_bytes()).unwrap_err();
    assert!(missing.is_temporary());
    let large = submit(&spool.path, id, &vec![b' '; MAX_BODY + 1]).unwrap_err();
    assert!(matches!(large, Error::TooLarge { .. }) && !large.is_temporary());
    fs::remove_dir(spool.path.join("new")).unwrap();
    let no_new = submit(&spool.path, id, body.as_bytes()).unwrap_err();
    assert!(no_new.is_temporary());
    assert!(names(&spool.path.join("tmp")).is_empty());
}

#[test]
fn whatever_lies_in_the_drop_box_is_judged_and_nothing_is_followed() {
    let spool = spool();
    let new = spool.path.join("new");
    let name = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
    fs::create_dir(new.join("directory")).unwrap();
    fs::create_dir(new.join("directory/full")).unwrap();
    symlink("/etc/passwd", new.join("link")).unwrap();
    symlink("/nowhere", new.join("dangling")).unwrap();
    let fifo = std::process::Command::new("mkfifo")
        .arg(new.join("pipe"))
        .status();
    assert!(fifo.unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(new.join("socket")).unwrap();
    fs::write(new.join("empty"), b"").unwrap();
    fs::write(new.join("large"), vec![b'x'; MAX_BODY + 1]).unwrap();
    fs::write(new.join(name(b"odd\nname\xff")), b"{}").unwrap();
    fs::write(new.join("x".repeat(255)), b"{}").unwrap();
    for (entry, want) in [
        ("directory", "never: a directory"),
        ("link", "never: a symbolic link"),
        ("dangling", "never: a symbolic link"),
        ("pipe", "never: a pipe"),
        ("socket", "never: not a file"),
        ("empty", "not yet: empty"),
        ("large", "never: has 1048577 bytes, the limit is 1048576"),
        ("gone", "gone"),
    ] {
        let found = match spool.drop_box.look(OsStr::new(entry)).unwrap() {
            Found::File(_) => "file".to_owned(),
            Found::NotYet(why) => format!("not yet: {why}"),
            Found::Never(why) => format!("never: {why}"),
            Found::Gone => "gone".to_owned(),
        };
        assert_eq!(found, want, "{entry}");
    }
    let odd = spool.drop_box.look(&name(b"odd\nname\xff")).unwrap();
    assert!(matches!(odd, Found::File(_)));

    for entry in spool.drop_box.names(100).unwrap() {
        spool.drop_box.set_aside(&entry, "why not").unwrap();
        // Told again, after a crash say, it is no error.
        spool.drop_box.set_aside(&entry, "why not").unwrap();
    }
    assert!(names(&new).is_empty());
    let corrupt = spool.path.join("corrupt");
    let aside = names(&corrupt);
    assert!(aside.contains(&"odd_name_".to_owned()), "{aside:?}");
    for entry in aside.iter().filter(|entry| !entry.ends_with(".why")) {
        let why = fs::read_to_string(corrupt.join(format!("{entry}.why"))).unwrap();
        assert!(why.contains("why not") && why.lines().count() == 1, "{why}");
    }
    assert!(Path::new("/etc/passwd").exists());
}

#[test]
fn two_of_one_name_are_both_set_aside() {
    let spool = spool();
    let file = spool.path.join("new/x");
    for text in ["one", "two"] {
        fs::write(&file, text).unwrap();
        spool.drop_box.set_aside(OsStr::new("x"), text).unwrap();
    }
    let corrupt = spool.path.join("corrupt");
    assert_eq!(names(&corrupt), ["x", "x.1", "x.1.why", "x.why"]);
    assert_eq!(fs::read(corrupt.join("x.1")).unwrap(), b"two");
}

#[test]
fn a_file_that_took_the_place_of_an_absorbed_one_is_not_removed_for_it() {
    let spool = spool();
    let path = spool.path.join("new/x");
    fs::write(&path, b"one").unwrap();
    let Found::File(first) = spool.drop_box.look(OsStr::new("x")).unwrap() else {
        panic!("no file");
    };
    let other = spool.path.join("tmp/y");
    fs::write(&other, b"other").unwrap();
    fs::rename(other, &path).unwrap();
    spool.drop_box.remove(&first).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"other");
}

#[test]
fn leftovers_go_after_their_time_and_not_before() {
    let spool = spool();
    let tmp = spool.path.join("tmp");
    fs::write(tmp.join("left"), b"half").unwrap();
    fs::create_dir(tmp.join("directory")).unwrap();
    let hour = Duration::from_secs(3600);
    let now = SystemTime::now();
    assert_eq!(spool.drop_box.remove_leftovers(now, hour).unwrap(), 0);
    // A clock that was set back removes nothing.
    assert_eq!(
        spool
            .drop_box
            .remove_leftovers(now - 2 * hour, hour)
            .unwrap(),
        0
    );
    assert_eq!(
        spool
            .drop_box
            .remove_leftovers(now + 2 * hour, hour)
            .unwrap(),
        1
    );
    assert_eq!(names(&tmp), ["directory"]);
}

#[test]
fn grace_is_counted_from_the_first_look() {
    let mut grace = Grace::default();
    let (start, period) = (Instant::now(), Duration::from_secs(10));
    let name = OsStr::new("x");
    assert!(!grace.is_over(name, start, period));
    assert!(!grace.is_over(name, start + period / 2, period));
    assert!(grace.is_over(name, start + period, period));
    grace.forget(name);
    assert!(!grace.is_over(name, start + period, period));
    grace.keep_only(&[OsString::from("y")]);
    assert!(!grace.is_over(name, start + 3 * period, period));
}

#[test]
fn a_spool_of_somebody_else_is_refused() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("spool");
    fs::create_dir(&path).unwrap();
    if std::os::unix::fs::chown(&path, Some(12345), None).is_err() {
        // Only root can give a directory away, and only then there is a case.
        return;
    }
    let error = SpoolDirectory::open(&path).unwrap_err();
    assert!(
        matches!(error, Error::ForeignOwner { owner: 12345, .. }),
        "{error}"
    );
    assert!(names(&path).is_empty());
}

/// Who reads a directory while files come to it may see a later one and miss an
/// earlier one.
#[test]
fn what_comes_while_names_are_read_is_seen_in_its_order() {
    const FILES: usize = 20_000;
    let spool = spool();
    let path = |number: usize| spool.path.join(format!("new/{number:08}"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..FILES {
                fs::write(path(number), "").unwrap();
            }
        });
        let mut seen = 0;
        while seen < FILES {
            let (names, _) = spool.drop_box.names_in_order(FILES).unwrap();
            let holes = names.iter().zip(0..).filter(|(name, number)| {
                let wanted: &OsStr = &OsString::from(format!("{number:08}"));
                **name != *wanted
            });
            assert_eq!(holes.count(), 0, "of {}", names.len());
            seen = names.len();
        }
    });
    // Not more than is wanted, and the first of all.
    let (names, more_came) = spool.drop_box.names_in_order(3).unwrap();
    assert_eq!(names, ["00000000", "00000001", "00000002"]);
    assert!(!more_came);
}
