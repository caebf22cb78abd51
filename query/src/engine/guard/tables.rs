//! How many tables a statement reads once each common table expression stands wherever it is named.
//!
//! The engine puts them in: of thirty that each name the one before twice it would make a plan of a billion tables.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{ObjectName, Query, Visit, Visitor};

use crate::engine::SqlError;

/// Most tables of a statement.
const MAX_TABLES: u64 = 128;

/// # Errors
/// When there are too many.
pub(super) fn check(statement: &impl Visit) -> Result<(), SqlError> {
    let mut tables = Tables { read: vec![0], ..Tables::default() };
    // The visitor never breaks.
    let ControlFlow::Continue(()) = statement.visit(&mut tables);
    let read = tables.read.first().copied().unwrap_or_default();
    if read > MAX_TABLES {
        return Err(SqlError::TooComplex(format!(
            "it reads tables {read} times, WITH counted wherever it is named, at most {MAX_TABLES} are accepted"
        )));
    }
    Ok(())
}

#[derive(Default)]
struct Tables {
    /// Of the whole, and of each query that is being visited within.
    read: Vec<u64>,
    /// By the name in `WITH`. Of two with the same name the larger counts.
    named: HashMap<String, u64>,
    /// Queries that stand in `WITH` and are not yet visited, by their place in memory.
    waiting: HashMap<*const Query, String>,
}

impl Tables {
    fn add(&mut self, read: u64) {
        if let Some(last) = self.read.last_mut() {
            *last = last.saturating_add(read);
        }
    }
}

impl Visitor for Tables {
    type Break = std::convert::Infallible;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let name = cte.alias.name.value.to_lowercase();
            self.waiting.insert(&raw const *cte.query, name);
        }
        self.read.push(0);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        let read = self.read.pop().unwrap_or_default();
        match self.waiting.remove(&(&raw const *query)) {
            // It counts where it is named.
            Some(name) => {
                let known = self.named.entry(name).or_default();
                *known = read.max(*known).max(1);
            }
            None => self.add(read),
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<Self::Break> {
        let name = relation.0.last().map(|part| part.to_string().trim_matches('"').to_lowercase());
        let read = name.and_then(|name| self.named.get(&name).copied()).unwrap_or(1);
        self.add(read);
        ControlFlow::Continue(())
    }
}
