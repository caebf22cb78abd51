//! Which leaves a filter leaves over: ranges of `leaf_index` and `recorded_at`, so that segments outside are not read.

use std::ops::Range;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

/// Bounds on rows that a query can want; a filter may still refuse rows within.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    first: u64,
    end: u64,
    earliest: i64,
    latest: i64,
}

impl Bounds {
    /// What conjuncts leave over. A conjunct that is not understood leaves everything.
    pub(crate) fn of(filters: &[Expr]) -> Self {
        let all = Self { first: 0, end: u64::MAX, earliest: i64::MIN, latest: i64::MAX };
        filters.iter().fold(all, Self::narrow)
    }

    /// The rows of `rows`, recorded within `times`, that may be wanted.
    pub(crate) fn within(&self, rows: &Range<u64>, times: (i64, i64)) -> Range<u64> {
        if times.1 < self.earliest || times.0 > self.latest {
            return rows.start..rows.start;
        }
        let start = rows.start.max(self.first);
        start..rows.end.min(self.end).max(start)
    }

    fn narrow(self, filter: &Expr) -> Self {
        match filter {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
                self.narrow(left).narrow(right)
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                match (left.as_ref(), right.as_ref()) {
                    (Expr::Column(column), Expr::Literal(value, _)) => {
                        self.compare(column.name(), *op, value)
                    }
                    (Expr::Literal(value, _), Expr::Column(column)) => match op.swap() {
                        Some(op) => self.compare(column.name(), op, value),
                        None => self,
                    },
                    _ => self,
                }
            }
            Expr::Between(between) if !between.negated => {
                match (between.expr.as_ref(), between.low.as_ref(), between.high.as_ref()) {
                    (Expr::Column(column), Expr::Literal(low, _), Expr::Literal(high, _)) => self
                        .compare(column.name(), Operator::GtEq, low)
                        .compare(column.name(), Operator::LtEq, high),
                    _ => self,
                }
            }
            _ => self,
        }
    }

    fn compare(mut self, column: &str, op: Operator, value: &ScalarValue) -> Self {
        match (column, value) {
            ("leaf_index", ScalarValue::UInt64(Some(index))) => {
                let after = index.saturating_add(1);
                match op {
                    Operator::Eq => {
                        self.first = self.first.max(*index);
                        self.end = self.end.min(after);
                    }
                    Operator::Gt => self.first = self.first.max(after),
                    Operator::GtEq => self.first = self.first.max(*index),
                    Operator::Lt => self.end = self.end.min(*index),
                    Operator::LtEq => self.end = self.end.min(after),
                    _ => {}
                }
            }
            ("recorded_at", ScalarValue::TimestampNanosecond(Some(time), _)) => match op {
                Operator::Eq => {
                    self.earliest = self.earliest.max(*time);
                    self.latest = self.latest.min(*time);
                }
                Operator::Gt | Operator::GtEq => self.earliest = self.earliest.max(*time),
                Operator::Lt | Operator::LtEq => self.latest = self.latest.min(*time),
                _ => {}
            },
            _ => {}
        }
        self
    }
}

/// May the filter narrow what is read?
pub(crate) fn narrows(filter: &Expr) -> bool {
    Bounds::of(std::slice::from_ref(filter)) != Bounds::of(&[])
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};

    use super::*;

    #[test]
    fn comparisons_narrow_the_rows() {
        let rows = |filter: Expr| Bounds::of(&[filter]).within(&(10..20), (0, 9));
        assert_eq!(rows(col("leaf_index").eq(lit(12u64))), 12..13);
        assert_eq!(
            rows(col("leaf_index").gt(lit(12u64)).and(col("leaf_index").lt_eq(lit(15u64)))),
            13..16
        );
        assert_eq!(rows(lit(12u64).gt(col("leaf_index"))), 10..12);
        assert_eq!(rows(col("leaf_index").between(lit(1u64), lit(11u64))), 10..12);
        assert!(rows(col("leaf_index").gt_eq(lit(20u64))).is_empty());
        assert_eq!(rows(col("leaf_index").not_eq(lit(12u64))), 10..20);
        assert_eq!(rows(col("leaf_index").lt(lit(12u64)).or(col("kind").eq(lit("x")))), 10..20);
        let at = |time| lit(ScalarValue::TimestampNanosecond(Some(time), Some("UTC".into())));
        assert!(
            rows(col("recorded_at").gt(at(9))) == (10..20)
                && rows(col("recorded_at").gt(at(10))).is_empty()
        );
        assert!(rows(col("recorded_at").lt(at(-1))).is_empty());
    }
}
