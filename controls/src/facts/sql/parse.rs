//! Parsing within bounds.
//!
//! The parser recurses with the text, and so does what it makes when it is visited and dropped. So its tokens
//! are looked at first: how deep brackets nest, and how long operators and suffixes can be chained, bound the
//! depth of the tree; a meter bounds the time (see `metered`).

use sqlparser::dialect::{
    Dialect, GenericDialect, MsSqlDialect, MySqlDialect, PostgreSqlDialect, SQLiteDialect,
};
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::metered::Metered;
use super::{Statements, classify};

pub(super) const DIALECTS: [&dyn Dialect; 5] = [
    &GenericDialect {},
    &PostgreSqlDialect {},
    &MySqlDialect {},
    &SQLiteDialect {},
    &MsSqlDialect {},
];

/// Longest text that is parsed.
const MAX_BYTES: usize = 32 * 1024;
/// Deepest nesting of brackets.
const MAX_BRACKETS: usize = 24;
/// Most tokens without a comma between them, those in brackets included: what can be one chain.
const MAX_CHAIN: usize = 600;
/// Most words that combine queries.
const MAX_SETS: usize = 100;
/// Most types in angle brackets, and most INTERVALs in a row, which the parser follows without counting.
const MAX_UNCOUNTED: usize = 24;
/// Deepest nesting that the parser follows.
const RECURSION_LIMIT: usize = 48;
/// Questions to one dialect while it reads a text.
const MAX_QUESTIONS: u32 = 18_000;

/// What may be parsed in one message.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: usize,
    questions: u32,
}

impl Budget {
    pub(super) fn of_message() -> Self {
        Budget { bytes: 1024 * 1024, questions: 20 * MAX_QUESTIONS }
    }
}

/// What parsing tells of a text.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    /// Each label as often as in the dialect that has most of it.
    pub(super) labels: Statements,
    /// Some dialect reads the whole text.
    pub(super) is_sql: bool,
    /// Some dialect might, beyond the bounds.
    pub(super) is_beyond: bool,
}

pub(super) fn parse(text: &str, budget: &mut Budget) -> Parsed {
    let mut parsed = Parsed::default();
    if text.len() > MAX_BYTES.min(budget.bytes) {
        parsed.is_beyond = true;
        return parsed;
    }
    budget.bytes -= text.len();
    for dialect in DIALECTS {
        let Ok(tokens) = Tokenizer::new(dialect, text).tokenize_with_location() else { continue };
        if !is_shallow(&tokens) {
            parsed.is_beyond = true;
            continue;
        }
        let allowance = MAX_QUESTIONS.min(budget.questions);
        let metered = Metered::new(dialect, allowance);
        let statements = Parser::new(&metered)
            .with_recursion_limit(RECURSION_LIMIT)
            .with_tokens_with_locations(tokens)
            .parse_statements();
        budget.questions -= allowance - metered.left();
        parsed.is_beyond |= metered.left() == 0;
        let Ok(statements) = statements else { continue };
        parsed.is_sql |= !statements.is_empty();
        let mut labels = Statements::new();
        for label in statements.iter().flat_map(classify::labels) {
            super::add(&mut labels, label);
        }
        super::keep_most(&labels, &mut parsed.labels);
    }
    parsed
}

/// Is the tree that these tokens can become of bounded depth?
fn is_shallow(tokens: &[TokenWithSpan]) -> bool {
    // Length of the chain so far, and of the longest before the last comma, at each open bracket.
    let mut chains = vec![(0_usize, 0_usize)];
    let (mut sets, mut types, mut intervals) = (0, 0, 0);
    let mut last = None;
    for token in tokens {
        let closes = chains.len() > 1;
        let Some((chain, longest)) = chains.last_mut() else { return false };
        match &token.token {
            Token::Whitespace(_) => continue,
            Token::Comma | Token::SemiColon => {
                *longest = (*longest).max(*chain);
                *chain = 0;
            }
            Token::LParen | Token::LBracket | Token::LBrace => chains.push((0, 0)),
            Token::RParen | Token::RBracket | Token::RBrace if closes => {
                let inner = (*chain).max(*longest);
                chains.pop();
                if let Some((chain, _)) = chains.last_mut() {
                    *chain += inner + 2;
                }
            }
            Token::Lt if matches!(last, Some(Keyword::ARRAY | Keyword::MAP | Keyword::STRUCT)) => {
                types += 1;
            }
            Token::Word(word) => {
                *chain += 1;
                let combines =
                    [Keyword::UNION, Keyword::EXCEPT, Keyword::INTERSECT, Keyword::MINUS];
                sets += usize::from(combines.contains(&word.keyword));
            }
            _ => *chain += 1,
        }
        let word = match &token.token {
            Token::Word(word) => Some(word.keyword),
            _ => None,
        };
        let repeats = word == Some(Keyword::INTERVAL) && last == word;
        intervals = if repeats { intervals + 1 } else { 0 };
        last = word;
        let too_long = chains.last().is_some_and(|(chain, _)| *chain > MAX_CHAIN);
        if too_long
            || chains.len() > MAX_BRACKETS
            || sets > MAX_SETS
            || types.max(intervals) > MAX_UNCOUNTED
        {
            return false;
        }
    }
    // Brackets that are never closed end with the text.
    chains.iter().map(|(chain, longest)| chain.max(longest)).sum::<usize>() <= MAX_CHAIN
}
