//! An authority from its first day: what it signs, whom it refuses, and what
//! its directory holds after somebody was killed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use authority::invitation::{Centre, Standing};
use authority::message::{Answer, Question};
use authority::{
    Authority, Certificate, Credentials, Error, Key, Lifetime, Refusal, Request, RevocationList,
    Serial, Shape, Token, enrolment,
};
use objects::{SiteId, UnixTime};
use tempfile::TempDir;

const NOW: UnixTime = UnixTime::from_secs(1_795_217_983);
const DAY: Duration = Duration::from_secs(86_400);

fn site(name: &str) -> SiteId {
    SiteId::new(name).unwrap()
}

fn later(days: i64) -> UnixTime {
    UnixTime::from_secs(NOW.secs() + days * 86_400)
}

fn create(directory: &Path) -> Authority {
    let lifetime = Lifetime::from_now(NOW, 3650 * DAY);
    Authority::create(directory, "Test CA", Shape::Ecdsa, lifetime, NOW).unwrap()
}

fn new() -> (TempDir, Authority) {
    let directory = TempDir::new().unwrap();
    let authority = create(directory.path());
    (directory, authority)
}

fn centre() -> Centre {
    Centre {
        site: site("central"),
        address: "central.example:6555".to_owned(),
    }
}

fn invite(authority: &Authority, name: &str) -> Token {
    authority.invite(&site(name), &centre(), DAY, NOW).unwrap()
}

fn question(token: &Token, key: &Key) -> Question {
    Question::Join {
        invitation: token.invitation.to_string(),
        secret: token.secret.to_hex(),
        request: key.request(&token.site).unwrap(),
    }
}

/// The certificate that a question brings, or the reason why there is none.
fn ask(
    authority: &Authority,
    question: &Question,
    peer: Option<&Certificate>,
    now: UnixTime,
) -> Result<Certificate, Refusal> {
    match authority.answer(question, peer, 365 * DAY, now) {
        Ok(granted) => Ok(Certificate::first_in(&granted.certificate).unwrap()),
        Err(Error::Refused { reason, .. }) => Err(reason),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_site_stands_in_what_is_issued_and_in_the_record() {
    let (directory, authority) = new();
    let year = Lifetime::from_now(NOW, 365 * DAY);
    let issued = authority
        .issue(&site("remote1"), Shape::Ecdsa, year)
        .unwrap();
    assert_eq!(issued.site(), Some(site("remote1")));
    assert_eq!(issued.not_after, later(365));
    assert!(issued.is_signed_by(authority.certificate()) && !issued.is_authority);
    let file = fs::read_to_string(directory.path().join("remote1.crt")).unwrap();
    let chain = Certificate::all_in(&file).unwrap();
    assert_eq!(chain, [issued.clone(), authority.certificate().clone()]);
    let records = authority.issued().unwrap();
    assert_eq!((records.len(), &records[0].certificate), (1, &issued));
}

#[test]
fn every_number_is_another_one() {
    let (_directory, authority) = new();
    let key = Key::generate(Shape::Ecdsa).unwrap();
    let request = Request::from_pem(&key.request(&site("a")).unwrap()).unwrap();
    let year = Lifetime::from_now(NOW, 365 * DAY);
    let sign = |_| authority.sign_request(&site("a"), &request, year).unwrap();
    let serials: BTreeSet<Serial> = (0..50).map(sign).map(|i| i.certificate.serial).collect();
    assert_eq!(serials.len(), 50);
    assert_eq!(authority.issued().unwrap().len(), 50);
}

#[test]
fn a_request_gets_the_name_that_the_operator_says_and_no_other() {
    let (_directory, authority) = new();
    let year = Lifetime::from_now(NOW, 365 * DAY);
    let key = Key::generate(Shape::Ecdsa).unwrap();
    let request = Request::from_pem(&key.request(&site("a")).unwrap()).unwrap();
    let issued = authority.sign_request(&site("a"), &request, year).unwrap();
    assert_eq!(issued.certificate.public_key(), key.public_key());
    let error = authority.sign_request(&site("b"), &request, year);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("names site \"a\", not b"), "{error}");
    assert_eq!(authority.issued().unwrap().len(), 1);
}

#[test]
fn what_was_revoked_stands_in_the_list_and_its_key_is_never_signed_again() {
    let (_directory, authority) = new();
    let year = Lifetime::from_now(NOW, 365 * DAY);
    let first = authority.issue(&site("a"), Shape::Ecdsa, year).unwrap();
    let second = authority.renew(&site("a"), year).unwrap();
    let other = authority.issue(&site("b"), Shape::Ecdsa, year).unwrap();
    let before = authority.revocations().unwrap();
    assert!(before.revoked.is_empty() && before.is_signed_by(authority.certificate()));
    let revoked = authority.revoke_site(&site("a"), NOW).unwrap();
    assert_eq!(
        BTreeSet::from_iter(revoked),
        BTreeSet::from([first.serial, second.serial])
    );
    let list = authority.revocations().unwrap();
    assert_eq!(list.revoked.len(), 2);
    assert!(list.number > before.number && list.is_signed_by(authority.certificate()));
    assert_eq!(list.next_update, Some(later(30)));
    assert!(!list.revoked.contains_key(&other.serial));
    let error = authority.renew(&site("a"), year).unwrap_err().to_string();
    assert!(error.contains("the key was revoked"), "{error}");
    authority.revoke(&other.serial, NOW).unwrap();
    assert_eq!(authority.revocations().unwrap().revoked.len(), 3);
    let nobody = authority.revoke_site(&site("c"), NOW);
    assert!(matches!(nobody, Err(Error::Unknown(_))));
}

#[test]
fn an_invitation_brings_one_certificate_to_one_key() {
    let (directory, authority) = new();
    let token = invite(&authority, "remote1");
    let (ours, theirs) = [(); 2]
        .map(|()| Key::generate(Shape::Ecdsa).unwrap())
        .into();
    let first = ask(&authority, &question(&token, &ours), None, NOW).unwrap();
    assert_eq!(first.site(), Some(site("remote1")));
    drop(authority);
    // The centre may have been restarted, and the answer been lost.
    let authority = Authority::open(directory.path(), NOW).unwrap();
    let again = ask(&authority, &question(&token, &ours), None, later(3));
    assert_eq!(again.as_ref(), Ok(&first));
    let thief = ask(&authority, &question(&token, &theirs), None, NOW);
    assert_eq!(thief, Err(Refusal::Used));
    assert_eq!(authority.issued().unwrap().len(), 1);
    assert_eq!(
        enrolment::joined(directory.path()).unwrap(),
        [site("remote1")]
    );
    authority.revoke_site(&site("remote1"), NOW).unwrap();
    let revoked = ask(&authority, &question(&token, &ours), None, NOW);
    assert_eq!(revoked, Err(Refusal::Revoked));
    assert!(enrolment::joined(directory.path()).unwrap().is_empty());
}

#[test]
fn a_centre_that_is_killed_before_it_answered_answers_the_same_site_later() {
    let (directory, authority) = new();
    let token = invite(&authority, "remote1");
    let file = directory
        .path()
        .join("invitations")
        .join(token.invitation.to_string());
    let unused = fs::read(&file).unwrap();
    let key = Key::generate(Shape::Ecdsa).unwrap();
    ask(&authority, &question(&token, &key), None, NOW).unwrap();
    // The certificate was signed and remembered, the invitation not yet marked,
    // and nothing given away.
    fs::write(&file, unused).unwrap();
    drop(authority);
    let authority = Authority::open(directory.path(), NOW).unwrap();
    let second = ask(&authority, &question(&token, &key), None, NOW).unwrap();
    assert_eq!(
        ask(&authority, &question(&token, &key), None, NOW),
        Ok(second)
    );
    let thief = Key::generate(Shape::Ecdsa).unwrap();
    assert_eq!(
        ask(&authority, &question(&token, &thief), None, NOW),
        Err(Refusal::Used)
    );
    assert_eq!(authority.issued().unwrap().len(), 2);
}

#[test]
fn an_invitation_ends_by_time_by_withdrawal_by_a_newer_one_and_by_guessing() {
    let (directory, authority) = new();
    let key = Key::generate(Shape::Ecdsa).unwrap();
    let token = invite(&authority, "a");
    let late = ask(&authority, &question(&token, &key), None, later(1));
    assert_eq!(late, Err(Refusal::Expired));
    let newer = invite(&authority, "a");
    let old = ask(&authority, &question(&token, &key), None, NOW);
    assert_eq!(old, Err(Refusal::Unknown));
    assert!(authority.withdraw(&newer.invitation).unwrap());
    assert!(!authority.withdraw(&newer.invitation).unwrap());
    let withdrawn = ask(&authority, &question(&newer, &key), None, NOW);
    assert_eq!(withdrawn, Err(Refusal::Unknown));

    let token = invite(&authority, "a");
    let guess = Token {
        secret: invite(&authority, "b").secret,
        ..token.clone()
    };
    for _ in 0..10 {
        let guessed = ask(&authority, &question(&guess, &key), None, NOW);
        assert_eq!(guessed, Err(Refusal::Unknown));
    }
    let blocked = ask(&authority, &question(&token, &key), None, NOW);
    assert_eq!(blocked, Err(Refusal::Unknown));
    let standings: Vec<_> = authority.invitations().unwrap();
    let standings: Vec<_> = standings.iter().map(|(_, i)| i.standing(NOW)).collect();
    assert_eq!(
        BTreeSet::from_iter(standings.iter().map(ToString::to_string)).len(),
        2
    );
    assert!(standings.contains(&Standing::Blocked) && standings.contains(&Standing::Open));
    assert!(authority.issued().unwrap().is_empty());
    // Nothing of the secret is in the directory.
    for entry in fs::read_dir(directory.path().join("invitations")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path())
            .unwrap()
            .to_lowercase();
        assert!(!text.contains(&token.secret.to_hex()), "{text}");
    }
}

#[test]
fn a_certificate_is_renewed_for_the_site_that_shows_it_in_the_second_half_of_its_time() {
    let (_directory, authority) = new();
    let (_other_directory, other) = new();
    let year = Lifetime::from_now(NOW, 365 * DAY);
    let old = authority.issue(&site("a"), Shape::Ecdsa, year).unwrap();
    let foreign = other.issue(&site("a"), Shape::Ecdsa, year).unwrap();
    let key = Key::generate(Shape::Ecdsa).unwrap();
    let renew = |name: &str| Question::Renew {
        request: key.request(&site(name)).unwrap(),
    };
    let late = later(200);
    assert_eq!(
        ask(&authority, &renew("a"), None, late),
        Err(Refusal::Foreign)
    );
    assert_eq!(
        ask(&authority, &renew("a"), Some(&foreign), late),
        Err(Refusal::Foreign)
    );
    assert_eq!(
        ask(&authority, &renew("a"), Some(&old), later(100)),
        Err(Refusal::Early)
    );
    assert_eq!(
        ask(&authority, &renew("b"), Some(&old), late),
        Err(Refusal::Request)
    );
    let new = ask(&authority, &renew("a"), Some(&old), late).unwrap();
    assert_eq!((new.site(), new.not_after), (Some(site("a")), later(565)));
    authority.revoke(&old.serial, late).unwrap();
    assert_eq!(
        ask(&authority, &renew("a"), Some(&old), late),
        Err(Refusal::Revoked)
    );
    let list = Question::Revocations {};
    let refused = authority.answer(&list, Some(&old), 365 * DAY, late);
    assert!(matches!(refused, Err(Error::Refused { .. })));
    let granted = authority
        .answer(&list, Some(&new), 365 * DAY, late)
        .unwrap();
    let list = RevocationList::from_pem(&granted.revoked).unwrap();
    assert!(list.revoked.contains_key(&old.serial));
}

#[test]
fn a_site_takes_only_what_is_its_own() {
    let (directory, authority) = new();
    let (_other_directory, other) = new();
    let year = Lifetime::from_now(NOW, 30 * DAY);
    authority.issue(&site("a"), Shape::Ecdsa, year).unwrap();
    let credentials = Credentials {
        certificate: directory.path().join("a.crt"),
        key: directory.path().join("a.key"),
        authority: directory.path().join("ca.crt"),
        revoked: Some(directory.path().join("a.crl")),
    };
    let old = credentials.certificate().unwrap();
    let renewal = credentials.renewal().unwrap();
    let good = authority
        .answer(&renewal, Some(&old), 365 * DAY, later(20))
        .unwrap();
    let with = |certificate: String| {
        let mut granted = good.clone();
        granted.certificate = certificate;
        granted
    };
    let stranger = other.issue(&site("a"), Shape::Ecdsa, year).unwrap();
    let neighbour = authority.issue(&site("b"), Shape::Ecdsa, year).unwrap();
    for (granted, what) in [
        (with(stranger.to_pem()), "another key"),
        (with(neighbour.to_pem()), "another site"),
        (with(old.to_pem()), "no longer than the old one"),
        (with(String::new()), "has no certificate"),
    ] {
        let error = credentials
            .replace(&granted, later(20))
            .unwrap_err()
            .to_string();
        assert!(error.contains(what), "{error}");
    }
    assert_eq!(credentials.certificate().unwrap(), old);
    let new = credentials.replace(&good, later(20)).unwrap();
    assert_eq!(credentials.certificate().unwrap(), new);
    assert!(credentials.replace_revoked(&good).unwrap());
    assert!(!credentials.replace_revoked(&good).unwrap());
    let mut foreign = good;
    foreign.revoked = fs::read_to_string(other.revocations_path()).unwrap();
    assert!(credentials.replace_revoked(&foreign).is_err());
}

#[test]
fn keys_of_the_shape_that_checkmk_makes_work_as_well() {
    let directory = TempDir::new().unwrap();
    let lifetime = Lifetime::from_now(NOW, 364_876 * DAY);
    let authority =
        Authority::create(directory.path(), "Site CA", Shape::Rsa, lifetime, NOW).unwrap();
    let issued = authority.issue(&site("a"), Shape::Rsa, lifetime).unwrap();
    assert_eq!(issued.key, "RSA 2048");
    assert!(issued.is_signed_by(authority.certificate()));
    let key = Key::generate(Shape::Rsa).unwrap();
    let request = Request::from_pem(&key.request(&site("b")).unwrap()).unwrap();
    authority
        .sign_request(&site("b"), &request, lifetime)
        .unwrap();
    let list = authority.revocations().unwrap();
    assert!(list.is_signed_by(authority.certificate()));
}

#[test]
fn what_a_killed_process_left_is_finished_by_the_next() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    let authority = create(directory.path());
    let key = fs::read(path("ca.key")).unwrap();
    drop(authority);
    // Killed after the key.
    fs::remove_file(path("ca.crt")).unwrap();
    fs::remove_file(path("ca.crl")).unwrap();
    let authority = create(directory.path());
    assert_eq!(fs::read(path("ca.key")).unwrap(), key);
    // Killed between the key of a site and its certificate.
    let year = Lifetime::from_now(NOW, 365 * DAY);
    authority.issue(&site("a"), Shape::Ecdsa, year).unwrap();
    let key = fs::read(path("a.key")).unwrap();
    fs::remove_file(path("a.crt")).unwrap();
    let issued = authority.issue(&site("a"), Shape::Ecdsa, year).unwrap();
    assert_eq!(fs::read(path("a.key")).unwrap(), key);
    // Killed between the mark and the list.
    let list = fs::read(path("ca.crl")).unwrap();
    authority.revoke(&issued.serial, NOW).unwrap();
    fs::write(path("ca.crl"), list).unwrap();
    fs::write(path(".ca.crl.123.tmp"), "half").unwrap();
    drop(authority);
    let authority = Authority::open(directory.path(), NOW).unwrap();
    assert!(
        authority
            .revocations()
            .unwrap()
            .revoked
            .contains_key(&issued.serial)
    );
    assert!(!path(".ca.crl.123.tmp").exists());
    // A list lives for a month, and is signed anew in time.
    let number = authority.revocations().unwrap().number;
    drop(authority);
    let authority = Authority::open(directory.path(), later(16)).unwrap();
    assert!(authority.revocations().unwrap().number > number);
}

#[test]
fn nobody_else_works_in_the_directory_meanwhile() {
    let (directory, authority) = new();
    let path = directory.path().to_owned();
    let other = std::thread::spawn(move || Authority::open(&path, NOW).map(|_| ()));
    assert!(!other.is_finished());
    drop(authority);
    other.join().unwrap().unwrap();
}

#[test]
fn an_answer_does_not_tell_where_files_are() {
    let (directory, authority) = new();
    let token = invite(&authority, "a");
    let id = token.invitation.to_string();
    fs::write(directory.path().join("invitations").join(id), "{").unwrap();
    let key = Key::generate(Shape::Ecdsa).unwrap();
    let result = authority.answer(&question(&token, &key), None, DAY, NOW);
    assert!(result.is_err());
    let Answer::Refused { reason, text } = Answer::from(result) else {
        panic!("granted");
    };
    assert_eq!(reason, Refusal::Busy);
    assert!(!text.contains('/'), "{text}");
}
