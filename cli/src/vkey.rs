//! A vkey that was given to a command.

use tlog::VerifyingKey;

use crate::failure::Failure;

/// Reads the vkey that `option` names.
///
/// # Errors
/// When it is none, with what was given unless that is a signing key.
pub(crate) fn read(option: &str, text: &str) -> Result<VerifyingKey, Failure> {
    VerifyingKey::parse(text.trim()).map_err(|error| {
        let given = tlog::without_keys(text);
        Failure::unusable("vkey", format!("{option} {given:?}: {error}"))
    })
}

/// Reads every vkey that `option` names.
///
/// # Errors
/// With the first that is none.
pub(crate) fn read_all(option: &str, texts: &[String]) -> Result<Vec<VerifyingKey>, Failure> {
    texts.iter().map(|text| read(option, text)).collect()
}
