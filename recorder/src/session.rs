//! The one task behind a recorder: it numbers, sends, resends, seals and watches.
//!
//! Events are numbered only while a stream is open, so what was never sent leaves no gap when its caller gives
//! up. What was sent is kept until the ledger says that it is durable; a broken stream is opened anew and the
//! rest sent again, in the same order, under the same numbers.

use std::time::{Duration, Instant};

use proto::kind::Kind;
use proto::v1::append_request::Frame as Request;
use proto::v1::append_response::Frame as Response;
use proto::v1::{ChainHead as WireHead, Events, NewEvent, RecorderStopped};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior};

use crate::address::LedgerAddress;
use crate::away::Away;
use crate::chain::Chain;
use crate::config::Limits;
use crate::connection::{self, Broken, Connection};
use crate::draft::Draft;
use crate::frames::{MAX_FRAME_EVENTS, frames};
use crate::health::{Health, HealthSender};
use crate::signing;
use crate::unacknowledged::{Contradiction, Reply, Unacknowledged};
use crate::watch::Watcher;

/// How often the state is looked at: seals while active, proofs.
const TICK: Duration = Duration::from_secs(1);
/// Longest time between two seals of an idle recorder.
const IDLE_SEAL: Duration = Duration::from_secs(10);
/// A key that did not sign is asked again after so long. Meanwhile nothing can be numbered, since a seal follows right
/// after what it seals.
const SIGN_AGAIN: Duration = Duration::from_secs(5);
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(2);
/// Commands that are taken together hold up to about this many bytes.
const MAX_TAKEN_BYTES: usize = 4 << 20;

/// What the handle asks of the session.
pub(crate) enum Command {
    Record { drafts: Vec<Draft>, reply: Reply, budget: OwnedSemaphorePermit },
    Previous { reply: oneshot::Sender<Option<WireHead>> },
    Stop { drained: bool, reply: oneshot::Sender<()> },
}

pub(crate) struct Session {
    ledger: LedgerAddress,
    chain: Chain,
    limits: Limits,
    commands: mpsc::Receiver<Command>,
    health: HealthSender,
    unacknowledged: Unacknowledged,
    watcher: Watcher,
    previous: Option<WireHead>,
    sealed: Sealed,
    stopping: Option<oneshot::Sender<()>>,
    away: Away,
}

/// What has happened since the last seal.
struct Sealed {
    at: Instant,
    events_since: u64,
    /// Since when the key does not sign, and until when it is not asked again.
    refused: Option<(Instant, Instant)>,
}

/// Why a stream is over.
enum End {
    Broken(Broken),
    Contradicted(Contradiction),
    /// Everything is recorded, or nobody is left who could record.
    Done,
}

impl From<Broken> for End {
    fn from(broken: Broken) -> Self {
        End::Broken(broken)
    }
}

impl From<Contradiction> for End {
    fn from(contradiction: Contradiction) -> Self {
        End::Contradicted(contradiction)
    }
}

impl Session {
    pub(crate) fn new(
        ledger: LedgerAddress,
        watcher: Watcher,
        chain: Chain,
        limits: Limits,
        commands: mpsc::Receiver<Command>,
        health: HealthSender,
    ) -> Self {
        Self {
            ledger,
            chain,
            limits,
            commands,
            health,
            unacknowledged: Unacknowledged::default(),
            watcher,
            previous: None,
            sealed: Sealed { at: Instant::now(), events_since: 0, refused: None },
            stopping: None,
            away: Away::default(),
        }
    }

    /// Runs until stopped, refused, or every handle is gone.
    pub(crate) async fn run(mut self) {
        let mut retry = FIRST_RETRY;
        let last = loop {
            let mut pause = Duration::ZERO;
            let (end, served) = match self.connect().await {
                Ok(connection) => (self.serve(connection).await, true),
                Err(end) => (end, false),
            };
            match end {
                End::Done => break Health::Stopped,
                End::Contradicted(Contradiction { code, message }) => {
                    break Health::Refused { code: code.to_owned(), message };
                }
                End::Broken(Broken::Refused { code, message }) => {
                    break Health::Refused { code, message };
                }
                End::Broken(Broken::Retry(reason)) => self.lost(reason),
                End::Broken(Broken::Later { reason, pause: asked }) => {
                    self.lost(reason);
                    pause = asked;
                }
            }
            if self.commands.is_closed() && self.commands.is_empty() {
                break Health::Stopped;
            }
            retry = if served { FIRST_RETRY } else { (retry * 2).min(LAST_RETRY) };
            tokio::time::sleep(retry.max(pause)).await;
        };
        if let Health::Refused { code, message } = &last {
            tracing::error!(%code, %message, "recording has ended; nothing passes any more");
        }
        self.unacknowledged.fail(&last.error());
        self.health.send_replace(last);
    }

    fn lost(&mut self, reason: String) {
        self.away.report(self.ledger.uri(), &reason, Instant::now());
        self.health.send_replace(Health::Connecting(reason));
    }

    async fn connect(&mut self) -> Result<Connection, End> {
        let (origin, epoch) = (self.watcher.log().name().to_owned(), self.chain.epoch());
        let (mut connection, opened) =
            connection::open(&self.ledger, &origin, self.chain.key(), epoch).await?;
        let settled = self.unacknowledged.reconcile(&opened)?;
        // Before anything is sent: a log that went back gets nothing more.
        if let Some(watch) = self.watcher.continuation() {
            let watched = connection.ask(watch).await?;
            self.watcher.continued(&watched)?;
        }
        let now = Instant::now();
        self.watcher.reopened(settled > 0, now);
        // What was settled without a place is covered by a seal after it, which the next tick makes.
        self.sealed.events_since += settled;
        self.previous = opened.previous;
        self.send(&connection, self.unacknowledged.resend()).await?;
        self.away.back(self.ledger.uri());
        let overdue = self.watcher.overdue(now, self.limits.publication_timeout);
        self.health.send_replace(match overdue {
            Some(age) => Health::Unverified { seconds: age.as_secs() },
            None => Health::Connected,
        });
        Ok(connection)
    }

    async fn serve(&mut self, mut connection: Connection) -> End {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            match self.step(&mut connection, &mut tick).await {
                Ok(()) => {}
                Err(end) => return end,
            }
        }
    }

    async fn step(&mut self, connection: &mut Connection, tick: &mut Interval) -> Result<(), End> {
        let may_send = self.stopping.is_none() && self.unacknowledged.len() < self.limits.in_flight;
        tokio::select! {
            answer = connection.next() => self.answered(answer?)?,
            command = self.commands.recv(), if may_send => match command {
                Some(command) => self.commanded(connection, command).await?,
                None => return Err(End::Done),
            },
            _ = tick.tick() => self.ticked(connection).await?,
        }
        if self.unacknowledged.len() == 0
            && let Some(stopped) = self.stopping.take()
        {
            // The caller may have given up waiting; the stop is recorded all the same.
            stopped.send(()).unwrap_or_default();
            return Err(End::Done);
        }
        Ok(())
    }

    fn answered(&mut self, answer: Response) -> Result<(), End> {
        match answer {
            Response::Acknowledged(acknowledged) => {
                for told in &acknowledged.events {
                    self.unacknowledged.acknowledge(told)?;
                }
                Ok(())
            }
            Response::Watched(watched) => {
                self.watcher.answer(&watched)?;
                self.health.send_if_modified(|health| {
                    let was_unverified = matches!(health, Health::Unverified { .. });
                    if was_unverified {
                        *health = Health::Connected;
                    }
                    was_unverified
                });
                Ok(())
            }
            Response::Challenge(_) | Response::Opened(_) => Err(Contradiction {
                code: "protocol",
                message: "it opened the stream twice".to_owned(),
            }
            .into()),
        }
    }

    /// Takes one command and whatever else waits, and sends it together.
    async fn commanded(&mut self, connection: &Connection, first: Command) -> Result<(), End> {
        let mut numbered = Vec::new();
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                Command::Record { drafts, reply, budget } => {
                    bytes += drafts.iter().map(Draft::size_bytes).sum::<usize>();
                    self.number(drafts, reply, budget, &mut numbered);
                }
                Command::Previous { reply } => {
                    reply.send(self.previous.clone()).unwrap_or_default();
                }
                Command::Stop { drained, reply } => {
                    let stopped = Kind::RecorderStopped(RecorderStopped { drained });
                    self.number_own(Draft::new(stopped), &mut numbered);
                    self.number_seal(&mut numbered).await;
                    self.stopping = Some(reply);
                    break;
                }
            }
            let full = numbered.len() >= MAX_FRAME_EVENTS || bytes >= MAX_TAKEN_BYTES;
            next = if full { None } else { self.commands.try_recv().ok() };
        }
        self.send(connection, numbered).await
    }

    async fn ticked(&mut self, connection: &Connection) -> Result<(), End> {
        let now = Instant::now();
        if let Some(watch) = self.watcher.question(self.unacknowledged.head(), now) {
            connection.send(Request::Watch(watch)).await?;
        }
        if let Some(age) = self.watcher.overdue(now, self.limits.publication_timeout) {
            self.health.send_replace(Health::Unverified { seconds: age.as_secs() });
        }
        let due = self.sealed.events_since > 0 || now - self.sealed.at >= IDLE_SEAL;
        let may_ask = self.sealed.refused.is_none_or(|(_, until)| now >= until);
        if due && may_ask && self.stopping.is_none() {
            let mut seal = Vec::new();
            self.number_seal(&mut seal).await;
            self.send(connection, seal).await?;
        }
        Ok(())
    }

    async fn send(&self, connection: &Connection, events: Vec<NewEvent>) -> Result<(), End> {
        for events in frames(events) {
            connection.send(Request::Events(Events { events })).await?;
        }
        Ok(())
    }

    fn number(
        &mut self,
        drafts: Vec<Draft>,
        reply: Reply,
        budget: OwnedSemaphorePermit,
        to_send: &mut Vec<NewEvent>,
    ) {
        if reply.is_closed() {
            // Nobody waits: it was refused to its caller, and must not be recorded as if it had happened.
            return;
        }
        match self.chain.number(drafts) {
            Ok(numbered) => {
                self.sealed.events_since += numbered.len() as u64;
                to_send.extend(numbered.iter().map(|event| event.new.clone()));
                self.unacknowledged.push(numbered, Some(reply), Some(budget));
            }
            Err(error) => reply.send(Err(error)).unwrap_or_default(),
        }
    }

    fn number_own(&mut self, draft: Draft, to_send: &mut Vec<NewEvent>) {
        match self.chain.number(vec![draft]) {
            Ok(numbered) => {
                to_send.extend(numbered.iter().map(|event| event.new.clone()));
                self.unacknowledged.push(numbered, None, None);
            }
            Err(error) => tracing::error!(%error, "the recorder cannot record its own event"),
        }
    }

    /// Seals the head. A key that does not sign leaves it unsealed: what is recorded is durable all the same, and the next
    /// seal covers it.
    async fn number_seal(&mut self, to_send: &mut Vec<NewEvent>) {
        let Some(mut seal) = self.chain.seal(self.watcher.verified()) else { return };
        let text = std::mem::take(&mut seal.text);
        match signing::sign(self.chain.key(), text).await {
            Ok(signature) => {
                self.number_own(seal.signed(&signature), to_send);
                if let Some((since, _)) = self.sealed.refused {
                    let seconds = since.elapsed().as_secs();
                    tracing::info!(seconds, "the recorder's key signs again; its chain is sealed");
                }
                self.sealed = Sealed { at: Instant::now(), events_since: 0, refused: None };
            }
            Err(error) => {
                let now = Instant::now();
                if self.sealed.refused.is_none() {
                    tracing::error!(%error, "the recorder's chain cannot be sealed; its key will be asked again");
                }
                let since = self.sealed.refused.map_or(now, |(since, _)| since);
                self.sealed.refused = Some((since, now + SIGN_AGAIN));
            }
        }
    }
}
