//! The MCP server behind a route: one pooled client, the gateway's own credentials, nothing of the caller's.

use std::time::Duration;

use axum::http::{HeaderMap, Method};
use bytes::Bytes;
use url::Url;

/// A server and how to reach it.
pub(crate) struct Upstream {
    client: reqwest::Client,
    url: Url,
    credentials: HeaderMap,
}

/// Why there is no response. The reasons name no URL: it may hold a secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// Nothing was sent.
    #[error("{0}")]
    NotSent(String),
    /// Something may have been sent.
    #[error("{0}")]
    Lost(String),
}

impl Upstream {
    /// A client for `url`: no redirects (they would lead around the gateway), no proxy, no decompression.
    ///
    /// # Errors
    /// Why there is no client.
    pub(crate) fn new(
        url: Url,
        credentials: HeaderMap,
        connect_wait: Duration,
    ) -> Result<Upstream, String> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(connect_wait)
            .tcp_keepalive(Duration::from_secs(60))
            .tcp_nodelay(true)
            .build()
            .map_err(|error| reason(&error.without_url()))?;
        Ok(Upstream { client, url, credentials })
    }

    /// Sends one request and waits for the head of the response. Dropping the future, or the response, closes
    /// the exchange with the server.
    ///
    /// # Errors
    /// [`UpstreamError`], which tells whether the server may have got the request.
    pub(crate) async fn send(
        &self,
        method: Method,
        mut headers: HeaderMap,
        body: Option<Bytes>,
    ) -> Result<reqwest::Response, UpstreamError> {
        for (name, value) in &self.credentials {
            headers.insert(name, value.clone());
        }
        let mut request = self.client.request(method, self.url.clone()).headers(headers);
        if let Some(body) = body {
            request = request.body(body);
        }
        request.send().await.map_err(|error| {
            let not_sent = error.is_connect() || error.is_builder();
            let reason = reason(&error.without_url());
            if not_sent { UpstreamError::NotSent(reason) } else { UpstreamError::Lost(reason) }
        })
    }
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream").finish_non_exhaustive()
    }
}

/// An error with its causes.
pub(crate) fn reason(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |&cause| cause.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
