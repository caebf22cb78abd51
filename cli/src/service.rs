//! Talking to a running query node, with a token and clear errors.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use reqwest::{Client, RequestBuilder, Response, StatusCode};

use crate::failure::Failure;

/// Where the query node is and who asks.
#[derive(Debug, Args)]
pub(crate) struct Service {
    /// URL of the query node
    #[arg(
        long,
        env = "EXHIBIT_QUERY",
        default_value = "http://127.0.0.1:7602",
        value_name = "URL"
    )]
    pub(crate) query: String,
    /// File with the bearer token; without it EXHIBIT_TOKEN is used
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl Service {
    /// A client that carries the token. Waits for an answer as long as the server works on it.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        self.check_url()?;
        let token = read_token(self.token_file.as_deref())?;
        let mut value = reqwest::header::HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| {
                Failure::unusable("token", "the token holds characters that no token has")
            })?;
        value.set_sensitive(true);
        let headers = [(reqwest::header::AUTHORIZATION, value)].into_iter().collect();
        client_builder()
            .default_headers(headers)
            .build()
            .map_err(|error| Failure::unusable("client", error))
    }

    /// The full URL of a door.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.query.trim_end_matches('/'))
    }

    fn check_url(&self) -> Result<(), Failure> {
        let is_http = |url: &reqwest::Url| matches!(url.scheme(), "http" | "https");
        if reqwest::Url::parse(&self.query).is_ok_and(|url| is_http(&url)) {
            return Ok(());
        }
        let message =
            format!("--query {:?} is no URL: write it as http://127.0.0.1:7602", self.query);
        Err(Failure::unusable("query_url", message))
    }
}

/// The bearer token in a file, else in EXHIBIT_TOKEN.
pub(crate) fn read_token(file: Option<&Path>) -> Result<String, Failure> {
    let token = match file {
        Some(path) => std::fs::read_to_string(path).map_err(|error| {
            let message = format!("the token file {}: {error}", path.display());
            Failure::unusable("file", message)
        })?,
        None => std::env::var("EXHIBIT_TOKEN").map_err(|_| {
            Failure::unusable(
                "token_missing",
                "who asks? give --token-file FILE, or set EXHIBIT_TOKEN",
            )
        })?,
    };
    if token.trim().is_empty() {
        let message = "the token is empty: what --token-file names, or EXHIBIT_TOKEN holds";
        return Err(Failure::unusable("token_missing", message));
    }
    Ok(token.trim().to_owned())
}

/// A client of any of our services.
pub(crate) fn client_builder() -> reqwest::ClientBuilder {
    crate::trust::apply(Client::builder()).connect_timeout(Duration::from_secs(5))
}

/// Sends a request; an error of the service becomes a failure with the service's own code, which tells whether what was asked
/// for may have been done all the same.
pub(crate) async fn ask(request: RequestBuilder) -> Result<Response, Failure> {
    let response = request.send().await.map_err(|error| {
        let is_tls = error.url().is_some_and(|url| url.scheme() == "https");
        let reason = if is_tls {
            recorder::root_cause(&error)
        } else {
            recorder::root_cause_in_clear(&error)
        };
        let url = error.url().map(ToString::to_string).unwrap_or_default();
        let message = format!("{url} cannot be reached: {reason}");
        let failure = Failure::unreachable("service_unreachable", message);
        // Nothing was sent to where nobody answers.
        if error.is_connect() || error.is_builder() { failure } else { failure.perhaps_done() }
    })?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = response.bytes().await.unwrap_or_default();
    let error: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |field: &str| error[field].as_str().map(ToOwned::to_owned);
    // A service of ours says why it did nothing; what stands in front of it does not know.
    let is_refusal = text("code").is_some()
        && error["nothing_done"].as_bool().unwrap_or(status.is_client_error());
    let code = text("code").unwrap_or_else(|| "service_error".to_owned());
    let mut message = text("message").unwrap_or_else(|| format!("the service answered {status}"));
    if let Some(hint) = text("hint") {
        message = format!("{message}\n  {hint}");
    }
    let failure = match status {
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => {
            Failure::unreachable(&code, message)
        }
        _ => Failure::unusable(&code, message),
    };
    Err(if is_refusal { failure } else { failure.perhaps_done() })
}
