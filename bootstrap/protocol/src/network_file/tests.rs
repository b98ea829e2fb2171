//! The file's round trip, its signature, and which file may replace which.

use callbook_overlay::certificate::LoginCertificate;
use callbook_overlay::sign::SecretKey;

use super::*;

fn root() -> SecretKey {
    SecretKey::from_seed([1; 32])
}

fn draft() -> Draft {
    let mut draft = Draft {
        name: "lab".into(),
        version: 3,
        created: Unix::from_secs(1_795_300_000),
        scope: Scope::Local,
        limits: Limits::Lab,
        roots: vec![root().public()],
        login: Vec::new(),
        bootstrap: vec!["/ip4/127.0.0.1/tcp/4242/p2p/12D3KooW".into()],
        protocol_min: 1,
        parameters: Parameters { r: 2, ..Parameters::default() },
    };
    let certificate = LoginCertificate {
        key: SecretKey::from_seed([2; 32]).public(),
        not_before: draft.created,
        not_after: draft.created + std::time::Duration::from_secs(1000),
    };
    draft.login = vec![certificate.issue(&draft.id(), &root())];
    draft
}

#[test]
fn a_signed_file_is_read_back_with_all_its_facts() {
    // Goal: what is written is what is read. Method: every fact with a value of its own.
    let file = draft().sign(&root()).unwrap();
    let read = NetworkFile::parse(file.text()).unwrap();
    assert_eq!(read.id(), draft().id());
    assert_eq!(format!("{:?}", read.facts()), format!("{:?}", draft()));
    assert_eq!(read.dns_suffix(), "lab.callbook.alt");
    let network = read.to_network();
    assert_eq!((network.version, network.parameters.r, network.limits), (3, 2, Limits::Lab));
    assert_eq!(network.login, draft().login);
}

#[test]
fn no_byte_of_the_file_can_be_changed() {
    // Goal: tampering is seen. Method: change every byte in turn; after the signature line, line ends
    // may turn into other white space, so a file that is still accepted must say the same.
    let file = draft().sign(&root()).unwrap();
    for index in 0..file.text().len() {
        let mut changed = file.text().as_bytes().to_vec();
        changed[index] ^= 0x01;
        let Ok(changed) = String::from_utf8(changed) else { continue };
        if let Ok(read) = NetworkFile::parse(&changed) {
            assert_eq!(read.content(), file.content(), "byte {index} changed the content");
        }
    }
    let added = format!("{}\n[parameters]\nr = 1\n", file.text());
    assert!(matches!(NetworkFile::parse(&added), Err(NetworkFileError::UnknownKey { .. })));
}

#[test]
fn a_signature_by_a_stranger_does_not_count() {
    // Goal: only a root in the file may sign. Method: sign with another key; and give another id.
    let stranger = SecretKey::from_seed([8; 32]);
    assert!(matches!(draft().sign(&stranger), Err(NetworkFileError::Signature(_))));
    let content = draft().content().replace("created = 1795300000", "created = 1795300001");
    let id = draft().id();
    let signature = root().sign(&to_sign(Tag::Network, &id, content.as_bytes()));
    let forged = format!(
        "{content}[signature]\nkey = \"{}\"\nsignature = \"{}\"\n",
        root().public(),
        BASE64.encode(signature)
    );
    assert_eq!(NetworkFile::parse(&forged).map(|_| ()), Err(NetworkFileError::Identity));
}

#[test]
fn unknown_and_missing_keys_are_named() {
    // Goal: an error that says what was meant. Method: rename keys in a valid file.
    let text = draft().sign(&root()).unwrap().text().to_owned();
    let error = NetworkFile::parse(&text.replace("version = 3", "verison = 3")).unwrap_err();
    assert_eq!(error.to_string(), "the network file has an unknown key `verison`; did you mean `version`?");
    let error = NetworkFile::parse(&text.replace("alpha = ", "alfa = ")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the network file has an unknown key `parameters.alfa`; did you mean `alpha`?"
    );
    let error = NetworkFile::parse(&text.replace("version = 3\n", "")).unwrap_err();
    assert_eq!(error, NetworkFileError::Missing("version"));
    let error = NetworkFile::parse("name = ").unwrap_err();
    assert_eq!(error, NetworkFileError::Missing("[signature]"));
    assert!(matches!(NetworkFile::parse("name = \n[signature]\n"), Err(NetworkFileError::Syntax(_))));
}

#[test]
fn a_file_is_replaced_only_by_a_newer_one_of_the_same_network() {
    // Goal: no way back and no second network. Method: one successor of each kind.
    let old = draft().sign(&root()).unwrap();
    let sign = |draft: Draft| draft.sign(&root()).unwrap();
    assert_eq!(old.check_replaces(&old), Ok(Replaces::Same));
    let newer = sign(Draft { version: 4, scope: Scope::Global, ..draft() });
    assert_eq!(newer.check_replaces(&old), Ok(Replaces::Newer));
    let older = sign(Draft { version: 2, ..draft() });
    assert_eq!(older.check_replaces(&old), Err(NetworkFileError::Older { old: 3, new: 2 }));
    let conflict = sign(Draft { limits: Limits::Normal, ..draft() });
    assert_eq!(conflict.check_replaces(&old), Err(NetworkFileError::Conflict(3)));
    let other = sign(Draft { name: "other".into(), ..draft() });
    assert!(matches!(other.check_replaces(&old), Err(NetworkFileError::OtherNetwork { .. })));
}

#[test]
fn a_network_for_newer_programs_is_refused_with_the_reason() {
    // Goal: an old program says that it is old. Method: a file that asks for the next protocol.
    let error = Draft { protocol_min: 2, ..draft() }.sign(&root()).unwrap_err();
    assert_eq!(error, NetworkFileError::TooNew { needed: 2 });
}
