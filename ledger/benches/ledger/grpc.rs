//! Over gRPC, the load generator on the same machine: eight recorders at once, and one alone.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use axum::serve::ListenerExt;
use ledger::{Ledger, LedgerConfig, Options};
use proto::append::challenge_text;
use proto::v1::append_request::Frame as Request;
use proto::v1::append_response::Frame as Response;
use proto::v1::ledger_client::LedgerClient;
use proto::v1::{Answer, AppendRequest, AppendResponse, Events, NewEvent, Open};
use tlog::SigningKey;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Barrier, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::events::{Chain, ORIGIN};
use crate::measure::{Failure, Times, median};
use crate::raw;
use crate::table::{Line, Table, Target, number};

const RECORDERS: u8 = 8;
/// Events of one frame, as a recorder under load cuts them, and frames that one recorder has on their way.
const FRAME_EVENTS: usize = 512;
const FRAMES_IN_FLIGHT: usize = 4;
const FRAMES: usize = 60;
const ROUNDS: usize = 3;

pub(crate) fn run(runtime: &Runtime, dir: &Path, table: &mut Table) -> Result<(), Failure> {
    // The generator's own threads: the ledger's are not held up by its work, only by its share of the processors.
    let generator = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let rates: Result<Vec<_>, _> = (0..ROUNDS).map(|_| rate(runtime, &generator, dir)).collect();
    let rate = median(rates?);
    table.push(Line {
        what: format!("append over gRPC, {RECORDERS} recorders, frames of {FRAME_EVENTS}"),
        ours: format!("{} events/s", number(rate)),
        baseline: String::new(),
        judged: rate,
        target: Target::AtLeast(60_000.0),
    });
    lone(runtime, &generator, dir, table)
}

fn rate(ledger: &Runtime, generator: &Runtime, dir: &Path) -> Result<f64, Failure> {
    let folder = tempfile::tempdir_in(dir)?;
    let mut parts = Vec::new();
    for number in 0..RECORDERS {
        let mut chain = Chain::new(number, true)?;
        let frames = chain.frames(FRAMES, FRAME_EVENTS)?;
        parts.push((chain, frames));
    }
    let served = Served::start(ledger, folder.path(), parts.iter().map(|(chain, _)| chain))?;
    let begin = Arc::new(Barrier::new(usize::from(RECORDERS) + 1));
    let seconds = generator.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for (chain, frames) in parts {
            let (address, begin) = (served.address, Arc::clone(&begin));
            tasks.spawn(async move {
                let mut stream = Stream::open(address, &chain).await?;
                begin.wait().await;
                stream.append_all(frames).await
            });
        }
        begin.wait().await;
        let start = Instant::now();
        while let Some(appended) = tasks.join_next().await {
            appended??;
        }
        Ok::<_, Failure>(start.elapsed().as_secs_f64())
    })?;
    served.stop(ledger);
    Ok((usize::from(RECORDERS) * FRAMES * FRAME_EVENTS) as f64 / seconds)
}

fn lone(
    ledger: &Runtime,
    generator: &Runtime,
    dir: &Path,
    table: &mut Table,
) -> Result<(), Failure> {
    const EVENTS: usize = 2_000;
    let writes = raw::commits(ledger, EVENTS, 1)?;
    let (mut ours, mut rocksdb) = (Times::default(), Times::default());
    for _ in 0..ROUNDS {
        let folder = tempfile::tempdir_in(dir)?;
        rocksdb.extend(raw::rocksdb(folder.path(), &writes)?);
        let mut chain = Chain::new(0, true)?;
        let frames = chain.frames(EVENTS, 1)?;
        let served = Served::start(ledger, folder.path(), [&chain])?;
        let times = generator.block_on(async {
            let mut stream = Stream::open(served.address, &chain).await?;
            let mut times = Times::default();
            for frame in frames {
                let start = Instant::now();
                stream.send(Request::Events(Events { events: frame })).await?;
                stream.acknowledged().await?;
                times.push(start.elapsed());
            }
            Ok::<_, Failure>(times)
        })?;
        served.stop(ledger);
        ours.extend(times);
    }
    let (ours, raw) = (ours.quantile_us(0.5), rocksdb.quantile_us(0.5));
    table.push(Line {
        what: "one lone recorder, over gRPC, p50, µs over 1.2 × RocksDB".into(),
        ours: format!("{} µs", number(ours)),
        baseline: format!("RocksDB commit {} µs", number(raw)),
        judged: ours - 1.2 * raw,
        target: Target::AtMost(200.0),
    });
    Ok(())
}

/// A whole ledger behind a port.
struct Served {
    address: SocketAddr,
    ledger: Ledger,
    serving: tokio::task::JoinHandle<()>,
}

impl Served {
    fn start<'a>(
        runtime: &Runtime,
        folder: &Path,
        chains: impl IntoIterator<Item = &'a Chain>,
    ) -> Result<Self, Failure> {
        let vkeys: Vec<_> =
            chains.into_iter().map(|chain| chain.key.verifying_key().to_string()).collect();
        let config: LedgerConfig = serde_json::from_value(serde_json::json!({
            "data_dir": folder.join("ledger"),
            "log_key_file": write_key(folder, &SigningKey::from_seed(ORIGIN, [101; 32])?)?,
            "recorder_key_file": write_key(folder, &SigningKey::from_seed("ledger", [102; 32])?)?,
            "recorders": vkeys,
        }))?;
        runtime.block_on(async {
            let ledger = Ledger::start(config, Options::default()).await?;
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap_or_default());
            let router = ledger.router();
            let serving = tokio::spawn(async move {
                axum::serve(listener, router).await.unwrap_or_default();
            });
            Ok(Self { address, ledger, serving })
        })
    }

    fn stop(self, runtime: &Runtime) {
        runtime.block_on(self.ledger.stop());
        self.serving.abort();
    }
}

fn write_key(folder: &Path, key: &SigningKey) -> Result<PathBuf, Failure> {
    let path = folder.join(format!("{}.key", key.name().replace('/', "-")));
    fs::write(&path, &*key.encode())?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    Ok(path)
}

/// A recorder's stream that is open.
struct Stream {
    frames: mpsc::Sender<AppendRequest>,
    answers: Streaming<AppendResponse>,
}

impl Stream {
    async fn open(address: SocketAddr, chain: &Chain) -> Result<Self, Failure> {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}"))?;
        let channel = endpoint.tcp_nodelay(true).connect().await?;
        let (frames, outgoing) = mpsc::channel(FRAMES_IN_FLIGHT);
        let mut client = LedgerClient::new(channel).max_encoding_message_size(64 << 20);
        let name = chain.key.name().to_owned();
        let open = Open { recorder_id: name.clone(), epoch: chain.epoch.to_bytes() };
        frames.send(AppendRequest { frame: Some(Request::Open(open)) }).await?;
        let answers = client.append(ReceiverStream::new(outgoing)).await?.into_inner();
        let mut stream = Self { frames, answers };
        let Response::Challenge(challenge) = stream.next().await? else {
            return Err("no challenge".into());
        };
        let text = challenge_text(ORIGIN, &name, chain.epoch, &challenge.nonce);
        let signature = chain.key.sign_bytes(text.as_bytes()).to_vec().into();
        stream.send(Request::Answer(Answer { signature })).await?;
        let Response::Opened(_) = stream.next().await? else { return Err("not opened".into()) };
        Ok(stream)
    }

    async fn append_all(&mut self, frames: Vec<Vec<NewEvent>>) -> Result<(), Failure> {
        let mut waiting = 0;
        for events in frames {
            while waiting >= FRAMES_IN_FLIGHT * FRAME_EVENTS {
                waiting -= self.acknowledged().await?;
            }
            waiting += events.len();
            self.send(Request::Events(Events { events })).await?;
        }
        while waiting > 0 {
            waiting -= self.acknowledged().await?;
        }
        Ok(())
    }

    async fn send(&self, frame: Request) -> Result<(), Failure> {
        Ok(self.frames.send(AppendRequest { frame: Some(frame) }).await?)
    }

    async fn acknowledged(&mut self) -> Result<usize, Failure> {
        match self.next().await? {
            Response::Acknowledged(acknowledged) => Ok(acknowledged.events.len()),
            other => Err(format!("no acknowledgement: {other:?}").into()),
        }
    }

    async fn next(&mut self) -> Result<Response, Failure> {
        let answer = self.answers.message().await?.ok_or("the stream ended")?;
        Ok(answer.frame.ok_or("an empty frame")?)
    }
}
