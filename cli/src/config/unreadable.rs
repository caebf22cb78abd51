//! A configuration that is no TOML, or not of our fields: where, and what is wrong, without the text that stands there.
//! A line of it may be a secret: a header's value, or the key file that was named in place of the configuration.

use std::borrow::Cow;

/// Longest name of a field that is shown; ours are shorter, and encoded secrets are longer.
const MAX_FIELD_BYTES: usize = 32;

/// What to tell of the error in `text`.
pub(super) fn told(text: &str, error: &toml::de::Error) -> String {
    let what = without_value(error.message().trim_end());
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else {
        return what.into_owned();
    };
    let line = before.matches('\n').count();
    let column = before.chars().rev().take_while(|char| *char != '\n').count();
    let field = text.lines().nth(line).and_then(field_of);
    let field = field.map(|name| format!(", at `{name}`")).unwrap_or_default();
    format!("line {}, column {}{field}: {what}", line + 1, column + 1)
}

/// What a line gives a value to, if it looks like a field of ours.
fn field_of(line: &str) -> Option<&str> {
    Some(line.split_once('=')?.0.trim()).filter(|name| is_field(name))
}

fn is_field(name: &str) -> bool {
    let plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'.' | b'-')
    };
    (1..=MAX_FIELD_BYTES).contains(&name.len()) && name.bytes().all(plain)
}

/// Serde repeats what stands where it does not belong: a text, a number, a choice, a name that it does not know. What it
/// expected there is ours.
fn without_value(message: &str) -> Cow<'_, str> {
    const NAMES: [&str; 3] = ["unknown field `", "missing field `", "duplicate field `"];
    let (found, expected) = match message.rfind(", expected") {
        Some(at) => message.split_at(at),
        None => (message, ""),
    };
    let name = NAMES.iter().find_map(|form| found.strip_prefix(form)?.strip_suffix('`'));
    if name.is_some_and(is_field) {
        return Cow::Borrowed(message);
    }
    let quotes = ['`', '"'];
    let (Some(first), Some(last)) = (found.find(quotes), found.rfind(quotes)) else {
        return Cow::Borrowed(message);
    };
    let (before, after) = (found[..first].trim_end(), &found[last + 1..]);
    let what = format!("{before}{after}{expected}");
    // A value that is nothing but its quotation: whoever takes it says elsewhere what it takes.
    if what.trim().is_empty() {
        return Cow::Borrowed("this value cannot stand here; see `exhibit config schema`");
    }
    Cow::Owned(what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn of(text: &str) -> String {
        told(text, &toml::from_str::<Config>(text).unwrap_err())
    }

    #[test]
    fn it_says_where_and_what_and_never_the_value() {
        let wrong = of("[ledger]\ndata_dir = \"data\"\nlisten = \"s3cret\"\n");
        assert!(wrong.starts_with("line 3, column ") && wrong.contains("at `listen`: "), "{wrong}");
        let server = "[gateway.servers.a]\nurl = \"http://a\"\nheaders = \"Bearer s3cret\"\n";
        let unknown = of("[ledger]\nlog_key = \"s3cret\"\n");
        assert!(unknown.contains("line 2") && unknown.contains("`log_key`"), "{unknown}");
        // A choice, a number, a text with quotes of its own in it.
        let auth = "[gateway.servers.a]\nurl = \"http://a\"\nauth = \"s3cret, expected `x`\"\n";
        let auth = of(auth);
        assert!(auth.contains("unknown variant, expected") && auth.contains("`bearer`"), "{auth}");
        let texts = [
            server,
            "s3cret",
            "s3cretS3CRET = 1",
            "a = s3cret\n",
            "[ledger]\nlisten = 's3\"cret'\n",
            "[ledger]\ndata_dir = [\"s3cret\"]\n",
            "[ledger]\ndata_dir = \"a\"\ndata_dir = \"s3cret\"\n",
        ];
        let number = of("[ledger]\ndata_dir = 5713377\n");
        assert!(!number.contains("5713377"), "{number}");
        for told in [wrong, unknown, auth].into_iter().chain(texts.map(of)) {
            assert!(told.starts_with("line ") && !told.contains("s3cret"), "{told}");
        }
    }

    #[test]
    fn a_key_file_is_not_repeated() {
        let key = tlog::SigningKey::from_seed("log.example", [1; 32]).unwrap().encode();
        let secret = key.rsplit_once('+').unwrap().1;
        for text in
            [format!("{}\n", *key), format!("[ledger]\nrecorders = {}\n", *key), secret.to_owned()]
        {
            let told = of(&text);
            assert!(!told.contains(secret), "{told}");
        }
    }
}
