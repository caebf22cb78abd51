//! What a folder that was brought back may become: this log again, when somebody vouches that it is the newest; or the
//! beginning of another log.

use std::path::Path;

use proto::v1::LogContinued;
use tlog::{Checkpoint, Note};

use super::{Options, StartError};
use crate::backup::{FolderState, backups_made, continued, folder_state, restored_checkpoint};
use crate::config::Checked;
use crate::publish::default_file;
use crate::store::TreeHead;
use crate::witnessing::Witnesses;

/// A restored copy may go on only when something that was not restored with it vouches that it is the newest: the checkpoint
/// file elsewhere, which the store is then compared with, the quorum of witnesses, which is then asked, or a person.
pub(super) fn judge(config: &Checked, options: Options) -> Result<Vouching, StartError> {
    let path = || config.data_dir.clone();
    let state = folder_state(&config.data_dir)
        .map_err(|source| StartError::Folder { path: path(), source })?;
    match state {
        FolderState::Unfinished => return Err(StartError::RestoreUnfinished(path())),
        FolderState::Readable => return Err(StartError::RestoredDamaged(path())),
        FolderState::Grown => return Ok(Vouching::Itself),
        FolderState::Restored => {}
    }
    if options.restored_is_newest {
        knows_no_newer(config)?;
    }
    if options.restored_is_newest || is_elsewhere(&config.checkpoint_file, &config.data_dir) {
        return Ok(Vouching::Itself);
    }
    // A quorum that is reached without anybody vouches for nothing.
    let has_quorum = |witnesses: &Witnesses| !witnesses.policy.quorum_satisfied([]);
    match config.witnesses.as_ref().is_some_and(has_quorum) && !options.without_quorum {
        true => Ok(Vouching::Witnesses),
        false => Err(StartError::RestoredUnvouched(path())),
    }
}

/// What came back with a copy lists the backups that were beside its own: a person who calls it the newest may not know them.
fn knows_no_newer(config: &Checked) -> Result<(), StartError> {
    let path = || config.data_dir.clone();
    let listed = backups_made(&config.data_dir)
        .map_err(|source| StartError::Folder { path: path(), source })?;
    let Ok(Some(checkpoint)) = restored_checkpoint(&config.data_dir) else { return Ok(()) };
    match listed.iter().max_by_key(|made| made.size) {
        Some(newer) if newer.size > checkpoint.size.0 => Err(StartError::RestoredIsOlder {
            path: path(),
            size: checkpoint.size.0,
            backup: newer.backup,
            newer: newer.size,
        }),
        _ => Ok(()),
    }
}

/// Who says that a folder holds the newest state of its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vouching {
    /// The folder, which was not put back; or a checkpoint that was not put back with it; or a person.
    Itself,
    /// Witnesses, and those alone that remember this log.
    Witnesses,
}

/// Whether the checkpoint is another file than the one that was brought back with the folder, by whichever name.
fn is_elsewhere(checkpoint_file: &Path, data_dir: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    real(checkpoint_file) != real(&default_file(data_dir))
}

/// What the first entry of a log says that continues another one.
pub(super) fn continues(
    config: &Checked,
    stored: Option<TreeHead>,
) -> Result<Option<LogContinued>, StartError> {
    if stored.is_some_and(|head| head.size.0 > 0) {
        return Ok(None);
    }
    let failed = |reason: String| StartError::Continues { path: config.data_dir.clone(), reason };
    let Some(continued) = continued(&config.data_dir).map_err(|error| failed(error.to_string()))?
    else {
        return Ok(None);
    };
    let old =
        Note::parse(&continued.checkpoint).map_err(|error| failed(error.to_string())).and_then(
            |note| Checkpoint::parse_text(note.text()).map_err(|error| failed(error.to_string())),
        )?;
    if old.origin == config.log_keys.origin() {
        return Err(failed(format!(
            "the log {} cannot continue itself: use a key with a new name",
            old.origin
        )));
    }
    Ok(Some(continued))
}
