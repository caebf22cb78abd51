//! Which functions SQL may call, and how large their output can become: known before they are called.
//!
//! The engine's memory pool counts joins, sorts and aggregates, and nothing that a function makes.

use arrow::array::{Array, ArrayRef, AsArray, LargeStringArray, StringArray, StringViewArray};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ColumnarValue;

/// Bytes of a value beside its content: an offset, a view, a bit of validity.
const ROW_BYTES: u64 = 17;

/// The most that the output of a call can be, told by its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Growth {
    /// So many bytes for each row, whatever the arguments.
    Row(u64),
    /// So many times the bytes of all arguments, each as long as the batch.
    Times(u64),
    /// The text, and the replacement wherever the pattern stands.
    Replace,
    /// At each character the replacement, which may repeat what it replaces.
    RegexpReplace,
    /// The text once for each group of the pattern.
    RegexpMatch,
    /// So many bytes and all other arguments, for each element of the lists.
    Element(u64),
    /// So many bytes for each byte of the arguments behind the first, for each row.
    Pattern(u64),
    /// The separator between every two arguments.
    Separator,
}

use Growth::{Element, Pattern, RegexpMatch, RegexpReplace, Replace, Row, Separator, Times};

/// Every function that may be called. What is not here is taken away, because its output has no bound that is
/// known before the call (`repeat`, `lpad`, `range`), or because it makes types of any width (`arrow_cast`, `struct`).
const FUNCTIONS: &[(Growth, &str)] = &[
    (
        Row(64),
        "abs acos acosh array_avg array_distance array_has array_has_all array_has_any array_length \
         array_ndims array_position array_product array_sum ascii asin asinh atan atan2 atanh bit_length \
         cardinality cbrt ceil character_length chr contains cos cosh cosine_distance cot current_date \
         current_time date_bin date_part date_trunc degrees empty ends_with exp factorial find_in_set floor \
         from_unixtime gcd inner_product isnan iszero lcm levenshtein ln log log10 log2 make_date make_time \
         nanvl now octet_length pi power radians random regexp_count regexp_instr regexp_like round signum \
         sin sinh sqrt starts_with strpos tan tanh to_date to_hex to_local_time to_time to_timestamp \
         to_timestamp_micros to_timestamp_millis to_timestamp_nanos to_timestamp_seconds to_unixtime trunc \
         uuid version",
    ),
    (
        Times(1),
        "array_any_value btrim coalesce concat decode greatest least left literal ltrim nullif nvl nvl2 \
         overlay reverse right rtrim split_part substr substr_index ||",
    ),
    (Row(4096), "array_dims"),
    (Row(256), "digest md5 sha224 sha256 sha384 sha512"),
    (Row(8192), "inclusion_proof"),
    (
        Times(2),
        "array_append array_compact array_concat array_distinct array_element array_except array_intersect \
         array_max array_min array_pop_back array_pop_front array_prepend array_remove array_remove_all \
         array_remove_n array_reverse array_slice array_sort array_union encode flatten get_field make_array \
         map map_entries map_extract map_keys map_values",
    ),
    (Times(8), "array_add array_normalize array_positions array_scale array_subtract"),
    (Times(3), "initcap lower upper"),
    (Times(12), "string_to_array"),
    (Times(4), "translate"),
    (Element(17), "array_replace array_replace_all array_replace_n"),
    (Element(350), "array_to_string"),
    (Element(512), "arrays_zip"),
    (Separator, "concat_ws"),
    (RegexpMatch, "regexp_match"),
    (RegexpReplace, "regexp_replace"),
    (Replace, "replace"),
    (Pattern(64), "to_char"),
];

impl Growth {
    /// Of a function that may be called.
    pub(crate) fn of(function: &str) -> Option<Self> {
        let offered = |names: &str| names.split_whitespace().any(|name| name == function);
        FUNCTIONS.iter().find(|(_, names)| offered(names)).map(|(growth, _)| *growth)
    }

    /// Bytes that a call on these arguments makes at most.
    pub(crate) fn bound(self, arguments: &[ColumnarValue], rows: usize) -> u64 {
        let row_count = rows as u64;
        let of = |argument: &ColumnarValue| materialized(argument, rows);
        let all = arguments.iter().map(of).fold(0, u64::saturating_add);
        let first = arguments.first().map_or(0, of);
        // Of the arguments behind the first: what stands in one row at most.
        let rest = arguments.iter().skip(1).map(largest).fold(0, u64::saturating_add);
        let content = match self {
            Self::Row(bytes) => row_count.saturating_mul(bytes),
            Self::Times(times) => all.saturating_mul(times),
            Self::Replace => replaced(arguments, rows),
            Self::RegexpReplace => {
                let places = first.saturating_add(row_count);
                let replacement = arguments.get(2).map_or(0, largest);
                places.saturating_mul(replacement.saturating_add(1)).saturating_mul(2)
            }
            Self::RegexpMatch => first.saturating_mul(rest.saturating_add(1)),
            Self::Element(bytes) => {
                let elements = arguments.iter().map(|list| elements(list, rows)).max();
                let each = rest.saturating_add(bytes);
                all.saturating_add(elements.unwrap_or(0).saturating_mul(each))
            }
            Self::Pattern(times) => row_count.saturating_mul(rest.saturating_mul(times)),
            Self::Separator => {
                let separators = (arguments.len() as u64).saturating_mul(row_count);
                let separator = arguments.first().map_or(0, largest);
                all.saturating_add(separators.saturating_mul(separator))
            }
        };
        content.saturating_add(row_count.saturating_mul(ROW_BYTES))
    }
}

/// Bytes of the values themselves: a view counts as what it shows, a slice as what it shows of its array.
pub(crate) fn content_bytes(array: &dyn Array) -> u64 {
    let views = |lengths: &mut dyn Iterator<Item = u64>| lengths.map(|length| length + 16).sum();
    match array.data_type() {
        // The lower half of a view is the length.
        DataType::Utf8View => {
            views(&mut array.as_string_view().views().iter().map(|view| *view as u64 & 0xffff_ffff))
        }
        DataType::BinaryView => {
            views(&mut array.as_binary_view().views().iter().map(|view| *view as u64 & 0xffff_ffff))
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            list_bytes(list.values(), list.value_offsets().iter().map(|offset| *offset as usize))
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            list_bytes(list.values(), list.value_offsets().iter().map(|offset| *offset as usize))
        }
        DataType::Struct(_) => {
            array.as_struct().columns().iter().map(|column| content_bytes(column)).sum()
        }
        _ => {
            let sliced = array.to_data().get_slice_memory_size();
            sliced.unwrap_or_else(|_| array.get_array_memory_size()) as u64
        }
    }
}

fn list_bytes(values: &ArrayRef, mut offsets: impl ExactSizeIterator<Item = usize>) -> u64 {
    let rows = offsets.len() as u64;
    let first = offsets.next().unwrap_or(0);
    let end = offsets.last().unwrap_or(first);
    content_bytes(&values.slice(first, end - first)).saturating_add(rows * 8)
}

/// Bytes of an argument once it is as long as the batch.
fn materialized(argument: &ColumnarValue, rows: usize) -> u64 {
    match argument {
        ColumnarValue::Array(array) => content_bytes(array),
        ColumnarValue::Scalar(scalar) => scalar_bytes(scalar).saturating_mul(rows as u64),
    }
}

/// Bytes of the content of a scalar.
pub(crate) fn scalar_bytes(scalar: &ScalarValue) -> u64 {
    match scalar {
        ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text) => {
            text.as_ref().map_or(0, |text| text.len() as u64)
        }
        other => other.size() as u64,
    }
}

/// Bytes of an argument in one row, at most.
fn largest(argument: &ColumnarValue) -> u64 {
    match argument {
        ColumnarValue::Scalar(scalar) => scalar_bytes(scalar),
        ColumnarValue::Array(array) => match Texts::of(argument) {
            Some(texts) => {
                let lengths = (0..array.len()).filter_map(|row| texts.at(row));
                lengths.map(|text| text.len() as u64).max().unwrap_or(0)
            }
            None => content_bytes(array),
        },
    }
}

fn elements(argument: &ColumnarValue, rows: usize) -> u64 {
    let (array, times) = match argument {
        ColumnarValue::Array(array) => (Some(ArrayRef::clone(array)), 1),
        ColumnarValue::Scalar(scalar) => (scalar.to_array().ok(), rows as u64),
    };
    let count = array.map_or(0, |array| match array.data_type() {
        DataType::List(_) => array.as_list::<i32>().values().len(),
        DataType::LargeList(_) => array.as_list::<i64>().values().len(),
        DataType::FixedSizeList(..) => array.as_fixed_size_list().values().len(),
        _ => 0,
    });
    (count as u64).saturating_mul(times)
}

/// Exactly what `replace` makes of its texts.
fn replaced(arguments: &[ColumnarValue], rows: usize) -> u64 {
    let texts: Option<Vec<Texts<'_>>> = arguments.iter().map(Texts::of).collect();
    let Some([texts, from, to]) = texts.as_deref() else { return u64::MAX };
    let bytes = (0..rows).map(|row| match (texts.at(row), from.at(row), to.at(row)) {
        (Some(text), Some(from), Some(to)) => {
            let places = match from.as_bytes() {
                [byte] => text.bytes().filter(|other| other == byte).count(),
                _ => text.matches(from).count(),
            } as u64;
            let gone = places.saturating_mul(from.len() as u64);
            (text.len() as u64 - gone).saturating_add(places.saturating_mul(to.len() as u64))
        }
        _ => 0,
    });
    bytes.fold(0, u64::saturating_add)
}

/// The texts of an argument, row by row.
enum Texts<'a> {
    Short(&'a StringArray),
    Large(&'a LargeStringArray),
    View(&'a StringViewArray),
    One(Option<&'a str>),
}

impl<'a> Texts<'a> {
    fn of(argument: &'a ColumnarValue) -> Option<Self> {
        match argument {
            ColumnarValue::Array(array) => match array.data_type() {
                DataType::Utf8 => Some(Self::Short(array.as_string())),
                DataType::LargeUtf8 => Some(Self::Large(array.as_string())),
                DataType::Utf8View => Some(Self::View(array.as_string_view())),
                _ => None,
            },
            ColumnarValue::Scalar(scalar) => match scalar {
                ScalarValue::Utf8(text)
                | ScalarValue::LargeUtf8(text)
                | ScalarValue::Utf8View(text) => Some(Self::One(text.as_deref())),
                _ => None,
            },
        }
    }

    fn at(&self, row: usize) -> Option<&'a str> {
        match *self {
            Self::Short(array) => array.is_valid(row).then(|| array.value(row)),
            Self::Large(array) => array.is_valid(row).then(|| array.value(row)),
            Self::View(array) => array.is_valid(row).then(|| array.value(row)),
            Self::One(text) => text,
        }
    }
}
