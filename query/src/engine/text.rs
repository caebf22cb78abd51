//! Cells as text: one spelling for each value, wherever it is shown.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Number, Value};

/// The cells of a batch. Times read `2026-07-28T09:00:00.000000000Z`, binary reads hex, null is none.
pub(crate) struct Cells<'a>(Vec<Column<'a>>);

struct Column<'a> {
    array: &'a ArrayRef,
    formatter: ArrayFormatter<'a>,
}

impl<'a> Cells<'a> {
    pub(crate) fn of(batch: &'a RecordBatch) -> Result<Self, ArrowError> {
        batch.columns().iter().map(Column::of).collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn row(&self, row: usize) -> impl Iterator<Item = Option<String>> {
        self.0.iter().map(move |column| column.text(row))
    }

    /// As JSON: numbers and booleans as such, lists as lists, all else as text.
    pub(crate) fn json_row(&self, row: usize) -> impl Iterator<Item = Value> {
        self.0.iter().map(move |column| column.json(row))
    }
}

impl<'a> Column<'a> {
    fn of(array: &'a ArrayRef) -> Result<Self, ArrowError> {
        let formatter = ArrayFormatter::try_new(array.as_ref(), options(array.data_type()))?;
        Ok(Self { array, formatter })
    }

    fn text(&self, row: usize) -> Option<String> {
        let is_null = self.array.is_null(row) || self.array.data_type() == &DataType::Null;
        (!is_null).then(|| self.formatter.value(row).to_string())
    }

    fn json(&self, row: usize) -> Value {
        let Some(text) = self.text(row) else { return Value::Null };
        match self.array.data_type() {
            DataType::Boolean => Value::Bool(self.array.as_boolean().value(row)),
            data_type if data_type.is_integer() => {
                text.parse().map_or(Value::String(text), |number: Number| number.into())
            }
            data_type if data_type.is_floating() => {
                let number = text.parse().ok().and_then(Number::from_f64);
                number.map_or(Value::String(text), Value::Number)
            }
            DataType::List(_) => list(&self.array.as_list::<i32>().value(row)),
            DataType::LargeList(_) => list(&self.array.as_list::<i64>().value(row)),
            _ => Value::String(text),
        }
    }
}

fn list(values: &ArrayRef) -> Value {
    match Column::of(values) {
        Ok(column) => (0..values.len()).map(|row| column.json(row)).collect(),
        Err(_) => Value::Null,
    }
}

static UTC: FormatOptions<'static> = FormatOptions::new()
    .with_display_error(false)
    .with_timestamp_tz_format(Some("%Y-%m-%dT%H:%M:%S%.9fZ"))
    .with_timestamp_format(Some("%Y-%m-%dT%H:%M:%S%.9f"));
static ZONED: FormatOptions<'static> = FormatOptions::new()
    .with_display_error(false)
    .with_timestamp_tz_format(Some("%Y-%m-%dT%H:%M:%S%.9f%:z"));

fn options(data_type: &DataType) -> &'static FormatOptions<'static> {
    match data_type {
        DataType::Timestamp(_, Some(zone)) if !matches!(zone.as_ref(), "UTC" | "+00:00" | "Z") => {
            &ZONED
        }
        _ => &UTC,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BinaryArray, BooleanArray, Float64Array, ListArray, NullArray, StringArray,
        TimestampNanosecondArray, UInt64Array,
    };
    use arrow::datatypes::UInt64Type;
    use serde_json::json;

    use super::*;

    #[test]
    fn every_value_has_one_spelling() {
        let time = TimestampNanosecondArray::from(vec![Some(1_500_000_000), None]);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("time", Arc::new(time.clone().with_timezone("UTC"))),
            ("zoned", Arc::new(time.with_timezone("+02:00"))),
            ("binary", Arc::new(BinaryArray::from(vec![Some(&b"\x00\xff"[..]), None]))),
            ("count", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None]))),
            ("flag", Arc::new(BooleanArray::from(vec![Some(true), None]))),
            ("real", Arc::new(Float64Array::from(vec![Some(f64::NAN), None]))),
            ("text", Arc::new(StringArray::from(vec![Some(""), None]))),
            ("nothing", Arc::new(NullArray::new(2))),
            (
                "list",
                Arc::new(ListArray::from_iter_primitive::<UInt64Type, _, _>([
                    Some([Some(1), None]),
                    None,
                ])),
            ),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().map(|(name, array)| (name, array, true)),
        );
        let batch = batch.unwrap();
        let cells = Cells::of(&batch).unwrap();
        let texts: Vec<_> = cells.row(0).collect();
        let text = |index: usize| texts[index].as_deref();
        assert_eq!(text(0), Some("1970-01-01T00:00:01.500000000Z"));
        assert_eq!(text(1), Some("1970-01-01T02:00:01.500000000+02:00"));
        assert_eq!(text(2), Some("00ff"));
        assert_eq!(text(3), Some("18446744073709551615"));
        assert_eq!((text(6), text(7)), (Some(""), None));
        assert!(cells.row(1).all(|cell| cell.is_none()));
        let row: Vec<_> = cells.json_row(0).collect();
        assert_eq!(
            row[3..],
            [json!(u64::MAX), json!(true), json!("NaN"), json!(""), json!(null), json!([1, null])]
        );
        assert!(cells.json_row(1).all(|cell| cell.is_null()));
    }
}
