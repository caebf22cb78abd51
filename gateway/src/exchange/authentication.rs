//! Who calls.

use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use identity::{AuthError, BearerToken, Principal};
use proto::v1::AuthMethod;
use proto::v1::authentication_failed::Reason;

use super::Exchange;
use super::refusal::Refusal;
use crate::http::headers;
use crate::route::Route;

impl Exchange {
    /// Who calls? On an open route nobody asks.
    pub(super) async fn authenticate(&mut self, route: &Route) -> Result<(), Refusal> {
        if route.open {
            self.principal = Some(Principal::unauthenticated());
            self.call.auth_method = AuthMethod::None.into();
            return Ok(());
        }
        let scope = route.scope_words();
        let authorization = match self.headers.get_all(AUTHORIZATION).iter().count() {
            0 => Ok(None),
            1 => headers::text(&self.headers, &AUTHORIZATION)
                .map(Some)
                .ok_or(AuthError::Malformed("the Authorization header is not ASCII")),
            _ => Err(AuthError::Malformed("there is more than one Authorization header")),
        };
        let authenticated = match authorization.and_then(BearerToken::from_header) {
            Ok(token) => self.shared.verifier.authenticate(token.as_str(), &route.audience).await,
            Err(error) => Err(error),
        };
        // Nothing after this point needs the credential.
        self.headers.remove(AUTHORIZATION);
        let principal = authenticated.map_err(|error| {
            let said = error.to_string();
            let problem = error.challenge_error().map(|code| (code, said.as_str()));
            let challenge = identity::challenge(&route.metadata_url, scope.as_deref(), problem);
            let status =
                StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::UNAUTHORIZED);
            Refusal::unauthenticated(
                proto::names::authentication_failure(error.code()),
                status,
                said.clone(),
                &challenge,
            )
        })?;
        self.call.auth_method = auth_method(&principal).into();
        let lacking: Vec<&str> = route
            .scopes
            .iter()
            .filter(|scope| !principal.has_scope(scope))
            .map(String::as_str)
            .collect();
        let refused = (!lacking.is_empty()).then(|| {
            let said = format!(
                "the token lacks the scopes {}: request one that has them",
                lacking.join(" ")
            );
            let problem = Some(("insufficient_scope", said.as_str()));
            let challenge = identity::challenge(&route.metadata_url, scope.as_deref(), problem);
            let status = StatusCode::FORBIDDEN;
            Refusal::unauthenticated(Reason::InsufficientScope, status, said.clone(), &challenge)
        });
        self.principal = Some(principal);
        refused.map_or(Ok(()), Err)
    }
}

/// An issuer is a URL, a machine's name never has a colon.
fn auth_method(principal: &Principal) -> AuthMethod {
    if principal.issuer.contains(':') { AuthMethod::Bearer } else { AuthMethod::Machine }
}
