//! A signing key that was given where something else belongs: no command repeats any of it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use tests::binary::Tool;

/// Where a configuration names keys, files, or something else that a person may fill in wrongly; `<key>` is the signing
/// key, `<vkey>` what belongs to it.
const CONFIGS: [&str; 9] = [
    "<key>\n",
    "[ledger]\nlog_key = \"<key>\"\n",
    "[ledger]\nlisten = \"<key>\"\n",
    "[ledger]\ndata_dir = <key>\n",
    "[ledger]\ndata_dir = \"d\"\nlog_key_file = \"<key>\"\nrecorder_key_file = \"key\"\n",
    "[ledger]\ndata_dir = \"d\"\nlog_key_file = \"key\"\nrecorder_key_file = \"key\"\nrecorders = [\"<key>\"]\n\
     duties = { \"<key>\" = \"<key>\" }\n",
    "[ledger]\ndata_dir = \"d\"\nlog_key_file = \"key\"\nrecorder_key_file = \"key\"\n\
     [ledger.witness]\npolicy_file = \"key\"\n",
    "[ledger]\ndata_dir = \"d\"\nlog_key_file = \"key\"\nrecorder_key_file = \"key\"\n\
     [[ledger.identity.machines]]\nname = \"<key>\"\npublic_key = \"<key>\"\nroles = [\"<key>\"]\n",
    "[query]\npublic_url = \"<key>\"\nledger = \"<key>\"\nlog_vkey = \"<key>\"\nrecorder_key_file = \"key\"\n\
     data_dir = \"q\"\n[evidence]\npackage_key_file = \"key\"\nwork_dir = \"w\"\nwitness_policy_file = \"key\"\n",
];

/// Commands, with the key or its file where something else belongs.
const COMMANDS: [&str; 25] = [
    "<key>",
    "fsck",
    "fsck . --log <key>",
    "fsck . --log <vkey> --recorder <key>",
    "fsck . <key> --log <vkey>",
    "fsck <key> --log <vkey>",
    "restore --from . --to new --log <key>",
    "restore --from <key> --to new --log <vkey>",
    "restore --from . --to new --log <vkey> --recorder <key>",
    "witness --key witness --log <key> --state state",
    "witness --key key --log <vkey> --state state",
    "witness --key witness --log <vkey> --state state --listen <key>",
    "proof 0 --log <key>",
    "proof <key> --log <vkey>",
    "verify . --trust key",
    "verify . --trust <key>",
    "verify --print-allowed-signers --trust key",
    "keygen <key> --out other",
    "keygen --from <key> --out other",
    "keygen name --out key",
    "backup --config key",
    "up --config key",
    "gateway --config key",
    "hold list --ledger <key> --token-file key",
    "config check <key>",
];

#[test]
fn no_command_repeats_a_signing_key() -> Result<()> {
    tests::run(async {
        let dir = tempfile::tempdir()?;
        let dir = dir.path();
        let made = Tool::exhibit(["keygen", "name", "--out", "key"])?.within(dir).succeed().await?;
        let vkey = made.stdout.trim().to_owned();
        let witness = ["keygen", "witness", "--witness", "--out", "witness"];
        Tool::exhibit(witness)?.within(dir).succeed().await?;
        let key = fs::read_to_string(dir.join("key"))?.trim().to_owned();
        let secret = key.splitn(5, '+').nth(4).context("the form of a key")?.to_owned();
        // A store, as far as the commands look before they look at their keys.
        fs::create_dir(dir.join("store"))?;
        let filled = |text: &str| text.replace("<key>", &key).replace("<vkey>", &vkey);

        for command in COMMANDS {
            let args: Vec<String> = command.split(' ').map(&filled).collect();
            keeps_quiet(dir, &args, &secret).await?;
        }
        for (number, config) in CONFIGS.iter().enumerate() {
            let file = dir.join(format!("{number}.toml"));
            fs::write(&file, filled(config))?;
            fs::set_permissions(&file, Permissions::from_mode(0o600))?;
            let file = file.to_string_lossy().into_owned();
            for command in ["config check", "config print", "ledger --config", "query --config"] {
                let mut args: Vec<String> = command.split(' ').map(str::to_owned).collect();
                args.push(file.clone());
                keeps_quiet(dir, &args, &secret).await?;
            }
        }
        Ok(())
    })
}

/// Runs a command, for people and for programs.
async fn keeps_quiet(dir: &Path, args: &[String], secret: &str) -> Result<()> {
    // What is only printed is not refused.
    let prints = args.iter().any(|arg| arg == "print");
    for format in [None, Some("--json".to_owned())] {
        let args: Vec<&String> = format.iter().chain(args).collect();
        let ran = Tool::exhibit(&args)?.within(dir).run().await?;
        let told = format!("{}{}", ran.stdout, ran.stderr);
        ensure!(prints || ran.code != 0, "{args:?} was not refused: {told}");
        ensure!(!told.is_empty() && !told.contains(secret), "{args:?} repeats the key: {told}");
    }
    Ok(())
}
