//! Reading SQL without a grammar.

use sqlparser::dialect::GenericDialect;
use sqlparser::tokenizer::{Token, Tokenizer, Whitespace};

/// Longest text given to the tokenizer; a longer one is read word by word.
const MAX_TOKENIZED_BYTES: usize = 1024 * 1024;
/// Deepest nesting of dollar-quoted bodies that is searched.
const MAX_BODIES: usize = 4;

/// Words that begin statements.
const FIRST_WORDS: [&str; 43] = [
    "alter", "analyze", "attach", "begin", "call", "comment", "commit", "copy", "create",
    "declare", "delete", "desc", "describe", "do", "drop", "exec", "execute", "explain", "flush",
    "grant", "if", "import", "insert", "kill", "load", "lock", "merge", "pragma", "prepare",
    "purge", "rename", "replace", "revoke", "rollback", "select", "set", "show", "start",
    "truncate", "update", "use", "vacuum", "with",
];

/// Does the text begin with such a word, after spaces, comments, semicolons and parentheses?
pub(super) fn begins_statement(text: &str) -> bool {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| {
            c.is_whitespace() || c == ';' || c == '(' || c == '\u{feff}'
        });
        if let Some(comment) = rest.strip_prefix("--").or_else(|| rest.strip_prefix('#')) {
            rest = comment.split_once('\n').map_or("", |(_, after)| after);
        } else if let Some(hint) = rest.strip_prefix("/*!") {
            // MySQL runs the text of such a comment.
            rest = hint.trim_start_matches(|c: char| c.is_ascii_digit());
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").map_or("", |(_, after)| after);
        } else {
            break;
        }
    }
    let word: String = rest.chars().take(16).take_while(char::is_ascii_alphabetic).collect();
    FIRST_WORDS.binary_search(&word.to_ascii_lowercase().as_str()).is_ok()
}

/// Statements that drop or truncate: at the start of a statement, or wherever they stand.
pub(super) fn destructive(text: &str, anywhere: bool) -> Vec<&'static str> {
    let mut found = Vec::new();
    search(text, anywhere, MAX_BODIES, &mut found);
    found
}

fn search(text: &str, anywhere: bool, bodies: usize, found: &mut Vec<&'static str>) {
    let tokens = if text.len() <= MAX_TOKENIZED_BYTES {
        Tokenizer::new(&GenericDialect {}, text).tokenize().ok()
    } else {
        None
    };
    let Some(tokens) = tokens else {
        return match_words(&words(text), anywhere, found);
    };
    let mut piece = Vec::new();
    for token in tokens {
        match token {
            Token::Word(word) if word.quote_style.is_none() => {
                piece.push(word.value.to_ascii_lowercase());
            }
            Token::SemiColon => piece.push(";".to_owned()),
            // The body of a function or of DO is SQL again.
            Token::DollarQuotedString(body) if bodies > 0 => {
                search(&body.value, true, bodies - 1, found);
            }
            Token::Whitespace(Whitespace::MultiLineComment(hint)) if hint.starts_with('!') => {
                piece.extend(words(&hint));
            }
            Token::Whitespace(_) => {}
            _ => piece.push(String::new()),
        }
    }
    match_words(&piece, anywhere, found);
}

/// Words of a text that has no tokens (an open string or comment): comment signs and quotes part words.
fn words(text: &str) -> Vec<String> {
    let spaced = text.replace(';', " ; ");
    spaced
        .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ';'))
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect()
}

fn match_words(words: &[String], anywhere: bool, found: &mut Vec<&'static str>) {
    let mut starts = true;
    for (index, word) in words.iter().enumerate() {
        let next = words.get(index + 1).map_or("", String::as_str);
        let label = match (word.as_str(), next) {
            ("drop", "database" | "schema") => Some("drop_database"),
            ("drop", "table") => Some("drop_table"),
            ("truncate", "(" | "" | ";") => None,
            ("truncate", _) => Some("truncate"),
            _ => None,
        };
        found.extend(label.filter(|_| starts || anywhere));
        // Inside a block, a statement follows these words as well.
        starts = matches!(word.as_str(), ";" | "begin" | "then" | "else" | "loop");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_sorted() {
        assert!(FIRST_WORDS.is_sorted());
    }
}
