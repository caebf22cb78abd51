//! Processes that a test starts: they end with it, and what they said is kept.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::wait::until;

/// Longest part of a log that is printed, from its end.
const PRINTED_BYTES: usize = 32 * 1024;

thread_local! {
    static LOGS: RefCell<Vec<(String, Log)>> = const { RefCell::new(Vec::new()) };
}

/// What a process wrote so far.
#[derive(Clone, Default)]
struct Log {
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
}

/// A running process. Killed when it is dropped; its stdin, which ends then, stays open and empty.
pub struct Process {
    name: String,
    child: Child,
    log: Log,
}

impl Process {
    /// Starts `command`; `name` is what its log is called.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(name: &str, mut command: Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("{name}: {command:?}"))?;
        let log = Log::default();
        collect(child.stdout.take(), &log.stdout);
        collect(child.stderr.take(), &log.stderr);
        LOGS.with_borrow_mut(|logs| logs.push((name.to_owned(), log.clone())));
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything that it wrote to stdout so far.
    pub fn stdout(&self) -> String {
        read(&self.log.stdout)
    }

    /// Everything that it wrote to stderr so far.
    pub fn stderr(&self) -> String {
        read(&self.log.stderr)
    }

    /// Its exit status, once it has ended.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits until it has said what `find` looks for on stdout.
    ///
    /// # Errors
    /// When it ends before, or says nothing of the sort in time.
    pub async fn says<T>(&mut self, find: impl Fn(&str) -> Option<T>) -> Result<T> {
        let what = format!("{} starts", self.name);
        let said = until(&what, Duration::from_secs(60), || {
            let found = find(&self.stdout()).or_else(|| find(&self.stderr()));
            let ended = self.ended();
            async move {
                match (found, ended?) {
                    (Some(found), _) => Ok(Some(Ok(found))),
                    (None, Some(status)) => Ok(Some(Err(status))),
                    (None, None) => Ok(None),
                }
            }
        });
        match said.await? {
            Ok(found) => Ok(found),
            Err(status) => bail!("{} ended ({status}): {}", self.name, self.stderr()),
        }
    }

    /// Kills it at once, as `kill -9` does, and waits until it is gone.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().with_context(|| format!("kill {}", self.name))?;
        self.child.wait().with_context(|| format!("wait for {}", self.name))?;
        Ok(())
    }

    /// Sends it a signal, such as `STOP`.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn signal(&self, signal: &str) -> Result<()> {
        // Every shell has `kill`; not every system has it as a program.
        let kill = format!("kill -{signal} {}", self.child.id());
        let told = Command::new("sh").args(["-c", &kill]).status().context("sh")?;
        anyhow::ensure!(told.success(), "{kill}: {told}");
        Ok(())
    }

    /// Asks it to stop, as a service manager does, and waits until it has.
    ///
    /// # Errors
    /// When it does not end in time, or badly.
    pub async fn stop(mut self) -> Result<()> {
        self.signal("TERM")?;
        let what = format!("{} stops", self.name);
        let status = until(&what, Duration::from_secs(30), || {
            let ended = self.ended();
            async move { ended }
        });
        let status = status.await?;
        anyhow::ensure!(status.success(), "{} ended with {status}: {}", self.name, self.stderr());
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        if self.child.kill().is_ok() {
            self.child.wait().map(|_| ()).unwrap_or_default();
        }
    }
}

/// Prints what the processes of this thread's test said.
pub(crate) fn print_logs() {
    LOGS.with_borrow(|logs| {
        for (name, log) in logs {
            for (stream, text) in [("stdout", read(&log.stdout)), ("stderr", read(&log.stderr))] {
                if !text.trim().is_empty() {
                    let mut from = text.len().saturating_sub(PRINTED_BYTES);
                    while !text.is_char_boundary(from) {
                        from += 1;
                    }
                    eprintln!("---- {stream} of {name}\n{}", text[from..].trim_end());
                }
            }
        }
    });
}

/// Forgets them.
pub(crate) fn forget_logs() {
    LOGS.with_borrow_mut(Vec::clear);
}

fn collect(stream: Option<impl Read + Send + 'static>, into: &Arc<Mutex<String>>) {
    let (Some(stream), into) = (stream, Arc::clone(into)) else { return };
    std::thread::spawn(move || {
        let mut lines = BufReader::new(stream);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let mut text = into.lock().unwrap_or_else(PoisonError::into_inner);
            text.push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
}

fn read(text: &Mutex<String>) -> String {
    text.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
