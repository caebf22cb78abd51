//! Labels of statements by the words that stand together in them.

use super::Statements;
use super::lexer::Token;
use super::words::{
    AFTER_NAMES, BEFORE_INTO, BEFORE_NAMES, ELSEWHERE, MODIFIERS, NEXT_STATEMENT, OBJECTS,
};

/// How sure a find must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Eye {
    /// The text is SQL: everything counts, wherever it stands.
    Open,
    /// The text should be SQL and does not begin so: what no prose says, or what begins a statement.
    Wary,
    /// The text may be prose: only what begins a statement.
    Narrow,
}

/// How much a find says by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    Perhaps,
    Likely,
    Sure,
}

pub(super) fn labels(tokens: &[Token], eye: Eye) -> Statements {
    let mut finder = Finder {
        tokens,
        eye,
        found: Statements::new(),
        depth: 0,
        open: Vec::new(),
        alters: false,
        selects: false,
    };
    (0..tokens.len()).for_each(|index| finder.take(index));
    finder.close(|_| true);
    finder.found
}

struct Finder<'t> {
    tokens: &'t [Token],
    eye: Eye,
    found: Statements,
    /// Open parentheses.
    depth: usize,
    /// DELETEs and UPDATEs whose end is not reached.
    open: Vec<Open>,
    /// Was there an ALTER in this statement?
    alters: bool,
    /// Was there a SELECT in this statement?
    selects: bool,
}

struct Open {
    depth: usize,
    is_update: bool,
    has_set: bool,
}

impl Finder<'_> {
    fn take(&mut self, index: usize) {
        match &self.tokens[index] {
            Token::Open => self.depth += 1,
            Token::Close => {
                let depth = self.depth.saturating_sub(1);
                self.close(|open| open.depth > depth);
                self.depth = depth;
            }
            Token::Semicolon => {
                self.close(|_| true);
                (self.alters, self.selects) = (false, false);
            }
            Token::Word(word) if !matches!(self.before(index), Some(Token::Dot)) => {
                self.word(index, word.as_str());
            }
            _ => {}
        }
    }

    fn word(&mut self, index: usize, word: &str) {
        let depth = self.depth;
        match word {
            "where" => self.close_where(),
            "set" => self.open.iter_mut().rev().take(1).for_each(|open| open.has_set = true),
            "select" => self.selects = true,
            _ => {}
        }
        if NEXT_STATEMENT.contains(&word) {
            self.close(|open| open.depth == depth);
        }
        match word {
            "drop" => self.drop(index),
            "truncate" if self.is_followed(index) => match self.word_at(index + 1) {
                "table" => self.add(index, "truncate", Weight::Sure),
                _ if self.is_action(index) => self.add(index, "truncate", Weight::Likely),
                _ => {}
            },
            "delete" if self.word_at(index + 1) == "from" => self.wait(index, Weight::Likely),
            "delete" if self.is_branch(index) => self.add(index, "delete", Weight::Perhaps),
            "delete" if self.is_action(index) && self.is_followed(index) => {
                self.wait(index, Weight::Perhaps);
            }
            "update" if self.word_at(index + 1) == "set" => match self.word_before(index) {
                "then" => self.add(index, "update", Weight::Perhaps),
                // An INSERT that says what to do with rows that are there.
                "do" => {}
                _ => self.wait(index, Weight::Perhaps),
            },
            "update" if self.is_action(index) && self.is_followed(index) => {
                self.wait(index, Weight::Perhaps);
            }
            "insert" if self.word_at(index + 1) == "into" => {
                self.add(index, "insert", Weight::Perhaps);
            }
            "insert" if self.is_action(index) && self.is_followed(index) => {
                self.add(index, "insert", Weight::Perhaps);
            }
            "alter" if self.is_action(index) && self.is_followed(index) => {
                self.alters = true;
                self.add(index, "alter", Weight::Perhaps);
            }
            "create" if self.is_action(index) && self.is_followed(index) => {
                self.add(index, "create", Weight::Perhaps);
            }
            "grant" | "revoke" | "deny" if self.is_followed(index) => {
                let is_option = self.word_at(index + 1) == "option";
                if self.word_before(index) != "with" && !is_option {
                    self.add(index, "grant", Weight::Perhaps);
                }
            }
            "into" if self.selects && !BEFORE_INTO.contains(&self.word_before(index)) => {
                self.add(index, "select_into", Weight::Perhaps);
            }
            _ if ELSEWHERE.contains(&word) && self.is_action(index) && self.is_followed(index) => {
                self.add(index, "other", Weight::Perhaps);
            }
            "shutdown" | "reconfigure" if self.is_action(index) => {
                self.add(index, "other", Weight::Perhaps);
            }
            _ => {}
        }
    }

    fn drop(&mut self, index: usize) {
        let mut next = index + 1;
        while MODIFIERS.contains(&self.word_at(next)) {
            next += 1;
        }
        match self.word_at(next) {
            "database" | "schema" => self.add(index, "drop_database", Weight::Sure),
            "table" | "tables" => self.add(index, "drop_table", Weight::Sure),
            object if OBJECTS.contains(&object) => {
                self.add(index, "drop_other", Weight::Perhaps);
            }
            // Of what else it drops, ALTER says enough: columns, indexes, defaults.
            _ if !self.alters && self.is_followed(index) => {
                self.add(index, "drop_other", Weight::Perhaps);
            }
            _ => {}
        }
    }

    fn add(&mut self, index: usize, label: &'static str, weight: Weight) {
        if self.counts(index, weight) {
            self.increase(label);
        }
    }

    fn increase(&mut self, label: &'static str) {
        let count = self.found.entry(label).or_default();
        *count = count.saturating_add(1);
    }

    /// Does a find of this weight count here?
    fn counts(&self, index: usize, weight: Weight) -> bool {
        match self.eye {
            Eye::Open => true,
            Eye::Wary => {
                weight == Weight::Sure || (weight >= Weight::Likely && self.is_start(index))
            }
            Eye::Narrow => weight >= Weight::Likely && self.is_start(index),
        }
    }

    fn is_start(&self, index: usize) -> bool {
        match self.before(index) {
            None | Some(Token::Semicolon) => true,
            // Inside a block, a statement follows these words as well.
            Some(Token::Word(word)) => {
                matches!(word.as_str(), "begin" | "then" | "else" | "loop")
            }
            _ => false,
        }
    }

    /// A DELETE or UPDATE: its WHERE may come.
    fn wait(&mut self, index: usize, weight: Weight) {
        if self.counts(index, weight) {
            let is_update = self.word_at(index) == "update";
            self.open.push(Open { depth: self.depth, is_update, has_set: false });
        }
    }

    /// Ends statements that were waiting for their WHERE.
    fn close(&mut self, ends: impl Fn(&Open) -> bool) {
        while let Some(open) = self.open.pop_if(|open| ends(open)) {
            match open {
                Open { is_update: false, .. } => self.increase("delete_without_where"),
                Open { has_set: true, .. } => self.increase("update_without_where"),
                _ => {}
            }
        }
    }

    /// A WHERE belongs to the innermost waiting statement of its depth.
    fn close_where(&mut self) {
        let depth = self.depth;
        match self.open.pop_if(|open| open.depth == depth) {
            Some(Open { is_update: false, .. }) => self.increase("delete"),
            Some(Open { has_set: true, .. }) => self.increase("update"),
            _ => {}
        }
    }

    /// The word does something here, and does not name a right, an event or a lock.
    fn is_action(&self, index: usize) -> bool {
        match self.before(index) {
            Some(Token::Word(word)) => !BEFORE_NAMES.contains(&word.as_str()),
            Some(Token::Comma) => false,
            _ => true,
        }
    }

    /// A name or word follows that can be what the statement is about.
    fn is_followed(&self, index: usize) -> bool {
        match self.tokens.get(index + 1) {
            Some(Token::Word(word)) => !AFTER_NAMES.contains(&word.as_str()),
            Some(Token::Name(_) | Token::Text(_)) => true,
            _ => false,
        }
    }

    /// The whole action of a MERGE.
    fn is_branch(&self, index: usize) -> bool {
        let ends = match self.tokens.get(index + 1) {
            None | Some(Token::Semicolon) => true,
            Some(Token::Word(word)) => matches!(word.as_str(), "when" | "output"),
            _ => false,
        };
        ends && self.word_before(index) == "then"
    }

    fn before(&self, index: usize) -> Option<&Token> {
        self.tokens.get(index.checked_sub(1)?)
    }

    fn word_before(&self, index: usize) -> &str {
        index.checked_sub(1).map_or("", |index| self.word_at(index))
    }

    fn word_at(&self, index: usize) -> &str {
        match self.tokens.get(index) {
            Some(Token::Word(word)) => word,
            _ => "",
        }
    }
}
