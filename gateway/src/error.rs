//! The JSON-RPC errors that the gateway itself gives.
//!
//! Its own codes lie outside −32768..−32000, which JSON-RPC and MCP keep for themselves; where MCP defines a
//! code for the case, that one is used.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::message::RequestId;

/// MCP: a header does not say what the body says.
pub(crate) const HEADER_MISMATCH: i64 = -32020;
/// No, or no good, access token; or too few scopes.
pub(crate) const UNAUTHENTICATED: i64 = -31401;
/// No policy permits it, or its session belongs to somebody else, or its origin is not accepted.
pub(crate) const DENIED: i64 = -31403;
/// No such server, or no such session.
pub(crate) const NOT_FOUND: i64 = -31404;
/// Larger than the bound.
pub(crate) const TOO_LARGE: i64 = -31413;
/// The caller has taken all that is its.
pub(crate) const TOO_MANY: i64 = -31429;
/// A policy forbids it.
pub(crate) const BLOCKED: i64 = -31451;
/// The server could not be reached or did not speak as it must; nothing of its answer is passed on.
pub(crate) const BAD_UPSTREAM: i64 = -31502;
/// It could not be recorded, so it was not done, or its answer is withheld.
pub(crate) const UNRECORDED: i64 = -31503;
/// It was forwarded, and what became of it is unknown.
pub(crate) const AMBIGUOUS: i64 = -31504;

/// An error as the caller is told.
#[derive(Debug)]
pub(crate) struct Told {
    /// HTTP status, when the answer has not begun.
    pub(crate) status: StatusCode,
    /// JSON-RPC error code.
    pub(crate) code: i64,
    /// What was wrong, where, and what to do.
    pub(crate) message: String,
    /// Policies that decided.
    pub(crate) policies: Vec<String>,
    /// Headers of the answer besides its content type.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Told {
    pub(crate) fn new(status: StatusCode, code: i64, message: impl Into<String>) -> Told {
        Told { status, code, message: message.into(), policies: Vec::new(), headers: Vec::new() }
    }

    /// The JSON-RPC error response for the request `id`, `null` when there is none.
    pub(crate) fn body(&self, id: Option<&RequestId>) -> Bytes {
        #[derive(Serialize)]
        struct Message<'m> {
            jsonrpc: &'static str,
            id: &'m RawValue,
            error: Error<'m>,
        }
        #[derive(Serialize)]
        struct Error<'m> {
            code: i64,
            message: &'m str,
            #[serde(skip_serializing_if = "Option::is_none")]
            data: Option<Data<'m>>,
        }
        #[derive(Serialize)]
        struct Data<'m> {
            policy_ids: &'m [String],
        }
        let id = id.and_then(|id| serde_json::from_str(id.raw()).ok()).unwrap_or(RawValue::NULL);
        let data = (!self.policies.is_empty()).then_some(Data { policy_ids: &self.policies });
        let error = Error { code: self.code, message: &self.message, data };
        // Strings, numbers and a checked token serialize; were it otherwise, the status still tells.
        serde_json::to_vec(&Message { jsonrpc: "2.0", id, error }).unwrap_or_default().into()
    }

    /// The whole HTTP answer.
    pub(crate) fn response(&self, id: Option<&RequestId>) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body(id)));
        *response.status_mut() = self.status;
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        response.headers_mut().extend(self.headers.iter().cloned());
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use controls::json::Document;

    #[test]
    fn the_error_carries_the_id_as_it_came() {
        let mut told = Told::new(StatusCode::OK, DENIED, "no \"policy\"");
        let id = RequestId::of(Document::parse(br#""\u0061""#).unwrap().root());
        assert_eq!(
            &told.body(id.as_ref())[..],
            br#"{"jsonrpc":"2.0","id":"\u0061","error":{"code":-31403,"message":"no \"policy\""}}"#
        );
        told.policies = vec!["p1".to_owned()];
        let body = String::from_utf8(told.body(None).to_vec()).unwrap();
        assert!(
            body.contains(r#""id":null"#) && body.ends_with(r#""data":{"policy_ids":["p1"]}}}"#),
            "{body}"
        );
    }

    #[test]
    fn own_codes_lie_outside_the_reserved_range() {
        for code in [
            UNAUTHENTICATED,
            DENIED,
            NOT_FOUND,
            TOO_LARGE,
            TOO_MANY,
            BLOCKED,
            BAD_UPSTREAM,
            UNRECORDED,
            AMBIGUOUS,
        ] {
            assert!(!(-32768..=-32000).contains(&code));
        }
    }
}
