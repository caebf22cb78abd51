//! The ledger's doors: gRPC for recorders and followers, HTTP for tiles.

mod access;
pub(crate) mod append;
mod backups;
mod knocks;
mod orders;
mod problem;
mod signed_root;
mod status;
pub(crate) mod strangers;
mod subscribe;
mod subscriptions;
#[cfg(test)]
mod tests;
mod tiles;

use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::IntoResponse;
use futures_util::Stream;
use proto::v1::ledger_server::{Ledger as LedgerService, LedgerServer};
use proto::v1::{AppendRequest, AppendResponse, SubscribeRequest, SubscribeResponse};
use tlog::VerifyingKey;
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};

pub(crate) use self::knocks::Knocks;
pub(crate) use self::signed_root::RootSigner;
use self::strangers::Stranger;
pub(crate) use self::subscriptions::Subscriptions;
use crate::backup::Backups;
use crate::erase::Erasures;
use crate::health::Health;
use crate::own::OwnRecorder;
use crate::publish::Published;
use crate::registry::Registry;
use crate::sequencer::Sequencer;
use crate::store::Store;
use crate::tree::TreeReader;

/// Largest gRPC message of a known caller: two of the largest disclosures (a message and the decision over it) and
/// their leaf.
const MAX_GRPC_BYTES: usize = 40 << 20;

/// What the doors need; cheap to clone.
#[derive(Clone)]
pub(crate) struct Doors {
    pub(crate) log: VerifyingKey,
    pub(crate) registry: Arc<Registry>,
    pub(crate) sequencer: Sequencer,
    pub(crate) own: OwnRecorder,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) tree: TreeReader,
    pub(crate) published: watch::Receiver<Arc<Published>>,
    pub(crate) readers: identity::Verifier,
    pub(crate) subscriptions: Arc<Subscriptions>,
    pub(crate) audience: Arc<str>,
    pub(crate) health: Health,
    pub(crate) knocks: Arc<Knocks>,
    pub(crate) root_signer: Arc<RootSigner>,
    /// Where the ledger puts backups of itself, if anywhere.
    pub(crate) backups: Option<Arc<Backups>>,
    /// Who carries out erasures and holds; nobody when the ledger is read-only.
    pub(crate) erasures: Option<Arc<Erasures>>,
    /// Why nothing can be recorded, when the ledger only shows an older copy.
    pub(crate) read_only: Option<Arc<str>>,
}

impl Doors {
    /// All doors on one router: HTTP/1.1, HTTP/2 and gRPC.
    pub(crate) fn router(self) -> Router {
        let service = LedgerServer::new(self.clone())
            .max_decoding_message_size(MAX_GRPC_BYTES)
            .max_encoding_message_size(MAX_GRPC_BYTES);
        let grpc = tonic::service::Routes::new(service).prepare().into_axum_router();
        strangers::bound(grpc)
            .merge(backups::router(self.clone()))
            .merge(orders::router(self.clone()))
            .merge(tiles::router(self))
            .fallback(unknown)
    }
}

/// What is not there: told in the language of the asker, so that a probe of a wrong path does not look healthy.
async fn unknown(request: axum::extract::Request) -> axum::response::Response {
    let is_grpc = |value: &HeaderValue| value.as_bytes().starts_with(b"application/grpc");
    if request.headers().get(CONTENT_TYPE).is_some_and(is_grpc) {
        return Status::unimplemented("the ledger has no such method").into_http();
    }
    let message = "nothing is here: see /checkpoint, /checkpoint.cose, /tile/…, /healthz, /readyz and /metrics";
    let body = serde_json::json!({ "code": "not_found", "message": message });
    (StatusCode::NOT_FOUND, axum::Json(body)).into_response()
}

type Reply<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl LedgerService for Doors {
    type AppendStream = Reply<AppendResponse>;
    type SubscribeStream = Reply<SubscribeResponse>;

    async fn append(
        &self,
        mut request: Request<Streaming<AppendRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        if let Some(reason) = &self.read_only {
            return Err(status::read_only(reason));
        }
        let caller = request.extensions_mut().remove::<Stranger>().unwrap_or_default();
        Ok(Response::new(append::open(self.clone(), caller, request.into_inner())))
    }

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        subscribe::open(self.clone(), request).await.map(Response::new)
    }
}
