//! What of a text is told by its tokens alone, before a parser sees it. All of it is linear.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::engine::SqlError;

/// Most tokens besides white space.
const MAX_TOKENS: usize = 20_000;
/// Most brackets of any kind that are open at a time. The parser's own limit counts other things, and not everywhere.
const MAX_NESTING: usize = 32;
/// Most operators, joins and set operations in a statement. The planner recurses on them; its stack is made for these.
pub(super) const MAX_CHAIN: usize = 1_000;
/// Most times that EXPLAIN stands in a text: the parser recurses on it without a limit of its own.
const MAX_EXPLAIN: usize = 8;

/// # Errors
/// Which bound is passed.
pub(super) fn check(tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
    let (mut count, mut chained, mut explained) = (0, 0, 0);
    let (mut open, mut nested) = (0usize, 0);
    for token in tokens.iter().map(|token| &token.token) {
        match token {
            Token::Whitespace(_) | Token::EOF => continue,
            Token::LParen | Token::LBracket | Token::LBrace => open += 1,
            Token::RParen | Token::RBracket | Token::RBrace => open = open.saturating_sub(1),
            Token::Word(word) if word.keyword == Keyword::EXPLAIN => explained += 1,
            _ => {}
        }
        nested = nested.max(open);
        count += 1;
        chained += usize::from(is_chaining(token));
    }
    for (found, limit, what) in [
        (count, MAX_TOKENS, "it has {} words and signs"),
        (nested, MAX_NESTING, "its brackets stand {} deep"),
        (chained, MAX_CHAIN, "it has {} operators and joins"),
        (explained, MAX_EXPLAIN, "EXPLAIN stands in it {} times"),
    ] {
        if found > limit {
            let found = what.replace("{}", &found.to_string());
            return Err(SqlError::TooComplex(format!("{found}, at most {limit} are accepted")));
        }
    }
    Ok(())
}

/// Everything but names, literals, round brackets, commas and the words that shape a query.
fn is_chaining(token: &Token) -> bool {
    match token {
        Token::Word(word) => matches!(
            word.keyword,
            Keyword::AND
                | Keyword::OR
                | Keyword::NOT
                | Keyword::XOR
                | Keyword::IS
                | Keyword::NOTNULL
                | Keyword::IN
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::RLIKE
                | Keyword::REGEXP
                | Keyword::SIMILAR
                | Keyword::MATCH
                | Keyword::MEMBER
                | Keyword::OVERLAPS
                | Keyword::BETWEEN
                | Keyword::OPERATOR
                | Keyword::DIV
                | Keyword::COLLATE
                | Keyword::AT
                | Keyword::UNION
                | Keyword::EXCEPT
                | Keyword::INTERSECT
                | Keyword::MINUS
                | Keyword::JOIN
                | Keyword::APPLY
                | Keyword::PIVOT
                | Keyword::UNPIVOT
                | Keyword::MATCH_RECOGNIZE
        ),
        Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_)
        | Token::Comma
        | Token::Period
        | Token::LParen
        | Token::RParen
        | Token::SemiColon => false,
        _ => true,
    }
}
