//! `exhibit witness`: a witness that an auditor can run at home.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use tlog::WitnessSigningKey;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::say::say;
use crate::serve;
use crate::stop_signal::StopSignal;
use crate::vkey;

#[derive(Debug, Args)]
pub(crate) struct Witness {
    /// File with the witness's key (`exhibit keygen NAME --witness`), mode 0600
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// vkey of a log that is witnessed, whose name is the origin; once for each key of each log
    #[arg(long, value_name = "VKEY", required = true)]
    log: Vec<String>,
    /// Folder in which the witness remembers what it cosigned; it belongs to the key, and must never go back
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Address on which logs submit checkpoints
    #[arg(long, default_value = "127.0.0.1:7604", value_name = "ADDRESS")]
    listen: SocketAddr,
}

impl Witness {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let text = keys::read_text(&self.key).map_err(|error| Failure::unusable("key", error))?;
        let key = WitnessSigningKey::parse(&text).map_err(|error| {
            let file = self.key.display();
            let message =
                format!("{file}: {error}; `exhibit keygen NAME --witness` makes such keys");
            Failure::unusable("key", message)
        })?;
        let logs = vkey::read_all("--log", &self.log)?;
        let witness = ::witness::Witness::open(key, &logs, &self.state)
            .map_err(|error| Failure::failed("witness_state", error))?;
        let mut signal = StopSignal::listen()?;
        let metrics = serve::install_metrics();
        let (listener, address) = serve::bind("witness", self.listen).await?;
        if !address.ip().is_loopback() {
            eprintln!(
                "warning: {address} is reached from other machines, and speaks plain HTTP: let something before it speak TLS"
            );
        }
        say!("witness  http://{address}");
        let state = self.state.canonicalize().unwrap_or(self.state);
        for (origin, size) in witness.remembered() {
            let origin = proto::terminal::shown(origin);
            match size {
                Some(size) => {
                    say!("memory   {origin}: cosigned at {size} entries, in {}", state.display());
                }
                None => {
                    say!(
                        "memory   {origin}: NEW, nothing was cosigned yet, in {}",
                        state.display()
                    );
                }
            }
        }
        let key = witness.key();
        say!("policy   witness {} {key} http://{address}", key.name());
        let router = serve::with_metrics(::witness::router(Arc::new(witness)), metrics);
        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve::serve(listener, router, stop.clone()));
        signal.received().await;
        stop.cancel();
        serving.await.map_err(|error| Failure::failed("witness", error))
    }
}
