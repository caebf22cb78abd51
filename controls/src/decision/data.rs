//! Values that Cedar can hold, and their canonical JSON.

use std::collections::BTreeMap;

use cedar_policy::{ExpressionConstructionError, RestrictedExpression};

use crate::json::{Kind, Node, write_string};

/// Most values, of every depth together, in the arguments of one call: the policy engine needs hundreds of
/// bytes for each.
pub(super) const MAX_VALUES: usize = 50_000;

/// A value of the caller's, in the types of Cedar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Data {
    Bool(bool),
    Long(i64),
    Text(String),
    Set(Vec<Data>),
    Record(BTreeMap<String, Data>),
}

impl Data {
    /// By the table of the module's documentation; nothing for `null`. Depth is bounded by the reader.
    pub(super) fn from_json(node: Node<'_>) -> Option<Data> {
        Some(match node.kind() {
            Kind::Null => return None,
            Kind::True => Data::Bool(true),
            Kind::False => Data::Bool(false),
            Kind::Number => {
                node.as_i64().map_or_else(|| Data::Text(node.raw_str().to_owned()), Data::Long)
            }
            Kind::String => Data::Text(node.as_str()?.into_owned()),
            Kind::Array => Data::Set(node.elements().filter_map(Data::from_json).collect()),
            Kind::Object => Data::Record(
                node.members()
                    .filter_map(|member| {
                        Some((member.key.into_owned(), Data::from_json(member.value)?))
                    })
                    .collect(),
            ),
        })
    }

    /// Are there at most [`MAX_VALUES`] values in this one?
    pub(super) fn is_within_bounds(node: Node<'_>) -> bool {
        fn take(node: Node<'_>, left: &mut usize) -> bool {
            *left > 0 && {
                *left -= 1;
                node.elements().all(|element| take(element, left))
                    && node.members().all(|member| take(member.value, left))
            }
        }
        // The outermost value is none of those in it.
        take(node, &mut (MAX_VALUES + 1))
    }

    pub(super) fn texts<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Data {
        Data::Set(texts.into_iter().map(|text| Data::Text(text.as_ref().to_owned())).collect())
    }

    pub(super) fn record<const N: usize>(members: [(&str, Data); N]) -> Data {
        Data::Record(members.into_iter().map(|(name, data)| (name.to_owned(), data)).collect())
    }

    /// Canonical JSON: no spaces, member names ascending by bytes, fewest escapes.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Data::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
            Data::Long(value) => out.extend_from_slice(value.to_string().as_bytes()),
            Data::Text(text) => write_string(out, text),
            Data::Set(elements) => {
                out.push(b'[');
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    element.write(out);
                }
                out.push(b']');
            }
            Data::Record(members) => {
                out.push(b'{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    write_string(out, name);
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }

    /// The value as an expression without entities, extensions or operators.
    pub(super) fn to_cedar(&self) -> Result<RestrictedExpression, ExpressionConstructionError> {
        Ok(match self {
            Data::Bool(value) => RestrictedExpression::new_bool(*value),
            Data::Long(value) => RestrictedExpression::new_long(*value),
            Data::Text(text) => RestrictedExpression::new_string(text.clone()),
            Data::Set(elements) => RestrictedExpression::new_set(
                elements.iter().map(Data::to_cedar).collect::<Result<Vec<_>, _>>()?,
            ),
            Data::Record(members) => RestrictedExpression::new_record(
                members
                    .iter()
                    .map(|(name, value)| Ok((name.clone(), value.to_cedar()?)))
                    .collect::<Result<Vec<_>, ExpressionConstructionError>>()?,
            )?,
        })
    }
}
