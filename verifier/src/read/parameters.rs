//! `data/ipe/parameters.json`: one spelling, and in it no text that could be taken for anything but what it is.

use std::borrow::Cow;

use proto::terminal::shown;
use tlog::VerifyingKey;

use super::Package;
use super::material::Part;
use crate::layout;
use crate::material::{EXPORT_ROLES, Parameters, is_countable};
use crate::report::fail_at;

/// Largest parameters, in bytes: queries of the requester are in them.
const MAX_PARAMETERS_BYTES: usize = 4 << 20;
/// Longest version, in bytes.
const MAX_VERSION_BYTES: usize = 64;

/// The parameters of a package. Nothing else of it is looked at, so that it can be asked who it claims to be.
pub(crate) fn parameters(package: &Package) -> Part<Parameters> {
    let path = layout::PARAMETERS;
    let wrong = |detail: String| fail_at("parameters.malformed", path, detail);
    let missing = || fail_at("parameters.missing", path, "the file is missing");
    let bytes = package.file(path).ok_or_else(missing)?;
    if bytes.len() > MAX_PARAMETERS_BYTES {
        return Err(wrong(format!("it has more than {MAX_PARAMETERS_BYTES} bytes")));
    }
    let text =
        std::str::from_utf8(bytes).map_err(|_| wrong("the file is not UTF-8 text".to_owned()))?;
    let parameters: Parameters =
        serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    if parameters.format != Parameters::FORMAT {
        return Err(wrong(format!(
            "its format is {:?}; this version reads {}",
            parameters.format,
            Parameters::FORMAT
        )));
    }
    if parameters.to_json() != text {
        return Err(wrong("it is not in its one spelling".to_owned()));
    }
    check_words(&parameters).map_err(wrong)?;
    let may_export = |role| EXPORT_ROLES.contains(&role);
    if !parameters.role().is_some_and(may_export) {
        let roles = EXPORT_ROLES.map(|role| role.to_string()).join(", ");
        let detail =
            format!("nothing is exported for the role {}, only for {roles}", parameters.role);
        return Err(fail_at("parameters.role", path, detail));
    }
    Ok(parameters)
}

fn check_words(parameters: &Parameters) -> Result<(), String> {
    let Parameters { exhibit_version, origin, signer, from, to, .. } = parameters;
    if !is_version(exhibit_version) {
        return Err(format!("{exhibit_version:?} is no version (MAJOR.MINOR.PATCH, semver.org)"));
    }
    if !is_origin(origin) {
        return Err(format!(
            "{origin:?} is no origin of a log: those have no space, no + and no hidden characters"
        ));
    }
    if let Err(error) = VerifyingKey::parse(signer) {
        return Err(format!("the signer {:?} is no vkey: {error}", tlog::without_keys(signer)));
    }
    match [from, to].into_iter().find(|time| !is_countable(**time)) {
        Some(time) => Err(format!("{time} is outside the years 1970 to 2262, of which leaves are")),
        None => Ok(()),
    }
}

/// As the name of a note's key must be, which an origin is; and nothing in it that does not show.
fn is_origin(text: &str) -> bool {
    let is_barred = |char: char| char.is_whitespace() || char == '+' || char.is_control();
    !text.is_empty() && !text.contains(is_barred) && matches!(shown(text), Cow::Borrowed(_))
}

/// Is this a version by the letter of [semver.org](https://semver.org) 2.0?
fn is_version(text: &str) -> bool {
    let (rest, build) = split_at(text, '+');
    let (core, pre) = split_at(rest, '-');
    let words = |part: Option<&str>, holds: fn(&str) -> bool| {
        part.is_none_or(|part| part.split('.').all(|word| is_word(word) && holds(word)))
    };
    text.len() <= MAX_VERSION_BYTES
        && core.split('.').count() == 3
        && core.split('.').all(|number| is_digits(number) && is_plain_number(number))
        && words(pre, is_plain_number)
        && words(build, |_| true)
}

fn split_at(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, after)| (before, Some(after)))
}

fn is_word(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_digits(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

/// No number with a leading zero; other words are none.
fn is_plain_number(word: &str) -> bool {
    word == "0" || !word.starts_with('0') || !is_digits(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_one_by_the_letter() {
        for good in
            ["0.1.0", "10.20.30", "1.0.0-alpha.1", "1.0.0-0a.x-y", "1.0.0-a+001.b", "1.0.0+-"]
        {
            assert!(is_version(good), "{good}");
        }
        let long = format!("1.0.0-{}", "a".repeat(60));
        for bad in [
            "",
            "1",
            "1.0",
            "1.0.0.0",
            "01.0.0",
            "1.0.0-",
            "1.0.0-01",
            "1.0.0+",
            "1.0.0-a..b",
            "v1.0.0",
            "1.0.0 ",
            "0.1.0\u{200b}",
            "0.1.0\u{1b}[2J",
            "1.0.0+a+b",
            "1.0.٣",
            &long,
        ] {
            assert!(!is_version(bad), "{bad:?}");
        }
    }

    #[test]
    fn an_origin_is_a_key_name_that_shows_whole() {
        assert!(is_origin("log.example/exhibit") && is_origin("журнал.example"));
        for bad in ["", "a b", "a+b", "a\nb", "a\u{202e}b", "a\u{200b}", "\u{1b}[2J"] {
            assert!(!is_origin(bad), "{bad:?}");
        }
    }
}
