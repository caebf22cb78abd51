//! What to do about a handshake that failed.

/// By what the TLS library, or HTTP/2 above it, says of a failed handshake: what it means and what to do. The library's
/// error itself is often out of reach, as when HTTP/2 passes on nothing but its words.
pub fn hint(reason: &str) -> Option<&'static str> {
    HINTS.iter().find(|(words, _)| reason.contains(words)).map(|(_, hint)| *hint)
}

/// The same, where no TLS was spoken: that a connection was closed then says nothing of certificates.
pub fn hint_in_clear(reason: &str) -> Option<&'static str> {
    hint(reason).filter(|_| !reason.contains(CLOSED))
}

const CLOSED: &str = "connection closed";

const HINTS: [(&str, &str); 12] = [
    // Of the other side's certificate, as this side sees it.
    (
        "invalid peer certificate: UnknownIssuer",
        "its certificate is of no authority that is trusted here: name that authority's certificate in the file of trusted \
         authorities (ca_file of a client, --ca-file of a command, client_ca_file of a listener)",
    ),
    (
        "invalid peer certificate: certificate expired",
        "its certificate has expired, or this machine's clock is wrong: the other side needs a new certificate",
    ),
    (
        "invalid peer certificate: certificate not valid yet",
        "its certificate is not valid yet, or this machine's clock is wrong",
    ),
    (
        "invalid peer certificate: certificate not valid for name",
        "its certificate is for another name: reach it by that name, or give server_name",
    ),
    (
        "peer sent no certificates",
        "it showed no certificate, and this listener asks for one (client_ca_file)",
    ),
    // Of this side's certificate, as the other side sees it.
    (
        "received fatal alert: CertificateRequired",
        "the other side asks for a certificate: give cert_file and key_file (a command: --cert-file and --key-file)",
    ),
    (
        "received fatal alert: UnknownCA",
        "the other side does not trust the authority of this side's certificate",
    ),
    (
        "received fatal alert: CertificateExpired",
        "the other side says that this side's certificate has expired: renew it",
    ),
    (
        "received fatal alert: BadCertificate",
        "the other side refuses this side's certificate: is it for the name by which it is reached?",
    ),
    // One side speaks TLS, the other does not.
    ("received corrupt message", "the other side does not speak TLS: http in place of https?"),
    ("invalid HTTP version", "the other side may speak TLS: https in place of http?"),
    // The alert that would tell comes when the handshake is over here, and can be lost with the connection.
    (
        CLOSED,
        "over TLS, the other side may not have taken this side's certificate: its log says why",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Break it: let `hint_in_clear` be `hint`.
    #[test]
    fn without_tls_a_closed_connection_says_nothing_of_certificates() {
        let closed = "connection closed before message completed";
        assert!(hint(closed).is_some_and(|hint| hint.contains("certificate")));
        assert_eq!(hint_in_clear(closed), None);
        assert_eq!(hint_in_clear("invalid HTTP version parsed"), hint("invalid HTTP version"));
    }
}
