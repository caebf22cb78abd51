//! What a folder that was brought back may become: this log again, when somebody vouches that it is the newest; or the
//! beginning of another log.

use proto::v1::LogContinued;
use tlog::{Checkpoint, Note};

use super::{Options, StartError};
use crate::backup::{FolderState, continued, folder_state};
use crate::config::Checked;
use crate::publish::default_file;
use crate::store::TreeHead;

/// A restored copy may go on only when something that was not restored with it vouches that it is the newest: the checkpoint
/// file elsewhere, which the store is then compared with, the quorum of witnesses, which is then asked, or a person.
pub(super) fn judge(config: &Checked, options: Options) -> Result<(), StartError> {
    let path = || config.data_dir.clone();
    let state = folder_state(&config.data_dir)
        .map_err(|source| StartError::Folder { path: path(), source })?;
    let is_elsewhere = config.checkpoint_file != default_file(&config.data_dir);
    let has_witnesses = config.witnesses.is_some() && !options.without_quorum;
    match state {
        FolderState::Unfinished => Err(StartError::RestoreUnfinished(path())),
        FolderState::Restored if !(is_elsewhere || has_witnesses || options.restored_is_newest) => {
            Err(StartError::RestoredUnvouched(path()))
        }
        FolderState::Restored | FolderState::Grown => Ok(()),
    }
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
