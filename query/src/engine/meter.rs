//! Counts what the functions of one query make and still hold, so that together they stay within a bound.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature,
};

use super::growth::{Growth, content_bytes, scalar_bytes};

/// A scalar of at most so many bytes is not counted when it stands for a whole batch.
const SMALL_BYTES: u64 = 64;
/// What an array takes beside its values.
const ARRAY_BYTES: u64 = 256;

/// The bound of one query, and what counts towards it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Meter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit_bytes: u64,
    held: Mutex<Held>,
}

/// Outputs of functions; those that nobody else holds any more are forgotten when room is needed.
#[derive(Debug, Default)]
struct Held {
    arrays: Vec<(Weak<dyn Array>, u64)>,
    bytes: u64,
    /// Once refused, always: the optimizer tries again what it could not compute.
    refused: Option<String>,
}

impl Meter {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self(Arc::new(Inner { limit_bytes: limit_bytes as u64, held: Mutex::default() }))
    }

    /// The same function, counted. One whose output has no bound is refused.
    pub(crate) fn metered(&self, function: &Arc<ScalarUDF>) -> Result<Arc<ScalarUDF>> {
        if function.inner().is::<Metered>() {
            return Ok(Arc::clone(function));
        }
        let name = function.name();
        let Some(growth) = Growth::of(name) else {
            return Err(DataFusionError::Plan(format!("the function {name} is not offered here")));
        };
        let metered = Metered { inner: Arc::clone(function), growth, meter: self.clone() };
        Ok(Arc::new(ScalarUDF::from(metered)))
    }

    /// May so many bytes be made?
    fn admit(&self, function: &str, bytes: u64) -> Result<()> {
        // Nothing panics while the lock is held.
        let mut held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
        self.check(&mut held, function, bytes)
    }

    /// Counts an output for as long as somebody has it.
    fn hold(&self, function: &str, array: &ArrayRef) -> Result<()> {
        let bytes = content_bytes(array).saturating_add(ARRAY_BYTES);
        let mut held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
        self.check(&mut held, function, bytes)?;
        held.arrays.push((Arc::downgrade(array), bytes));
        held.bytes += bytes;
        Ok(())
    }

    fn check(&self, held: &mut Held, function: &str, bytes: u64) -> Result<()> {
        if let Some(refused) = &held.refused {
            return Err(DataFusionError::ResourcesExhausted(refused.clone()));
        }
        let limit = self.0.limit_bytes;
        if held.bytes.saturating_add(bytes) > limit {
            held.arrays.retain(|(array, _)| array.strong_count() > 0);
            held.bytes = held.arrays.iter().map(|(_, bytes)| bytes).sum();
        }
        if held.bytes.saturating_add(bytes) <= limit {
            return Ok(());
        }
        let refused = format!(
            "{function} may make {bytes} bytes of a batch, functions hold {} already, and may hold {limit}",
            held.bytes
        );
        held.refused = Some(refused.clone());
        Err(DataFusionError::ResourcesExhausted(refused))
    }
}

/// A function that is refused before it makes more than there is room for.
#[derive(Debug)]
pub(crate) struct Metered {
    inner: Arc<ScalarUDF>,
    growth: Growth,
    meter: Meter,
}

impl Metered {
    /// A value for a whole batch as the array it will become, so that it is counted like one.
    fn spread(&self, scalar: ScalarValue, rows: usize) -> Result<ColumnarValue> {
        let bytes = scalar_bytes(&scalar);
        if rows <= 1 || bytes <= SMALL_BYTES {
            return Ok(ColumnarValue::Scalar(scalar));
        }
        self.meter.admit(self.inner.name(), bytes.saturating_mul(rows as u64))?;
        let array = scalar.to_array_of_size(rows)?;
        self.meter.hold(self.inner.name(), &array)?;
        Ok(ColumnarValue::Array(array))
    }
}

impl ScalarUDFImpl for Metered {
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let of_scalars = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        // Of scalars alone a function may make one value, or as many as there are rows.
        self.meter.admit(self.inner.name(), self.growth.bound(&args.args, rows))?;
        match self.inner.invoke_with_args(args)? {
            ColumnarValue::Array(array) if of_scalars && array.len() == 1 && rows > 1 => {
                self.spread(ScalarValue::try_from_array(&array, 0)?, rows)
            }
            ColumnarValue::Array(array) => {
                self.meter.hold(self.inner.name(), &array)?;
                Ok(ColumnarValue::Array(array))
            }
            ColumnarValue::Scalar(scalar) => self.spread(scalar, rows),
        }
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(match self.inner.simplify(args, info)? {
            ExprSimplifyResult::Original(args) => ExprSimplifyResult::Original(args),
            ExprSimplifyResult::Simplified(expr) => {
                ExprSimplifyResult::Simplified(super::metering::metered(expr, &self.meter)?)
            }
        })
    }

    fn with_updated_config(&self, config: &ConfigOptions) -> Option<ScalarUDF> {
        let inner = Arc::new(self.inner.inner().with_updated_config(config)?);
        let (growth, meter) = (self.growth, self.meter.clone());
        Some(ScalarUDF::from(Self { inner, growth, meter }))
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.inner.schema_name(args)
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn is_strict(&self) -> bool {
        self.inner.is_strict()
    }

    fn preimage(
        &self,
        args: &[Expr],
        literal: &Expr,
        info: &SimplifyContext,
    ) -> Result<PreimageResult> {
        self.inner.preimage(args, literal, info)
    }

    fn short_circuits(&self) -> bool {
        self.inner.short_circuits()
    }

    fn conditional_arguments<'a>(
        &self,
        args: &'a [Expr],
    ) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        self.inner.conditional_arguments(args)
    }

    fn evaluate_bounds(&self, inputs: &[&Interval]) -> Result<Interval> {
        self.inner.evaluate_bounds(inputs)
    }

    fn propagate_constraints(
        &self,
        interval: &Interval,
        inputs: &[&Interval],
    ) -> Result<Option<Vec<Interval>>> {
        self.inner.propagate_constraints(interval, inputs)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        self.inner.output_ordering(inputs)
    }

    fn preserves_lex_ordering(&self, inputs: &[ExprProperties]) -> Result<bool> {
        self.inner.preserves_lex_ordering(inputs)
    }

    fn strictly_order_preserving(&self, inputs: &[ExprProperties]) -> Result<bool> {
        self.inner.strictly_order_preserving(inputs)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

impl PartialEq for Metered {
    fn eq(&self, other: &Self) -> bool {
        self.inner == other.inner
    }
}

impl Eq for Metered {}

impl std::hash::Hash for Metered {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}
