//! PEM files (RFC 7468), read so that a mistake is told with its file and line.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;
use zeroize::Zeroizing;

use crate::read_secret_file;

/// Largest file of certificates: some thousands of authorities.
const MAX_BYTES: u64 = 4 << 20;

/// One `BEGIN` to its `END`.
struct Section<'a> {
    label: &'a str,
    /// Of its BEGIN, from 1.
    line: usize,
    text: &'a str,
}

/// Every certificate of a file, in its order.
///
/// # Errors
/// In words that name the field, the file and the line.
pub(super) fn certificates(
    field: &str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let (text, at) = (read(field, path)?, |line| place(field, path, line));
    let mut certificates = Vec::new();
    for section in sections(&text).map_err(|(line, what)| format!("{}: {what}", at(line)))? {
        let here = at(section.line);
        if section.label != "CERTIFICATE" {
            return Err(format!("{here}: a {} stands among the certificates", section.label));
        }
        let certificate = CertificateDer::from_pem_slice(section.text.as_bytes())
            .map_err(|error| format!("{here}: the certificate that begins here: {error}"))?;
        ParsedCertificate::try_from(&certificate)
            .map_err(|error| format!("{here}: what begins here is no certificate: {error}"))?;
        certificates.push(certificate);
    }
    if certificates.is_empty() {
        return Err(format!("{field}: {} holds no `-----BEGIN CERTIFICATE-----`", path.display()));
    }
    Ok(certificates)
}

/// The certificates of authorities.
///
/// # Errors
/// As [`certificates`].
pub(super) fn authorities(field: &str, path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for (number, certificate) in certificates(field, path)?.into_iter().enumerate() {
        roots.add(certificate).map_err(|error| {
            format!("{field}: {}: certificate {}: {error}", path.display(), number + 1)
        })?;
    }
    Ok(roots)
}

/// The text of a file.
///
/// # Errors
/// In words that name the field and the file.
pub(super) fn read(field: &str, path: &Path) -> Result<String, String> {
    let about = |error: std::io::Error| format!("{field}: {}: {error}", path.display());
    let size = std::fs::metadata(path).map_err(about)?.len();
    if size > MAX_BYTES {
        return Err(format!(
            "{field}: {} has {size} bytes, too many for certificates",
            path.display()
        ));
    }
    std::fs::read_to_string(path).map_err(about)
}

/// The one private key of a file that only its owner may read, and its text.
///
/// # Errors
/// As [`certificates`]; never with a part of the key.
pub(super) fn private_key(
    field: &str,
    path: &Path,
) -> Result<(PrivateKeyDer<'static>, Zeroizing<String>), String> {
    let text = read_secret_file(path).map_err(|what| format!("{field}: {what}"))?;
    let at = |line| place(field, path, line);
    let sections = sections(&text).map_err(|(line, what)| format!("{}: {what}", at(line)))?;
    let mut keys = sections.iter().filter(|section| section.label.ends_with("PRIVATE KEY"));
    let Some(section) = keys.next() else {
        return Err(format!("{field}: {} holds no `-----BEGIN PRIVATE KEY-----`", path.display()));
    };
    let here = at(section.line);
    if let Some(second) = keys.next() {
        return Err(format!("{}: a second key; leave the one that counts", at(second.line)));
    }
    if section.label == "ENCRYPTED PRIVATE KEY" || section.text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(format!(
            "{here}: the key is encrypted, and nobody is there to type its passphrase: \
             `openssl pkey -in … -out …` writes it in the clear"
        ));
    }
    // What the parser says of base64 may quote it.
    let key = PrivateKeyDer::from_pem_slice(section.text.as_bytes())
        .map_err(|_| format!("{here}: the {} that begins here cannot be read", section.label))?;
    Ok((key, text))
}

/// Line and reason of what is no PEM.
type Flaw = (usize, &'static str);

fn sections(text: &str) -> Result<Vec<Section<'_>>, Flaw> {
    let mut sections = Vec::new();
    let mut open: Option<(&str, usize, usize)> = None;
    let mut offset = 0;
    for (number, whole) in text.split_inclusive('\n').enumerate() {
        let (line, from, to) = (number + 1, offset, offset + whole.len());
        offset = to;
        let whole = whole.trim_end();
        if let Some(label) = label(whole, "-----BEGIN ") {
            if open.is_some() {
                return Err((line, "a BEGIN line before the END line of what began above"));
            }
            open = Some((label, line, from));
        } else if let Some(label) = label(whole, "-----END ") {
            let Some((begun, line, from)) = open.take().filter(|(begun, ..)| *begun == label)
            else {
                return Err((line, "an END line of nothing that began above"));
            };
            sections.push(Section { label: begun, line, text: &text[from..to] });
        }
    }
    match open {
        Some((_, line, _)) => Err((line, "what begins here has no END line")),
        None => Ok(sections),
    }
}

fn label<'a>(line: &'a str, start: &str) -> Option<&'a str> {
    line.strip_prefix(start)?.strip_suffix("-----")
}

fn place(field: &str, path: &Path, line: usize) -> String {
    format!("{field}: {} line {line}", path.display())
}
