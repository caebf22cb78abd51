//! TLS at the doors, with and without certificates of clients: what passes, what does not, and what each side is told.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use identity::tls::ClientTls;
use recorder::{LedgerAddress, Limits, Recorder, RecorderConfig};
use tempfile::TempDir;
use tests::binary::{Ran, Tool, exhibit};
use tests::certificates::{Authority, Pair};
use tests::process::Process;
use tests::system::{ORIGIN, free_port};
use tests::wait::until;
use tlog::{SigningKey, VerifyingKey};

use crate::calls::draft;

const PATIENCE: Duration = Duration::from_secs(30);

/// Keys, certificates and configuration of a ledger and a query node.
struct Site {
    dir: TempDir,
    authority: Authority,
    log: String,
    ledger: String,
    query: String,
}

impl Site {
    /// `clients`: the ledger asks for certificates of clients.
    async fn build(clients: bool) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("exhibit-tls-").tempdir()?;
        let at = |name: &str| dir.path().join(name);
        let mut vkeys = Vec::new();
        for (file, name) in [("log", ORIGIN), ("ledger", "ledger"), ("query", "query")] {
            let out = at(&format!("{file}.signing"));
            let args = ["keygen".as_ref(), name.as_ref(), "--out".as_ref(), out.as_os_str()];
            vkeys.push(Tool::exhibit(args)?.succeed().await?.stdout.trim().to_owned());
        }
        let authority = Authority::new(dir.path(), "authority")?;
        for name in ["server", "client"] {
            authority.issue(dir.path(), name, false)?;
        }
        let (ledger, query) = (free_port()?, free_port()?);
        let client_ca = if clients { "client_ca_file = \"authority.pem\"\n" } else { "" };
        let shown =
            if clients { "cert_file = \"client.pem\"\nkey_file = \"client.key\"\n" } else { "" };
        let (log, node) = (&vkeys[0], &vkeys[2]);
        let config = format!(
            r#"[ledger]
listen = "127.0.0.1:{ledger}"
public_url = "https://localhost:{ledger}"
data_dir = "ledger"
log_key_file = "log.signing"
recorder_key_file = "ledger.signing"
recorders = ["{node}"]
[ledger.tls]
cert_file = "server.pem"
key_file = "server.key"
{client_ca}
[[ledger.identity.machines]]
name = "query"
public_key = "{node}"
roles = ["follower"]

[query]
listen = "127.0.0.1:{query}"
public_url = "https://localhost:{query}"
ledger = "https://localhost:{ledger}"
log_vkey = "{log}"
recorder_key_file = "query.signing"
data_dir = "query"
[query.tls]
cert_file = "server.pem"
key_file = "server.key"
[query.ledger_tls]
ca_file = "authority.pem"
{shown}"#
        );
        std::fs::write(at("exhibit.toml"), config)?;
        let (ledger, query) =
            (format!("https://localhost:{ledger}"), format!("https://localhost:{query}"));
        Ok(Self { authority, log: log.clone(), ledger, query, dir })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn start(&self, part: &'static str) -> Result<Process> {
        let mut command = Command::new(exhibit()?);
        command.arg(part).arg("--config").arg(self.path("exhibit.toml"));
        command.env("RUST_LOG", "info,h2=warn,hyper=warn");
        Process::start(part, command)
    }

    /// `curl` of a door, which trusts the authority, with these arguments more.
    async fn curl(&self, url: &str, more: &[&str]) -> Result<Ran> {
        let authority = self.authority.file.display().to_string();
        let args = ["--silent", "--show-error", "--max-time", "10", "--cacert", &authority, url];
        Tool::new("curl").args(args).args(more).run().await
    }

    /// Waits until a door answers.
    async fn ready(&self, url: &str, more: &[&str]) -> Result<()> {
        until("the door is ready", PATIENCE, || async {
            let answer = self.curl(&format!("{url}/readyz"), more).await?;
            ensure!(answer.stdout == "ready\n", "{} {}", answer.stdout, answer.stderr);
            Ok(Some(()))
        })
        .await
    }

    /// A recorder of this process, which reaches the ledger so.
    async fn recorder(&self, tls: &ClientTls) -> Result<Recorder> {
        let address = LedgerAddress::new(&self.ledger, Some(tls), false);
        let address = address.map_err(|mistakes| anyhow::anyhow!(mistakes.join("; ")))?;
        let text = std::fs::read_to_string(self.path("query.signing"))?;
        let config = RecorderConfig {
            ledger: address,
            log: VerifyingKey::parse(&self.log)?,
            key: Arc::new(SigningKey::parse(text.trim())?),
            limits: Limits { start_timeout: Duration::from_secs(3), ..Limits::default() },
            checkpoint_file: None,
        };
        Ok(Recorder::start(config).await?)
    }

    fn tls(&self, authority: &Path, shown: Option<&Pair>) -> ClientTls {
        ClientTls {
            ca_file: Some(authority.to_owned()),
            cert_file: shown.map(|pair| pair.cert.clone()),
            key_file: shown.map(|pair| pair.key.clone()),
            server_name: None,
        }
    }
}

/// What the ledger says on stderr, once it has said this.
async fn says(process: &mut Process, words: &str) -> Result<()> {
    let said = process.says(|text| text.contains(words).then_some(())).await;
    said.with_context(|| format!("the ledger does not say {words:?}"))
}

#[test]
fn all_doors_speak_tls_and_curl_reads_them() -> Result<()> {
    tests::run(async {
        let site = Site::build(false).await?;
        let mut up = site.start("up")?;
        site.ready(&site.ledger, &[]).await?;
        // The node follows the ledger, and records at it, over TLS.
        site.ready(&site.query, &[]).await?;
        for version in ["--http1.1", "--http2"] {
            let answer = site.curl(&format!("{}/checkpoint", site.ledger), &[version]).await?;
            let note = answer.ended(0)?.stdout;
            tlog::open_checkpoint(&note, &VerifyingKey::parse(&site.log)?)?;
        }
        up.says(|text| text.contains("https://127.0.0.1").then_some(())).await?;
        // Without the authority curl trusts nobody.
        let url = format!("{}/healthz", site.ledger);
        let args = ["--silent", "--show-error", "--max-time", "10", &url];
        Tool::new("curl").args(args).run().await?.ended(60)?;
        // Our own commands trust as they are told: a token that is none is refused by the node, not by TLS.
        let sql = || {
            Ok::<_, anyhow::Error>(
                Tool::exhibit(["sql", "SELECT 1", "--query", &site.query])?
                    .env("EXHIBIT_TOKEN", "none"),
            )
        };
        let told = sql()?.run().await?.ended(3)?.stderr;
        ensure!(told.contains("cannot be reached") && told.contains("authority"), "{told}");
        let told =
            sql()?.env("EXHIBIT_CA_FILE", &site.authority.file).run().await?.ended(2)?.stderr;
        ensure!(!told.contains("cannot be reached"), "{told}");
        // Nothing is answered in the clear.
        let clear = url.replace("https", "http");
        let args = ["--silent", "--show-error", "--max-time", "10", &clear];
        let answer = Tool::new("curl").args(args).run().await?;
        ensure!(answer.code != 0 && answer.stdout.is_empty(), "{answer:?}");
        up.stop().await
    })
}

#[test]
fn a_certificate_that_is_not_right_is_told_on_both_sides() -> Result<()> {
    tests::run(async {
        let site = Site::build(true).await?;
        let dir = site.dir.path();
        let good = Pair { cert: site.path("client.pem"), key: site.path("client.key") };
        let (cert, key) = (good.cert.display().to_string(), good.key.display().to_string());
        let shown = ["--cert", &cert, "--key", &key];
        let mut ledger = site.start("ledger")?;
        site.ready(&site.ledger, &shown).await?;
        let nothing = site.curl(&format!("{}/checkpoint", site.ledger), &[]).await?;
        ensure!(nothing.code != 0 && nothing.stdout.is_empty(), "{nothing:?}");

        let other = Authority::new(dir, "other")?;
        let of_other = other.issue(dir, "of-other", false)?;
        let expired = site.authority.issue(dir, "expired", true)?;
        let trusted = &site.authority.file;
        // How the recorder reaches the ledger, what it is told, what the ledger says.
        let cases = [
            (
                site.tls(&other.file, Some(&good)),
                "no authority that is trusted here",
                "does not trust the authority",
            ),
            (site.tls(trusted, None), "asks for a certificate", "it showed no certificate"),
            (
                site.tls(trusted, Some(&expired)),
                "has expired: renew it",
                "its certificate has expired",
            ),
            (
                site.tls(trusted, Some(&of_other)),
                "does not trust the authority",
                "no authority that is trusted here",
            ),
        ];
        for (tls, told, said) in cases {
            let Err(error) = site.recorder(&tls).await else { bail!("{tls:?} is let in") };
            let heard = format!("{error:#}");
            let is_told = heard.contains(told) || heard.contains("its log says why");
            ensure!(is_told, "{heard}, not {told:?}");
            says(&mut ledger, said).await?;
        }
        let mut elsewhere = site.tls(trusted, Some(&good));
        elsewhere.server_name = Some("ledger.example".to_owned());
        let Err(error) = site.recorder(&elsewhere).await else { bail!("another name is let in") };
        ensure!(format!("{error:#}").contains("for another name"), "{error:#}");

        let recorder = site.recorder(&site.tls(trusted, Some(&good))).await?;
        recorder.record(draft(1)).await?;
        recorder.stop(true).await;
        ledger.stop().await
    })
}

#[test]
fn certificates_are_taken_up_again_while_the_ledger_runs() -> Result<()> {
    tests::run(async {
        let site = Site::build(false).await?;
        let mut ledger = site.start("ledger")?;
        site.ready(&site.ledger, &[]).await?;
        let tls = site.tls(&site.authority.file, None);
        let recorder = site.recorder(&tls).await?;
        recorder.record(draft(1)).await?;

        // What cannot be used leaves those of before.
        std::fs::write(site.path("server.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n")?;
        ledger.signal("HUP")?;
        says(&mut ledger, "line 1: what begins here has no END line").await?;
        site.ready(&site.ledger, &[]).await?;

        // By their change alone.
        site.authority.issue(site.dir.path(), "server", true)?;
        says(&mut ledger, "the certificates were read again").await?;
        let told = site.recorder(&tls).await.err().context("an expired certificate is trusted")?;
        ensure!(format!("{told:#}").contains("its certificate has expired"), "{told:#}");
        let curl = site.curl(&format!("{}/healthz", site.ledger), &[]).await?;
        ensure!(curl.code == 60 && curl.stderr.contains("expired"), "{curl:?}");
        // Streams that are open go on.
        recorder.record(draft(2)).await?;

        // By hand, at once.
        site.authority.issue(site.dir.path(), "server", false)?;
        ledger.signal("HUP")?;
        site.ready(&site.ledger, &[]).await?;
        recorder.record(draft(3)).await?;
        recorder.stop(true).await;
        ledger.stop().await
    })
}

#[test]
fn mistakes_name_file_and_line() -> Result<()> {
    tests::run(async {
        let site = Site::build(true).await?;
        let config = site.path("exhibit.toml");
        let check = || async {
            let args = ["config".as_ref(), "check".as_ref(), config.as_os_str()];
            Tool::exhibit(args)?.run().await
        };
        check().await?.ended(0)?;
        let good = std::fs::read_to_string(site.path("server.pem"))?;
        std::fs::write(
            site.path("server.pem"),
            format!("{good}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        )?;
        std::fs::set_permissions(site.path("client.key"), std::fs::Permissions::from_mode(0o644))?;
        let told = check().await?.ended(2)?.stderr;
        let line = good.lines().count() + 1;
        ensure!(
            told.contains(&format!("server.pem line {line}: what begins here is no certificate")),
            "{told}"
        );
        ensure!(told.contains("client.key has mode 0644"), "{told}");

        // In the clear only where nobody can listen in, or where it is said.
        let text = std::fs::read_to_string(&config)?;
        let open = text.replacen("listen = \"127.0.0.1", "listen = \"0.0.0.0", 1);
        let (ledger, rest) = open.split_once("[ledger.tls]").context("a table")?;
        let rest = &rest[rest.find("[[ledger").context("a table")?..];
        std::fs::write(&config, format!("{ledger}{rest}"))?;
        let told = check().await?.ended(2)?.stderr;
        ensure!(told.contains("is not loopback") && told.contains("plaintext = true"), "{told}");
        std::fs::write(&config, format!("{ledger}plaintext = true\n{rest}"))?;
        let told = check().await?.ended(2)?.stderr;
        ensure!(!told.contains("is not loopback"), "{told}");
        Ok(())
    })
}
