//! The dialect of SQL, and how many steps parsing it may take.
//!
//! Where it is not clear what a bracket or a word begins, the parser tries one reading after the other, and does so
//! again at each level inside: a hundred bytes can take it years. It asks its dialect at every step, so the dialect
//! counts, and once too many were taken it answers with the one error that ends all readings.

use std::any::TypeId;
use std::cell::Cell;

use datafusion::sql::sqlparser::ast::{Expr, Statement};
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};

/// Most steps: a text of as many tokens as are accepted takes fewer, unless it is read over and over.
const MAX_STEPS: u32 = 40_000;

/// The generic dialect, for a parser that stops after [`MAX_STEPS`].
#[derive(Debug, Default)]
pub(super) struct Counting {
    steps: Cell<u32>,
}

impl Counting {
    pub(super) fn is_exhausted(&self) -> bool {
        self.steps.get() > MAX_STEPS
    }

    fn step(&self) -> Result<(), ParserError> {
        self.steps.set(self.steps.get().saturating_add(1));
        if self.is_exhausted() { Err(ParserError::RecursionLimitExceeded) } else { Ok(()) }
    }
}

macro_rules! as_generic {
    ($($name:ident)*) => { $(fn $name(&self) -> bool { GenericDialect.$name() })* };
}

impl Dialect for Counting {
    fn dialect(&self) -> TypeId {
        TypeId::of::<GenericDialect>()
    }

    fn parse_statement(&self, _parser: &mut Parser) -> Option<Result<Statement, ParserError>> {
        self.step().err().map(Err)
    }

    fn parse_prefix(&self, _parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        self.step().err().map(Err)
    }

    fn get_next_precedence(&self, _parser: &Parser) -> Option<Result<u8, ParserError>> {
        self.step().err().map(Err)
    }

    /// Asked of every `SELECT`, the only step of a query that reads no expression.
    fn supports_projection_trailing_commas(&self) -> bool {
        // What it comes to is told by the next step that can fail.
        let _told_later = self.step();
        GenericDialect.supports_projection_trailing_commas()
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        GenericDialect.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        GenericDialect.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        GenericDialect.is_identifier_part(ch)
    }

    // Everything else that the generic dialect says differently from none.
    as_generic! {
        allow_extract_custom allow_extract_single_quotes support_map_literal_syntax supports_array_join_syntax
        supports_array_typedef_with_brackets supports_asc_desc_in_column_definition
        supports_bitwise_shift_operators supports_comma_separated_set_assignments supports_comma_separated_trim
        supports_comment_on supports_comment_optimizer_hint supports_connect_by
        supports_constraint_keyword_without_name supports_create_index_with_clause
        supports_create_view_comment_syntax supports_cte_without_as supports_data_type_signed_suffix
        supports_detach supports_dictionary_syntax supports_empty_projections
        supports_explain_with_utility_options supports_extract_comma_syntax supports_filter_during_aggregation
        supports_from_first_select supports_group_by_expr supports_group_by_with_modifier supports_install
        supports_interpolate supports_interval_options supports_key_column_option
        supports_left_associative_joins_without_parens supports_limit_by supports_limit_comma
        supports_load_extension supports_match_against supports_match_recognize
        supports_multiline_comment_hints supports_named_fn_args_with_assignment_operator
        supports_nested_comments supports_optimize_table supports_parens_around_table_factor
        supports_parenthesized_set_variables supports_partition_by_after_order_by supports_pipe_operator
        supports_prewhere supports_quote_delimited_string supports_select_format
        supports_select_item_multi_column_alias supports_select_wildcard_except
        supports_select_wildcard_exclude supports_select_wildcard_ilike supports_select_wildcard_rename
        supports_select_wildcard_replace supports_set_names supports_settings
        supports_start_transaction_modifier supports_string_escape_constant supports_struct_literal
        supports_try_convert supports_unicode_string_literal supports_update_order_by
        supports_user_host_grantee supports_values_as_table_factor
        supports_window_clause_named_window_reference supports_window_function_null_treatment_arg
        supports_with_fill supports_xml_expressions
    }
}
