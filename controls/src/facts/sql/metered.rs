//! A dialect with a meter.
//!
//! The parser tries some constructs in several ways, and again inside each, so that a short text can cost
//! exponential time. It asks its dialect at every step, and that is counted: when the allowance is spent,
//! every further expression, operator and statement ends in an error at once. The count depends on the text
//! alone, so the outcome is the same on every machine.

use std::any::TypeId;
use std::cell::Cell;

use sqlparser::ast::{Expr, GranteesType, Statement};
use sqlparser::dialect::{Dialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};

/// Answers what `inner` answers, until the allowance is spent.
#[derive(Debug)]
pub(super) struct Metered {
    inner: &'static dyn Dialect,
    allowance: Cell<u32>,
}

impl Metered {
    pub(super) fn new(inner: &'static dyn Dialect, allowance: u32) -> Self {
        Metered { inner, allowance: Cell::new(allowance) }
    }

    /// What is left of the allowance.
    pub(super) fn left(&self) -> u32 {
        self.allowance.get()
    }

    /// Counts a question.
    fn count(&self) -> &'static dyn Dialect {
        self.allowance.set(self.allowance.get().saturating_sub(1));
        self.inner
    }

    /// Counts a question whose answer may be an error.
    fn ask<T>(
        &self,
        answer: impl FnOnce(&'static dyn Dialect) -> Option<Result<T, ParserError>>,
    ) -> Option<Result<T, ParserError>> {
        let inner = self.count();
        if self.left() == 0 {
            return Some(Err(ParserError::RecursionLimitExceeded));
        }
        answer(inner)
    }
}

/// Everything in which the dialects in use differ from the defaults of the trait and the parser asks for.
macro_rules! counted {
    ($($name:ident)*) => {
        impl Dialect for Metered {
            fn dialect(&self) -> TypeId {
                self.inner.dialect()
            }

            $(fn $name(&self) -> bool {
                self.count().$name()
            })*

            fn is_identifier_start(&self, ch: char) -> bool {
                self.inner.is_identifier_start(ch)
            }

            fn is_identifier_part(&self, ch: char) -> bool {
                self.inner.is_identifier_part(ch)
            }

            fn is_delimited_identifier_start(&self, ch: char) -> bool {
                self.inner.is_delimited_identifier_start(ch)
            }

            fn is_custom_operator_part(&self, ch: char) -> bool {
                self.inner.is_custom_operator_part(ch)
            }

            fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
                self.inner.identifier_quote_style(identifier)
            }

            fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
                self.count().is_reserved_for_identifier(keyword)
            }

            fn is_select_item_alias(
                &self,
                explicit: bool,
                keyword: &Keyword,
                parser: &mut Parser<'_>,
            ) -> bool {
                self.count().is_select_item_alias(explicit, keyword, parser)
            }

            fn is_table_factor_alias(
                &self,
                explicit: bool,
                keyword: &Keyword,
                parser: &mut Parser<'_>,
            ) -> bool {
                self.count().is_table_factor_alias(explicit, keyword, parser)
            }

            fn get_reserved_grantees_types(&self) -> &[GranteesType] {
                self.inner.get_reserved_grantees_types()
            }

            fn prec_value(&self, precedence: Precedence) -> u8 {
                self.inner.prec_value(precedence)
            }

            fn get_next_precedence(&self, parser: &Parser<'_>) -> Option<Result<u8, ParserError>> {
                self.ask(|inner| inner.get_next_precedence(parser))
            }

            fn parse_prefix(&self, parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
                self.ask(|inner| inner.parse_prefix(parser))
            }

            fn parse_infix(
                &self,
                parser: &mut Parser<'_>,
                expression: &Expr,
                precedence: u8,
            ) -> Option<Result<Expr, ParserError>> {
                self.ask(|inner| inner.parse_infix(parser, expression, precedence))
            }

            fn parse_statement(
                &self,
                parser: &mut Parser<'_>,
            ) -> Option<Result<Statement, ParserError>> {
                self.ask(|inner| inner.parse_statement(parser))
            }
        }
    };
}

counted! {
    allow_extract_custom allow_extract_single_quotes convert_type_before_value
    ignores_wildcard_escapes require_interval_qualifier requires_single_line_comment_whitespace
    support_map_literal_syntax supports_alter_column_type_using supports_array_join_syntax
    supports_array_typedef_with_brackets supports_asc_desc_in_column_definition
    supports_binary_kw_as_cast supports_bitwise_shift_operators supports_boolean_literals
    supports_comma_separated_set_assignments supports_comma_separated_trim supports_comment_on
    supports_comment_optimizer_hint supports_connect_by supports_constraint_keyword_without_name
    supports_create_index_with_clause supports_create_table_like_parenthesized
    supports_create_table_select supports_create_view_comment_syntax
    supports_cross_join_constraint supports_cte_without_as supports_data_type_signed_suffix
    supports_detach supports_dictionary_syntax supports_dollar_as_money_prefix
    supports_dollar_placeholder supports_double_ampersand_operator supports_empty_projections
    supports_end_transaction_modifier supports_eq_alias_assignment
    supports_explain_with_utility_options supports_extract_comma_syntax
    supports_factorial_operator supports_filter_during_aggregation supports_from_first_select
    supports_geometric_types supports_group_by_expr supports_group_by_with_modifier
    supports_in_empty_list supports_insert_set supports_insert_table_alias supports_install
    supports_interpolate supports_interval_options supports_key_column_option
    supports_left_associative_joins_without_parens supports_limit_by supports_limit_comma
    supports_listen_notify supports_load_extension supports_match_against
    supports_match_recognize supports_multiline_comment_hints
    supports_named_fn_args_with_assignment_operator supports_named_fn_args_with_colon_operator
    supports_named_fn_args_with_expr_name supports_named_fn_args_with_rarrow_operator
    supports_nested_comments supports_notnull_operator supports_numeric_literal_underscores
    supports_numeric_prefix supports_object_name_double_dot_notation supports_optimize_table
    supports_outer_join_operator supports_parens_around_table_factor
    supports_parenthesized_set_variables supports_partition_by_after_order_by
    supports_pipe_operator supports_prewhere supports_projection_trailing_commas
    supports_quote_delimited_string supports_select_format
    supports_select_item_multi_column_alias supports_select_modifiers
    supports_select_wildcard_except supports_select_wildcard_exclude
    supports_select_wildcard_ilike supports_select_wildcard_rename
    supports_select_wildcard_replace supports_select_wildcard_with_alias supports_set_names
    supports_set_stmt_without_operator supports_settings supports_start_transaction_modifier
    supports_string_escape_constant supports_string_literal_backslash_escape
    supports_string_literal_concatenation supports_struct_literal supports_table_hints
    supports_table_versioning supports_try_convert supports_unicode_string_literal
    supports_update_order_by supports_user_host_grantee supports_values_as_table_factor
    supports_window_clause_named_window_reference supports_window_function_null_treatment_arg
    supports_with_fill supports_xml_expressions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::sql::parse::DIALECTS;

    /// The meter changes nothing but time.
    #[test]
    fn what_is_read_is_the_same() {
        for sql in [
            "SELECT f(a => 1), `b`, [c], \"d\" FROM t x LEFT JOIN u ON x.a = u.a WHERE b NOTNULL",
            "SELECT TOP 5 a, IF(b, 1, 2) FROM t WITH (NOLOCK) CROSS APPLY u FOR JSON AUTO",
            "SELECT a::int, b @> c, ARRAY[1, 2][1], E'x' FROM t WHERE a ~* 'b' LIMIT 1 OFFSET 2",
            "SELECT DISTINCT ON (a) a MATCH b, c REGEXP 'd' FROM t LIMIT 1, 2",
            "INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2 RETURNING *",
            "REPLACE INTO t SET a = 1",
            "UPDATE t SET a = 1 FROM u WHERE t.b = u.b ORDER BY 1 LIMIT 2",
            "DELETE FROM t USING u WHERE t.a = u.a",
            "MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE OUTPUT $action",
            "CREATE TABLE t (a INT PRIMARY KEY ASC, b VARCHAR(3) COMMENT 'x', c INT[] )",
            "GRANT SELECT ON t TO 'u'@'h'",
            "DECLARE @a INT = 1; IF @a = 1 BEGIN PRINT 'x'; END",
            "SET NAMES utf8; SHOW TABLES LIKE 'a'; START TRANSACTION; COMMIT",
            "EXPLAIN ANALYZE SELECT (SELECT 1), CASE WHEN a THEN b END FROM t PIVOT (sum(a) FOR b IN (1))",
            "DROP TABLE a, b CASCADE; TRUNCATE t; ALTER TABLE t DROP COLUMN a",
        ] {
            for dialect in DIALECTS {
                let metered = Metered::new(dialect, u32::MAX);
                let of = |dialect: &dyn Dialect| Parser::parse_sql(dialect, sql);
                assert_eq!(of(&metered), of(dialect), "{dialect:?}: {sql}");
            }
        }
    }

    #[test]
    fn the_allowance_ends_the_parse() {
        let sql = format!("SELECT {}1", "CAST(".repeat(40));
        let metered = Metered::new(DIALECTS[0], 1000);
        assert!(Parser::parse_sql(&metered, &sql).is_err());
        assert_eq!(metered.left(), 0);
    }
}
