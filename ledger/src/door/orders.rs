//! Erasures and holds: one person asks, with the role compliance, and another approves, with the role approver.
//!
//! Who asked for what, who approved, and what was refused and why is recorded before it is answered.

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{Extensions, HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use identity::Principal;
use proto::Role;
use proto::kind::Kind;
use proto::v1::evidence_accessed::{Door, Result as Outcome};
use proto::v1::{EvidenceAccessed, Slot};
use serde::Deserialize;
use serde_json::{Value, json};
use tonic::Status;

use super::Doors;
use super::access::Client;
use super::problem::{problem, refusal};
use crate::erase::Erasures;
use crate::erase::order::{self, OrderError, Request};

/// An order has a scope and a reason.
const MAX_BODY_BYTES: usize = 64 << 10;

pub(super) fn router(doors: Doors) -> Router {
    Router::new()
        .route("/v1/orders", post(ask).get(waiting))
        .route("/v1/orders/{id}/approve", post(approve))
        .route("/v1/orders/{id}/withdraw", post(withdraw))
        .route("/v1/holds", get(holds))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(doors)
}

/// Takes an order, which waits for its approval.
async fn ask(
    State(doors): State<Doors>,
    extensions: Extensions,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let visitor = match Visitor::admit(&doors, &headers, &extensions, &[Role::Compliance]).await {
        Ok(visitor) => visitor,
        Err(refused) => return refused,
    };
    let request: Request = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => {
            let error = OrderError::Unusable(format!("the order cannot be read: {error}"));
            return visitor.answer(&doors, json!({ "ask": null }), Err(error)).await;
        }
    };
    // Scope and reason are what somebody typed; the order that is carried out says them.
    let asked = json!({ "ask": request.kind() });
    let outcome = visitor.erasures.ask(request, visitor.principal.clone()).await;
    visitor.answer(&doors, asked, outcome).await
}

/// What an approver takes the order for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Approval {
    /// `erase`, `hold` or `release`; an order of another kind is refused. Left out: whatever it is.
    #[serde(default)]
    kind: Option<String>,
}

impl Approval {
    fn read(body: &Bytes) -> Result<Self, OrderError> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_slice(body)
            .map_err(|error| OrderError::Unusable(format!("the approval cannot be read: {error}")))
    }
}

/// Carries an order out.
async fn approve(
    State(doors): State<Doors>,
    Path(id): Path<String>,
    extensions: Extensions,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let visitor = match Visitor::admit(&doors, &headers, &extensions, &[Role::Approver]).await {
        Ok(visitor) => visitor,
        Err(refused) => return refused,
    };
    let outcome = match order::id(&id) {
        Ok(id) => match Approval::read(&body) {
            Ok(Approval { kind }) => {
                visitor.erasures.approve(id, kind, visitor.principal.clone()).await
            }
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    // What somebody wrote for an id is no text to keep.
    let id = order::id(&id).map(|id| id.to_string()).unwrap_or_default();
    visitor.answer(&doors, json!({ "approve": id }), outcome).await
}

/// Takes an order back, before somebody approves what was a mistake.
async fn withdraw(
    State(doors): State<Doors>,
    Path(id): Path<String>,
    extensions: Extensions,
    headers: HeaderMap,
) -> Response {
    let roles = [Role::Compliance, Role::Approver];
    let visitor = match Visitor::admit(&doors, &headers, &extensions, &roles).await {
        Ok(visitor) => visitor,
        Err(refused) => return refused,
    };
    let id = order::id(&id);
    let asked = json!({ "withdraw": id.as_ref().map(ToString::to_string).unwrap_or_default() });
    let outcome = match id {
        Ok(id) => visitor.erasures.withdraw(id).await,
        Err(error) => Err(error),
    };
    visitor.answer(&doors, asked, outcome).await
}

/// Who may look: those who have to do with orders, and those who check them.
const LOOKERS: [Role; 4] = [Role::Compliance, Role::Approver, Role::Auditor, Role::Admin];

async fn waiting(
    State(doors): State<Doors>,
    extensions: Extensions,
    headers: HeaderMap,
) -> Response {
    match Visitor::admit(&doors, &headers, &extensions, &LOOKERS).await {
        Ok(visitor) => {
            let orders = visitor.erasures.waiting();
            visitor
                .answer(&doors, json!({ "list": "orders" }), Ok(json!({ "orders": orders })))
                .await
        }
        Err(refused) => refused,
    }
}

async fn holds(State(doors): State<Doors>, extensions: Extensions, headers: HeaderMap) -> Response {
    match Visitor::admit(&doors, &headers, &extensions, &LOOKERS).await {
        Ok(visitor) => {
            let holds = visitor.erasures.holds().await;
            visitor.answer(&doors, json!({ "list": "holds" }), Ok(json!({ "holds": holds }))).await
        }
        Err(refused) => refused,
    }
}

/// Somebody who may be here.
struct Visitor {
    principal: Principal,
    role: Role,
    client: Client,
    erasures: std::sync::Arc<Erasures>,
}

impl Visitor {
    /// Knows the caller by its token, and finds one of `roles` among its own; records whoever is turned away.
    async fn admit(
        doors: &Doors,
        headers: &HeaderMap,
        extensions: &Extensions,
        roles: &[Role],
    ) -> Result<Self, Response> {
        let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let known = doors.know(header, extensions).await;
        let (principal, client) = known.map_err(|status| refusal(&status))?;
        let role = roles.iter().find(|role| principal.has_role(role.as_str()));
        let (Some(role), Some(erasures)) = (role, doors.erasures.clone()) else {
            let message = match role {
                None => format!(
                    "this needs the role {}",
                    roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(" or ")
                ),
                Some(_) => "this ledger is read-only: nothing can be ordered here".to_owned(),
            };
            let code = if role.is_none() { "role_missing" } else { "read_only" };
            let asked = json!({ "refused": code });
            let recorded = record(doors, Outcome::Denied, None, &principal, &client, &asked);
            recorded.await.map_err(|status| refusal(&status))?;
            return Err(problem(StatusCode::FORBIDDEN, code, &message));
        };
        Ok(Self { principal, role: *role, client, erasures })
    }

    /// Records what was asked and what came of it, then answers.
    async fn answer(
        &self,
        doors: &Doors,
        mut asked: Value,
        outcome: Result<Value, OrderError>,
    ) -> Response {
        let result = match &outcome {
            Ok(done) => {
                // Lists are not written down again and again.
                if asked.get("list").is_none() {
                    asked["outcome"] = done.clone();
                }
                Outcome::Allowed
            }
            Err(error) => {
                asked["refused"] = error.code().into();
                if let OrderError::Held(holds) = error {
                    asked["holds"] = holds.clone().into();
                }
                Outcome::Refused
            }
        };
        let recorded =
            record(doors, result, Some(self.role), &self.principal, &self.client, &asked).await;
        if let Err(status) = recorded {
            return refusal(&status);
        }
        match outcome {
            Ok(done) => (StatusCode::OK, Json(done)).into_response(),
            Err(error) => refused(&error),
        }
    }
}

async fn record(
    doors: &Doors,
    result: Outcome,
    role: Option<Role>,
    principal: &Principal,
    client: &Client,
    asked: &Value,
) -> Result<(), Status> {
    let kind = Kind::EvidenceAccessed(EvidenceAccessed {
        door: Door::Orders.into(),
        result: result.into(),
        role: role.map(|role| role.as_str().to_owned()).unwrap_or_default(),
        checkpoint_size: doors.published.borrow().checkpoint.size.0,
        ..EvidenceAccessed::default()
    });
    doors.write_down_asked(kind, principal, client, (Slot::Query, asked)).await
}

fn refused(error: &OrderError) -> Response {
    let status = match error {
        OrderError::Unusable(_) => StatusCode::BAD_REQUEST,
        OrderError::Unknown(_)
        | OrderError::UnknownHold(_)
        | OrderError::Nothing
        | OrderError::AlreadyErased(_) => StatusCode::NOT_FOUND,
        OrderError::SamePerson => StatusCode::FORBIDDEN,
        OrderError::Held(_)
        | OrderError::HoldsDamaged(_)
        | OrderError::Open(_)
        | OrderError::ClassForbids(_)
        | OrderError::OtherKind { .. }
        | OrderError::TooManyHolds => StatusCode::CONFLICT,
        OrderError::TooLarge { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        OrderError::TooManyOrders => StatusCode::TOO_MANY_REQUESTS,
        OrderError::Store(error) | OrderError::Partly { error, .. } => {
            tracing::error!(%error, "an order could not be carried out");
            StatusCode::INTERNAL_SERVER_ERROR
        }
        OrderError::Stopped(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut body = json!({
        "code": error.code(), "message": error.to_string(), "nothing_done": error.is_certain()
    });
    if let OrderError::Held(holds) = error {
        body["holds"] = holds.clone().into();
    }
    (status, Json(body)).into_response()
}
