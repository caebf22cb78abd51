//! Keys under a passphrase.

use std::os::unix::fs::PermissionsExt;

use anyhow::{Result, ensure};
use tests::binary::Tool;
use tests::system::{Plan, Shape, System};

use super::{edit, keygen, refused};

const FILE: &str = "EXHIBIT_KEY_PASSPHRASE_FILE";
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

#[test]
fn an_encrypted_key_opens_with_its_passphrase_alone() -> Result<()> {
    tests::run(async {
        let mut system = System::start(Shape::LedgerAlone, &Plan::default(), None).await?;
        system.stop("ledger").await?;
        let secret = |name: &str, text: &str| {
            let path = system.path(name);
            std::fs::write(&path, text)?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
            anyhow::Ok(path)
        };
        let right = secret("right", "correct horse\n")?;
        let wrong = secret("wrong", "correct horst\n")?;
        let encrypted = [
            "--from",
            "keys/log.key",
            "--encrypt",
            "--passphrase-file",
            "right",
            "--out",
            "keys/sealed.key",
        ];
        let vkey = keygen(&system, &encrypted).await?;
        ensure!(vkey == system.vkey("log"), "another key was encrypted");
        let line = std::fs::read_to_string(system.path("keys/sealed.key"))?;
        ensure!(line.starts_with("ENCRYPTED+KEY+v1+") && line.lines().count() == 1, "{line}");
        let plain = std::fs::read_to_string(system.path("keys/log.key"))?;
        let seed = plain.trim().rsplit('+').next().unwrap_or_default();
        ensure!(!line.contains(seed), "the key stands in the clear");
        std::fs::remove_file(system.path("keys/log.key"))?;
        edit(&system, |text| text.replace("keys/log.key", "keys/sealed.key"))?;

        let said = refused(&system, &[], 2).await?;
        ensure!(said.contains("is encrypted") && said.contains(FILE), "{said}");
        let said = refused(&system, &[(FILE, wrong.as_path())], 2).await?;
        ensure!(said.contains("the passphrase does not open it"), "{said}");
        std::fs::set_permissions(&right, std::fs::Permissions::from_mode(0o644))?;
        let said = refused(&system, &[(FILE, right.as_path())], 2).await?;
        ensure!(said.contains("chmod 600"), "{said}");
        std::fs::set_permissions(&right, std::fs::Permissions::from_mode(0o600))?;
        let check = Tool::exhibit(["config", "check", "exhibit.toml"])?.within(system.dir());
        check.env(FILE, &right).succeed().await?;

        let credentials = system.path("credentials");
        std::fs::create_dir(&credentials)?;
        std::fs::copy(&right, credentials.join("sealed.key.passphrase"))?;
        for (name, path) in [(FILE, &right), (CREDENTIALS, &credentials)] {
            system.set_environment(vec![(name.to_owned(), path.clone())]);
            system.start_part("ledger").await?;
            system.checkpoint().await?;
            system.stop("ledger").await?;
        }
        // And back into the clear, for whoever wants that.
        let again =
            Tool::exhibit(["keygen", "--from", "keys/sealed.key", "--out", "keys/log.key"])?;
        again.env(FILE, &right).within(system.dir()).succeed().await?;
        ensure!(std::fs::read_to_string(system.path("keys/log.key"))? == plain, "another line");
        Ok(())
    })
}
