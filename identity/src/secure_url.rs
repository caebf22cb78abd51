//! URLs that may be asked for keys.

use url::{Host, Url};

/// An https URL, or http to this machine; nothing that would carry a secret or be lost on the way.
pub(crate) fn secure_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text)
        .map_err(|_| "is not a URL: write it in full, such as https://idp.example")?;
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err("must have no user, password or fragment");
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => Err("is http: use https (http is accepted on loopback only)"),
        _ => Err("must be an https URL"),
    }
}

/// Is it this machine, by a loopback address or as `localhost`?
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_is_for_loopback_only() {
        for good in
            ["https://idp.example", "http://127.0.0.1:9", "http://[::1]:9/x", "http://localhost:9"]
        {
            assert!(secure_url(good).is_ok(), "{good}");
        }
        for bad in [
            "http://idp.example",
            "http://128.0.0.1",
            "http://localhost.example",
            "file:///x",
            "idp",
            "https://u:p@h",
            "https://h/#f",
        ] {
            assert!(secure_url(bad).is_err(), "{bad}");
        }
    }
}
