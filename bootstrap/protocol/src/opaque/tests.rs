//! Both sides against each other.

use callbook_overlay::key::NetworkId;
use callbook_overlay::name::Username;
use callbook_overlay::network::{Limits, Network, Parameters, Scope};
use callbook_overlay::sign::{SecretKey, Signer as _, Strict};

use super::*;
use crate::claim::Claim;
use crate::messages::{EnrolFinish, EnrolStarted, LoginStarted, Request};

fn network() -> Network {
    Network {
        id: NetworkId::from_bytes([9; 32]),
        version: 1,
        roots: Vec::new(),
        login: Vec::new(),
        secret: None,
        scope: Scope::Local,
        limits: Limits::Lab,
        parameters: Parameters::default(),
    }
}

fn enrol(keys: &ServerKeys, username: &Username, password: &[u8]) -> (EnrolFinish, Vec<u8>) {
    let (enrolment, request) = Enrolment::start(&network(), username, password).unwrap();
    let Request::EnrolStart(start) = request else { panic!("expected EnrolStart") };
    let response = keys.enrol_start(username, &start.request).unwrap();
    let started = EnrolStarted { response, stretch: Stretch::LAB };
    let device = SecretKey::from_seed([1; 32]);
    let Request::EnrolFinish(finish) = enrolment.finish(&started, &device).unwrap() else {
        panic!("expected EnrolFinish")
    };
    let file = password_file(&finish.upload).unwrap();
    (*finish, file)
}

/// A login up to the server's answer.
fn begin(
    keys: &ServerKeys,
    username: &Username,
    file: Option<&[u8]>,
    password: &[u8],
) -> (LoginAttempt, LoginState, LoginStarted) {
    let (attempt, request) = LoginAttempt::start(&network(), username, password).unwrap();
    let Request::LoginStart(start) = request else { panic!("expected LoginStart") };
    let (state, response) = keys.login_start(&network().id, username, file, &start.request).unwrap();
    (attempt, state, LoginStarted { session: [4; 16], response, stretch: Stretch::LAB })
}

#[test]
fn the_right_password_logs_in_and_binds_the_device_to_the_session() {
    // Goal: the whole path, also after the server's keys went through their file. Method: both sides
    // in one process; a seal for another device or session must not fit.
    let keys = ServerKeys::generate();
    let keys = ServerKeys::from_bytes(&keys.to_bytes()).unwrap();
    let alice = Username::parse("alice").unwrap();
    let (finish, file) = enrol(&keys, &alice, b"correct horse");
    let claim = Claim::Enrol { username: &alice, upload: &finish.upload };
    assert!(claim.verify(&network().id, &finish.device, &finish.proof, &Strict));

    let (attempt, state, started) = begin(&keys, &alice, Some(&file), b"correct horse");
    let device = SecretKey::from_seed([2; 32]);
    let Request::LoginFinish(finish) = attempt.finish(&started, &device).unwrap() else {
        panic!("expected LoginFinish")
    };
    let key = login_finish(&network().id, &alice, &state, &finish.finalization).unwrap();
    assert!(device_seal_fits(key.as_bytes(), &device.public(), &finish.session, &finish.seal));
    let other = SecretKey::from_seed([3; 32]).public();
    assert!(!device_seal_fits(key.as_bytes(), &other, &finish.session, &finish.seal));
    assert!(!device_seal_fits(key.as_bytes(), &device.public(), &[5; 16], &finish.seal));
    let claim = Claim::Login { username: &alice, session: &finish.session };
    assert!(claim.verify(&network().id, &finish.device, &finish.proof, &Strict));
}

#[test]
fn a_wrong_password_and_an_unknown_name_fail_alike() {
    // Goal: a client can't tell whether a name exists. Method: the same error and equally long
    // answers; answers for an unknown name differ between attempts like real ones.
    let keys = ServerKeys::generate();
    let alice = Username::parse("alice").unwrap();
    let (_, file) = enrol(&keys, &alice, b"correct horse");
    let device = SecretKey::from_seed([2; 32]);

    let (attempt, _, wrong) = begin(&keys, &alice, Some(&file), b"wrong horse");
    assert_eq!(attempt.finish(&wrong, &device), Err(OpaqueError::Refused));
    let nobody = Username::parse("nobody").unwrap();
    let (attempt, _, unknown) = begin(&keys, &nobody, None, b"wrong horse");
    assert_eq!(attempt.finish(&unknown, &device), Err(OpaqueError::Refused));
    let sizes =
        [wrong, unknown].map(|started| crate::Response::LoginStarted(Box::new(started)).to_bytes().len());
    assert_eq!(sizes[0], sizes[1]);
}

#[test]
fn a_file_of_another_account_or_network_does_not_log_in() {
    // Goal: names and network are part of the password file. Method: use Alice's file for Bob.
    let keys = ServerKeys::generate();
    let (alice, bob) = (Username::parse("alice").unwrap(), Username::parse("bob").unwrap());
    let (_, file) = enrol(&keys, &alice, b"correct horse");
    let (attempt, _, started) = begin(&keys, &bob, Some(&file), b"correct horse");
    assert_eq!(attempt.finish(&started, &SecretKey::from_seed([2; 32])), Err(OpaqueError::Refused));
}

#[test]
fn a_client_refuses_a_stretch_that_is_too_weak_or_too_costly() {
    // Goal: the server can't make a client betray its password or run out of memory. Method: bounds.
    assert!(Stretch::NORMAL.check(Limits::Normal).is_ok());
    assert!(Stretch::LAB.check(Limits::Lab).is_ok());
    assert!(Stretch::LAB.check(Limits::Normal).is_err());
    for costly in [
        Stretch { memory_kib: 4 * 1024 * 1024, ..Stretch::NORMAL },
        Stretch { passes: 1000, ..Stretch::NORMAL },
        Stretch { lanes: 99, ..Stretch::NORMAL },
        Stretch { version: 2, ..Stretch::NORMAL },
    ] {
        assert!(costly.check(Limits::Normal).is_err());
    }
}
