//! Files of certificates, good and bad: a mistake is told with its file and line, and no key is quoted.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, KeyPair};

use super::{ClientTls, TlsConfig, listener_mistakes};

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path
}

/// A certificate and its key.
fn pair() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn mistakes(cert: &str, key: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let tls = TlsConfig {
        cert_file: write(dir.path(), "cert.pem", cert),
        key_file: write(dir.path(), "key.pem", key),
        client_ca_file: None,
    };
    tls.read().err().unwrap_or_default().join("\n")
}

#[test]
fn a_mistake_is_told_with_its_file_and_line() {
    let (cert, key) = pair();
    assert_eq!(mistakes(&cert, &key), "");
    // What people keep beside them.
    assert_eq!(
        mistakes(&format!("Subject: localhost\n{cert}{cert}"), &format!("# key\n{key}")),
        ""
    );
    let lines = cert.lines().count();
    let after = |more: &str| mistakes(&format!("{cert}{more}"), &key);
    let at = format!("cert.pem line {}: ", lines + 1);
    for (more, told) in [
        ("-----BEGIN CERTIFICATE-----\nAAAA\n", "what begins here has no END line"),
        ("-----END CERTIFICATE-----\n", "an END line of nothing"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "is no certificate"),
        ("-----BEGIN CERTIFICATE-----\n§\n-----END CERTIFICATE-----\n", "that begins here"),
        (
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
            "a PUBLIC KEY stands among",
        ),
    ] {
        let found = after(more);
        assert!(found.contains(&at) && found.contains(told), "{found}");
    }
    let cut: String = cert.lines().take(lines - 1).map(|line| format!("{line}\n")).collect();
    assert!(mistakes(&cut, &key).contains("cert.pem line 1: what begins here has no END line"));
    assert!(mistakes("", &key).contains("holds no `-----BEGIN CERTIFICATE-----`"));
    assert!(mistakes(&cert, &cert).contains("holds no `-----BEGIN PRIVATE KEY-----`"));
    assert!(mistakes(&cert, &pair().1).contains("do not go together"));
    let both = mistakes("", "");
    assert!(both.contains("tls.cert_file") && both.contains("tls.key_file"), "{both}");
}

#[test]
fn a_key_is_for_its_owner_alone_and_is_never_quoted() {
    let (cert, key) = pair();
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    assert!(mistakes(&cert, &encrypted).contains("the key is encrypted"));
    let secret = key.lines().nth(1).unwrap();
    for broken in [
        key.replace(secret, &format!("!{}", &secret[1..])),
        format!("{key}{key}"),
        key.replace("END", "DNE"),
    ] {
        let told = mistakes(&cert, &broken);
        assert!(told.contains("key.pem line ") && !told.contains(&secret[1..20]), "{told}");
    }
    let dir = tempfile::tempdir().unwrap();
    let tls = ClientTls {
        cert_file: Some(write(dir.path(), "cert.pem", &cert)),
        key_file: Some(write(dir.path(), "key.pem", &key)),
        ..ClientTls::default()
    };
    assert!(tls.read().unwrap().shown.is_some());
    fs::set_permissions(dir.path().join("key.pem"), Permissions::from_mode(0o640)).unwrap();
    assert!(tls.read().err().unwrap()[0].contains("chmod 600"));
    let alone = ClientTls { cert_file: None, ..tls };
    assert_eq!(alone.read().err().unwrap(), ["key_file needs cert_file beside it"]);
}

#[test]
fn beyond_loopback_it_is_tls_or_said_by_name() {
    let at =
        |address: &str, plaintext| listener_mistakes(address.parse().unwrap(), None, plaintext);
    for loopback in ["127.0.0.1:1", "[::1]:1", "127.9.9.9:1"] {
        assert!(at(loopback, false).is_empty());
    }
    for open in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1"] {
        assert!(at(open, false)[0].contains("plaintext = true"), "{open}");
        assert!(at(open, true).is_empty());
    }
}
