//! The order in which things happen. It is the invariant: nothing is forwarded that was not decided and
//! recorded, nothing is released that was not masked and recorded.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;
use tokio::sync::oneshot;

use super::Exchange;
use super::caller::Caller;
use super::closing::Ending;
use super::refusal::Refusal;
use super::watch::Watch;
use crate::http::forwarded;
use crate::route::Route;
use crate::start::Shared;
use crate::upstream::UpstreamError;

/// Carries out one exchange to its recorded end, whatever becomes of the caller.
pub(crate) async fn run(
    shared: Arc<Shared>,
    server: String,
    peer: Option<SocketAddr>,
    request: Request,
    answer: oneshot::Sender<Response<Body>>,
) {
    let (parts, body) = request.into_parts();
    let mut exchange = Exchange::new(shared, peer, parts);
    let mut caller = Caller::new(answer);
    match exchange.admit(&server, body).await {
        Ok(route) => {
            if let Err(ending) = exchange.carry_out(&route, &mut caller).await {
                exchange.end(ending, &mut caller).await;
            }
        }
        Err(refusal) => {
            let told = exchange.refuse(refusal).await;
            caller.answer(told.response(exchange.request_id()));
        }
    }
    exchange.count();
}

impl Exchange {
    /// Everything before the server hears of it.
    async fn admit(&mut self, server: &str, body: Body) -> Result<Arc<Route>, Refusal> {
        self.check_capacity()?;
        let route = self.find_route(server)?;
        self.check_origin()?;
        self.authenticate(&route).await?;
        self.take_place(&route)?;
        let undeclared = self.read_message(&route, body).await?;
        self.join_session(&route)?;
        let judged = self.judge(&route, undeclared).await?;
        self.record_request(judged).await?;
        Ok(route)
    }

    /// Forwards what was admitted, and relays what comes back.
    async fn carry_out(&mut self, route: &Route, caller: &mut Caller) -> Result<(), Ending> {
        let mut watch = Watch::new(self);
        let with_session = !self.forgoes_session();
        let forwarded = forwarded::forwarded(&self.headers, self.message.as_ref(), with_session);
        let body = self.message.as_mut().map(|message| std::mem::take(&mut message.bytes));
        let sent = route.upstream.send(self.method.clone(), forwarded, body);
        let answered = watch.over(sent, caller).await;
        // The server has the message, or will never get it.
        self.claim = None;
        let response = match answered? {
            Ok(response) => response,
            Err(UpstreamError::NotSent(reason)) => return Err(Ending::Unreachable(reason)),
            Err(UpstreamError::Lost(reason)) => return Err(Ending::Ambiguous(reason)),
        };
        self.relay(route, response, watch, caller).await
    }
}
