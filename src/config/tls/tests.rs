//! The files that [`Tls`] reads, and those that it refuses.

use std::fs;

use rcgen::{CertificateParams, KeyPair};

use super::*;

fn certificate(name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

#[test]
fn wrong_file_is_refused_by_setting_and_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let (pem, key) = certificate("db");
    let (_, other_key) = certificate("db");
    let own = || Tls::new().ca_pem(&pem);
    for (tls, setting, says) in [
        (Tls::new().ca_file("/no/such.pem"), "tls.ca", "/no/such.pem: No such file"),
        (Tls::new().ca_file(file("key.pem", &key)), "tls.ca", "no certificate in it"),
        (Tls::new().ca_pem("rubbish"), "tls.ca", "(in memory): there is no certificate in it"),
        (own().client_certificate_files(file("a.pem", "x"), "/no/key"), "tls.client_certificate", "a.pem"),
        (own().client_certificate_pem(&pem, &pem), "tls.client_key", "no private key"),
        (own().client_certificate_pem(&pem, &other_key), "tls.client_certificate", "KeyMismatch"),
        (own().server_name("not a name"), "tls.server_name", "not a name"),
    ] {
        let error = tls.check().unwrap_err();
        assert_eq!(error.setting(), setting, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
    own().client_certificate_pem(&pem, &key).version_min(TlsVersion::Tls13).check().unwrap();
}

#[test]
fn configured_cas_are_trusted_and_else_the_system() {
    let (pem, _) = certificate("db");
    let trusts = |tls: &Tls, text: &str| assert!(tls.to_string().contains(text), "{tls}");
    trusts(&Tls::new(), "trusts the system's roots");
    trusts(&Tls::new().ca_pem(&pem), "trusts (in memory)");
    trusts(&Tls::new().ca_pem(&pem).system_roots(), "trusts the system's roots and (in memory)");
    trusts(&Tls::new().danger_accept_any_certificate(), "NOT verified");
    assert!(!Tls::new().ca_pem(&pem).settings.trusts_system());
}

#[test]
fn private_key_is_never_printed() {
    let (pem, key) = certificate("db");
    let tls = Tls::new().ca_pem(&pem).client_certificate_pem(&pem, &key);
    tls.check().unwrap();
    let secret = key.lines().nth(1).unwrap();
    assert!(!format!("{tls:?} {tls}").contains(secret));
}

#[test]
fn changed_files_are_read_again_unless_malformed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    fs::write(&path, certificate("one").0).unwrap();
    let tls = Tls::new().ca_file(&path);
    tls.check().unwrap();
    let context = || tls.state().context.clone().unwrap();
    let first = context();
    tls.reload_changed_files();
    tls.check().unwrap();
    assert!(Arc::ptr_eq(&context(), &first), "the file has not changed");
    fs::write(&path, "rubbish").unwrap();
    tls.reload_changed_files();
    assert!(Arc::ptr_eq(&context(), &first), "the file is malformed");
    assert!(tls.reload().is_err());
    assert!(Arc::ptr_eq(&context(), &first), "reload does not use it either");
    fs::write(&path, certificate("another").0).unwrap();
    let shared = tls.clone();
    shared.reload_changed_files();
    assert!(!Arc::ptr_eq(&context(), &first), "clones share the content");
}

#[test]
fn files_are_checked_at_most_once_a_second() {
    let now = Instant::now();
    let tls = Tls::new().ca_file("/a");
    let check = tls.begin_file_check(now).unwrap();
    assert!(tls.clone().begin_file_check(now + CHECK_INTERVAL).is_none(), "another check is running");
    check.reload_changed_files();
    assert!(tls.clone().begin_file_check(now + CHECK_INTERVAL / 2).is_none());
    assert!(tls.begin_file_check(now + CHECK_INTERVAL).is_some());
    assert!(Tls::new().begin_file_check(now).is_none());
}

#[test]
fn sessions_are_shared_for_equal_names_only() {
    let tls = Tls::new().ca_pem(certificate("db").0);
    tls.check().unwrap();
    let config = |asked: &str, or: Option<&str>| {
        let names = TlsNames { asked: asked.to_owned(), or: or.map(str::to_owned) };
        tls.connector(&names).unwrap().0
    };
    assert!(Arc::ptr_eq(&config("a", None), &config("b", None)));
    assert!(Arc::ptr_eq(&config("a", Some("b")), &config("a", Some("b"))));
    assert!(!Arc::ptr_eq(&config("a", Some("b")), &config("a", None)));
    assert!(!Arc::ptr_eq(&config("a", Some("b")), &config("a", Some("c"))));
    for number in 0..EITHER_TRIED {
        config("a", Some(&format!("n{number}")));
    }
    assert!(
        tls.state().context.as_ref().unwrap().pairs() < EITHER_TRIED,
        "servers choose the names, so their number is bounded"
    );
    let names = TlsNames { asked: "a_ä".to_owned(), or: None };
    assert!(tls.connector(&names).unwrap_err().contains("a_ä"));
}

const EITHER_TRIED: usize = 200;
