//! Finding statements without a grammar, in every reading of a text and in the strings that it executes.

use super::lexer::{Seen, Token, is_space, read, readings};
use super::shape::{self, Eye};
use super::{Statements, keep_most};

/// How much text one message may have read in every way; what is beyond is read word by word.
#[derive(Debug)]
pub(super) struct Budget(pub(super) usize);

/// Deepest nesting of strings that are searched as SQL.
const MAX_BODIES: usize = 4;

/// Words with which a string is executed.
const EXECUTERS: [&str; 17] = [
    "dblink",
    "dblink_exec",
    "dblink_open",
    "dblink_send_query",
    "eval",
    "exec",
    "execute",
    "function",
    "immediate",
    "openquery",
    "openrowset",
    "prepare",
    "procedure",
    "query_to_xml",
    "sp_executesql",
    "sp_prepare",
    "xp_cmdshell",
];

/// What is found in a text.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Each label as often as in the reading that has most of it.
    pub(super) labels: Statements,
    /// Comments or strings end at different places in different readings.
    pub(super) is_ambiguous: bool,
}

pub(super) fn search(text: &str, eye: Eye, budget: &mut Budget) -> Found {
    let mut found = Found::default();
    let mut texts = vec![(text.to_owned(), eye)];
    for _ in 0..=MAX_BODIES {
        let mut bodies = Vec::new();
        for (text, eye) in &texts {
            bodies.extend(one(text, *eye, budget, &mut found));
        }
        bodies.sort_unstable();
        bodies.dedup();
        texts = bodies.into_iter().map(|body| (body, Eye::Open)).collect();
    }
    found
}

/// Searches one text, and returns the strings that it executes.
fn one(text: &str, eye: Eye, budget: &mut Budget, found: &mut Found) -> Vec<String> {
    let mut bodies = Vec::new();
    let Some(left) = budget.0.checked_sub(text.len()) else {
        keep_most(&shape::labels(&words(text), eye), &mut found.labels);
        return bodies;
    };
    budget.0 = left;
    let mut seen = Seen::new(text);
    let mut is_open = false;
    for reading in readings(text) {
        let (tokens, open) = read(text, reading, &mut seen);
        keep_most(&shape::labels(&tokens, eye), &mut found.labels);
        is_open |= open;
        executed(tokens, &mut bodies);
    }
    if is_open {
        keep_most(&shape::labels(&words(text), eye), &mut found.labels);
    }
    found.is_ambiguous |= seen.is_ambiguous();
    bodies
}

/// Bodies of functions; all strings when anything is executed, and these joined.
fn executed(tokens: Vec<Token>, bodies: &mut Vec<String>) {
    let executes = |(index, token): (usize, &Token)| match token {
        Token::Word(word) if word == "do" => {
            matches!(tokens.get(index + 1), Some(Token::Text(_) | Token::Word(_)))
        }
        Token::Word(word) => EXECUTERS.binary_search(&word.as_str()).is_ok(),
        _ => false,
    };
    let any = tokens.iter().enumerate().any(executes);
    let mut joined = String::new();
    let mut strings = 0;
    for token in tokens {
        match token {
            Token::Body(body) => bodies.push(body),
            Token::Text(text) | Token::Name(text) if any => {
                joined.push_str(&text);
                strings += 1;
                bodies.push(text);
            }
            _ => {}
        }
    }
    if strings > 1 {
        bodies.push(joined);
    }
}

/// Every word of a text, whatever it stands in.
fn words(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_part = |c: char| c == '_' || (!is_space(c) && !c.is_ascii_punctuation());
        let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        if length > 0 {
            tokens.push(Token::Word(rest[..length].to_lowercase()));
            rest = &rest[length..];
            continue;
        }
        match first {
            ';' => tokens.push(Token::Semicolon),
            '(' => tokens.push(Token::Open),
            ')' => tokens.push(Token::Close),
            ',' => tokens.push(Token::Comma),
            '.' => tokens.push(Token::Dot),
            _ => {}
        }
        rest = &rest[first.len_utf8()..];
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_sorted() {
        assert!(EXECUTERS.is_sorted());
    }
}
