//! Does a text begin as SQL does?

use super::lexer::is_space;

/// Words that begin statements.
const FIRST_WORDS: [&str; 55] = [
    "alter",
    "analyze",
    "attach",
    "begin",
    "call",
    "comment",
    "commit",
    "copy",
    "create",
    "dbcc",
    "declare",
    "delete",
    "deny",
    "desc",
    "describe",
    "do",
    "drop",
    "exec",
    "execute",
    "explain",
    "flush",
    "grant",
    "if",
    "import",
    "insert",
    "kill",
    "load",
    "lock",
    "merge",
    "pragma",
    "prepare",
    "print",
    "purge",
    "raiserror",
    "reconfigure",
    "rename",
    "replace",
    "revoke",
    "rollback",
    "select",
    "set",
    "show",
    "shutdown",
    "sp_executesql",
    "start",
    "truncate",
    "update",
    "upsert",
    "use",
    "vacuum",
    "values",
    "waitfor",
    "while",
    "with",
    "xp_cmdshell",
];

/// Does the text begin with such a word, after spaces, comments, semicolons and parentheses?
pub(super) fn begins_statement(text: &str) -> bool {
    begins(text, false) || begins(text, true)
}

fn begins(text: &str, nested_comments: bool) -> bool {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| is_space(c) || c == ';' || c == '(');
        if let Some(comment) = rest.strip_prefix("--").or_else(|| rest.strip_prefix('#')) {
            rest = comment.split_once(['\n', '\r']).map_or("", |(_, after)| after);
        } else if let Some(hint) = rest.strip_prefix("/*!").or_else(|| rest.strip_prefix("/*M!")) {
            // MySQL runs the text of such a comment.
            rest = hint.trim_start_matches(|c: char| c.is_ascii_digit());
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = after_comment(comment, nested_comments);
        } else {
            break;
        }
    }
    let is_part = |c: &char| c.is_ascii_alphabetic() || *c == '_';
    let word: String = rest.chars().take(16).take_while(is_part).collect();
    FIRST_WORDS.binary_search(&word.to_ascii_lowercase().as_str()).is_ok()
}

/// What follows a comment whose opening sign was taken.
fn after_comment(comment: &str, nested: bool) -> &str {
    let mut depth = 1;
    let mut rest = comment;
    while depth > 0 {
        let Some(end) = rest.find("*/") else { return "" };
        if nested {
            depth += rest[..end].matches("/*").count();
        }
        rest = &rest[end + 2..];
        depth -= 1;
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_sorted() {
        assert!(FIRST_WORDS.is_sorted());
    }

    #[test]
    fn comments_of_every_kind_are_passed() {
        for text in [
            "DROP",
            " \u{feff};(( drop x",
            "-- a\ndrop",
            "-- a\rdrop",
            "# a\ndrop",
            "/* a */drop",
            "/* /* a */ drop",
            "/* /* a */ b */ drop",
            "/*!50000 drop */",
            "/*M! drop */",
        ] {
            assert!(begins_statement(text), "{text}");
        }
        for text in ["", "dropped", "weather", "-- drop", "/* drop", "1 drop", "'drop'"] {
            assert!(!begins_statement(text), "{text}");
        }
    }
}
