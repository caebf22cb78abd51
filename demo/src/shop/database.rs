//! A table of customers and as much SQL as its tools need, parsed by a real parser.

use serde_json::{Map, Value};
use sqlparser::ast::{
    AssignmentTarget, BinaryOperator, Expr, FromTable, LimitClause, ObjectName, ObjectType, Query,
    SelectItem, SetExpr, Statement, TableFactor, TableWithJoins, Value as Literal,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

use crate::error::DemoError;

const TABLE: &str = "customers";
const COLUMNS: [&str; 6] = ["id", "name", "email", "card", "ssn", "tier"];
/// Columns of which no value may be seen outside.
const REGULATED: [usize; 3] = [2, 3, 4];

/// Names, addresses at a domain that is nobody's, card numbers that payment services publish for tests, tiers.
const PEOPLE: [(&str, &str, &str, &str); 6] = [
    ("Maria Lopez", "maria.lopez@example.com", "4111111111111111", "gold"),
    ("James Chen", "james.chen@example.com", "5555555555554444", "basic"),
    ("Fatima Al-Sayed", "fatima@example.org", "378282246310005", "gold"),
    ("Peter Novak", "p.novak@example.net", "6011111111111117", "basic"),
    ("Aisha Bello", "aisha.bello@example.com", "4012888888881881", "silver"),
    ("Tom Becker", "tom@example.org", "5105105105105100", "basic"),
];

/// The database; after DROP DATABASE nothing is in it.
pub(super) struct Database {
    customers: Option<Vec<Row>>,
}

type Row = [String; COLUMNS.len()];

impl Database {
    /// Customers, each with a social security number drawn now.
    pub(super) fn new() -> Result<Self, DemoError> {
        let mut customers = Vec::new();
        for (index, (name, email, card, tier)) in PEOPLE.into_iter().enumerate() {
            let ssn = new_ssn()?;
            let row =
                [(index + 1).to_string(), name.into(), email.into(), card.into(), ssn, tier.into()];
            customers.push(row);
        }
        Ok(Self { customers: Some(customers) })
    }

    pub(super) fn len(&self) -> usize {
        self.customers.as_ref().map_or(0, Vec::len)
    }

    pub(super) fn regulated_values(&self) -> impl Iterator<Item = String> {
        let rows = self.customers.iter().flatten();
        rows.flat_map(|row| REGULATED.map(|column| row[column].clone()))
    }

    /// Answers a SELECT.
    pub(super) fn query(&self, sql: &str) -> Result<Vec<Map<String, Value>>, String> {
        match parse(sql)? {
            Statement::Query(query) => self.select(&query),
            other => Err(format!("not a SELECT: {other}")),
        }
    }

    /// Does what a statement says, and tells what was done.
    pub(super) fn execute(&mut self, sql: &str) -> Result<String, String> {
        match parse(sql)? {
            Statement::Query(query) => Ok(format!("{} rows", self.select(&query)?.len())),
            Statement::Update(update) => {
                is_customers(&update.table)?;
                let keep = Condition::of(update.selection.as_ref())?;
                let mut changes = Vec::new();
                for assignment in &update.assignments {
                    let AssignmentTarget::ColumnName(name) = &assignment.target else {
                        return Err(format!("cannot set {}", assignment.target));
                    };
                    changes.push((column(&name.to_string())?, literal(&assignment.value)?));
                }
                let mut changed = 0;
                for row in self.rows_mut()?.iter_mut().filter(|row| keep.holds(row)) {
                    changed += 1;
                    changes.iter().for_each(|(column, value)| row[*column].clone_from(value));
                }
                Ok(format!("{changed} rows changed"))
            }
            Statement::Delete(delete) => {
                let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) =
                    &delete.from;
                from.iter().try_for_each(is_customers)?;
                let gone = Condition::of(delete.selection.as_ref())?;
                let rows = self.rows_mut()?;
                let before = rows.len();
                rows.retain(|row| !gone.holds(row));
                Ok(format!("{} rows deleted", before - rows.len()))
            }
            Statement::Drop {
                object_type: ObjectType::Database | ObjectType::Table,
                names,
                ..
            } => {
                names.iter().try_for_each(is_named_customers)?;
                self.customers.take().ok_or_else(|| format!("there is no {TABLE}"))?;
                Ok(format!("{TABLE} dropped"))
            }
            other => Err(format!("not understood: {other}")),
        }
    }

    fn rows_mut(&mut self) -> Result<&mut Vec<Row>, String> {
        self.customers.as_mut().ok_or_else(|| format!("there is no {TABLE}"))
    }

    fn select(&self, query: &Query) -> Result<Vec<Map<String, Value>>, String> {
        let SetExpr::Select(select) = query.body.as_ref() else {
            return Err(format!("not understood: {query}"));
        };
        select.from.iter().try_for_each(is_customers)?;
        let all = self.customers.as_ref().ok_or_else(|| format!("there is no {TABLE}"))?;
        let condition = Condition::of(select.selection.as_ref())?;
        let rows = all.iter().filter(|row| condition.holds(row));
        if let [SelectItem::UnnamedExpr(Expr::Function(function))] = select.projection.as_slice()
            && function.to_string().eq_ignore_ascii_case("count(*)")
        {
            let count = Value::from(rows.count());
            return Ok(vec![Map::from_iter([("count".to_owned(), count)])]);
        }
        let mut columns = Vec::new();
        for item in &select.projection {
            match item {
                SelectItem::Wildcard(_) => columns.extend(0..COLUMNS.len()),
                SelectItem::UnnamedExpr(Expr::Identifier(name)) => {
                    columns.push(column(&name.value)?);
                }
                other => return Err(format!("not understood: {other}")),
            }
        }
        let shown = |row: &Row| {
            columns.iter().map(|&at| (COLUMNS[at].to_owned(), row[at].clone().into())).collect()
        };
        Ok(rows.take(limit(query)?).map(shown).collect())
    }
}

fn parse(sql: &str) -> Result<Statement, String> {
    let statements =
        Parser::parse_sql(&GenericDialect {}, sql).map_err(|error| error.to_string())?;
    // As many drivers do: of several statements all run, and the last one answers. Here only the last runs.
    statements.into_iter().next_back().ok_or_else(|| "there is no statement".to_owned())
}

/// `column = literal`, joined by AND.
struct Condition(Vec<(usize, String)>);

impl Condition {
    fn of(expression: Option<&Expr>) -> Result<Self, String> {
        let mut all = Vec::new();
        if let Some(expression) = expression {
            Self::collect(expression, &mut all)?;
        }
        Ok(Self(all))
    }

    fn collect(expression: &Expr, all: &mut Vec<(usize, String)>) -> Result<(), String> {
        match expression {
            Expr::Nested(inner) => Self::collect(inner, all),
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                Self::collect(left, all)?;
                Self::collect(right, all)
            }
            Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => match left.as_ref() {
                Expr::Identifier(name) => {
                    all.push((column(&name.value)?, literal(right)?));
                    Ok(())
                }
                other => Err(format!("not understood: {other}")),
            },
            other => Err(format!("not understood: {other}")),
        }
    }

    fn holds(&self, row: &Row) -> bool {
        self.0.iter().all(|(column, value)| row[*column] == *value)
    }
}

fn column(name: &str) -> Result<usize, String> {
    let position = COLUMNS.iter().position(|column| column.eq_ignore_ascii_case(name));
    position.ok_or_else(|| format!("there is no column {name:?}: {}", COLUMNS.join(", ")))
}

fn literal(expression: &Expr) -> Result<String, String> {
    match expression {
        Expr::Value(value) => match &value.value {
            Literal::Number(number, _) => Ok(number.to_string()),
            Literal::SingleQuotedString(text) | Literal::DoubleQuotedString(text) => {
                Ok(text.clone())
            }
            other => Err(format!("not understood: {other}")),
        },
        other => Err(format!("not understood: {other}")),
    }
}

fn limit(query: &Query) -> Result<usize, String> {
    match &query.limit_clause {
        None | Some(LimitClause::LimitOffset { limit: None, .. }) => Ok(usize::MAX),
        Some(LimitClause::LimitOffset { limit: Some(limit), .. }) => {
            literal(limit)?.parse().map_err(|_| format!("LIMIT {limit} is no number"))
        }
        Some(other) => Err(format!("not understood:{other}")),
    }
}

fn is_customers(table: &TableWithJoins) -> Result<(), String> {
    match &table.relation {
        TableFactor::Table { name, .. } if table.joins.is_empty() => is_named_customers(name),
        other => Err(format!("not understood: {other}")),
    }
}

fn is_named_customers(name: &ObjectName) -> Result<(), String> {
    let is_it = name.to_string().eq_ignore_ascii_case(TABLE);
    if is_it { Ok(()) } else { Err(format!("there is no {name}; there is {TABLE}")) }
}

/// A number of the form and ranges that can have been issued.
fn new_ssn() -> Result<String, DemoError> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(DemoError::Random)?;
    let number = u64::from_le_bytes(random);
    let (area, group, serial) =
        (100 + number % 500, 10 + number / 500 % 90, 1000 + number / 45_000 % 9000);
    Ok(format!("{area}-{group}-{serial}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(rows: &[Map<String, Value>]) -> Vec<&str> {
        rows.iter().map(|row| row["name"].as_str().unwrap()).collect()
    }

    #[test]
    fn select_filters_projects_and_limits() {
        let database = Database::new().unwrap();
        let rows = database.query("SELECT name, tier FROM customers WHERE tier = 'gold'").unwrap();
        assert_eq!(names(&rows), ["Maria Lopez", "Fatima Al-Sayed"]);
        assert_eq!(rows[0].keys().collect::<Vec<_>>(), ["name", "tier"]);
        let rows =
            database.query("select * from Customers where (id = 2) and tier = 'basic' limit 5");
        assert_eq!(names(&rows.unwrap()), ["James Chen"]);
        assert_eq!(database.query("SELECT * FROM customers LIMIT 2").unwrap().len(), 2);
        let count = database.query("SELECT count(*) FROM customers").unwrap();
        assert_eq!(count[0]["count"], PEOPLE.len());
    }

    #[test]
    fn statements_change_what_they_say() {
        let mut database = Database::new().unwrap();
        let changed = database.execute("UPDATE customers SET tier = 'gold' WHERE id = 2").unwrap();
        assert_eq!(changed, "1 rows changed");
        assert_eq!(
            database.query("SELECT id FROM customers WHERE tier = 'gold'").unwrap().len(),
            3
        );
        assert_eq!(
            database.execute("SELECT 1; DROP DATABASE customers").unwrap(),
            "customers dropped"
        );
        assert!(database.execute("DROP DATABASE customers").is_err());
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let mut database = Database::new().unwrap();
        for sql in [
            "",
            "SELEC",
            "SELECT * FROM orders",
            "SELECT shoe FROM customers",
            "SELECT * FROM customers WHERE id > 1",
            "SELECT * FROM customers a JOIN customers b",
            "DELETE FROM orders",
            "SELECT * FROM customers LIMIT 'x'",
            "CREATE TABLE a (b int)",
            "SELECT 1 UNION SELECT 2",
            "UPDATE customers SET shoe = 1",
        ] {
            assert!(database.execute(sql).is_err(), "{sql}");
        }
        assert_eq!(database.len(), PEOPLE.len());
    }
}
