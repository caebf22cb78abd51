//! SQL functions: what is added to DataFusion's, and what is taken away.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, UInt64Type};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};
use datafusion::prelude::SessionContext;

use crate::archive::Archive;

/// A few bytes of SQL would make them fill memory that no pool counts. The table functions `range` and
/// `generate_series`, which make their rows one batch at a time, stay.
const REMOVED: [&str; 9] = [
    "array_repeat",
    "array_resize",
    "generate_series",
    "list_repeat",
    "list_resize",
    "lpad",
    "range",
    "repeat",
    "rpad",
];

pub(crate) fn install(context: &SessionContext, prover: Option<Archive>) {
    for name in REMOVED {
        context.deregister_udf(name);
    }
    context.register_udf(ScalarUDF::from(InclusionProof::new(prover)));
}

/// `inclusion_proof(leaf_index)`: the text of the leaf's `.tlog-proof` under the checkpoint of this answer.
#[derive(Debug)]
struct InclusionProof {
    signature: Signature,
    prover: Option<Archive>,
}

impl InclusionProof {
    fn new(prover: Option<Archive>) -> Self {
        let of = |data_type| TypeSignature::Exact(vec![data_type]);
        let signatures = vec![of(DataType::UInt64), of(DataType::Int64)];
        Self { signature: Signature::one_of(signatures, Volatility::Stable), prover }
    }
}

impl ScalarUDFImpl for InclusionProof {
    fn name(&self) -> &'static str {
        "inclusion_proof"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(prover) = &self.prover else {
            return exec_err!("inclusion_proof needs the log's tree: ask the query service");
        };
        let [argument] = args.args.as_slice() else {
            return exec_err!("inclusion_proof takes one leaf_index");
        };
        // A cast of a negative number is null, as is the proof of null.
        let indexes = cast(&argument.to_array(args.number_rows)?, &DataType::UInt64)?;
        let proofs: Result<StringArray> = indexes
            .as_primitive::<UInt64Type>()
            .iter()
            .map(|index| match index.map(|index| prover.inclusion_proof(index)) {
                None => Ok(None),
                Some(Ok(proof)) => Ok(Some(proof.to_string())),
                Some(Err(error)) => exec_err!("inclusion_proof: {error}"),
            })
            .collect();
        Ok(ColumnarValue::Array(Arc::new(proofs?)))
    }
}

impl PartialEq for InclusionProof {
    fn eq(&self, other: &Self) -> bool {
        // There is one in a session.
        self.signature == other.signature
    }
}

impl Eq for InclusionProof {}

impl Hash for InclusionProof {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.signature.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_removed_function_was_there_and_is_gone() {
        let context = SessionContext::new();
        for name in REMOVED {
            assert!(context.state().scalar_functions().contains_key(name), "{name}");
        }
        install(&context, None);
        for name in REMOVED {
            assert!(!context.state().scalar_functions().contains_key(name), "{name}");
        }
        assert!(context.state().scalar_functions().contains_key("inclusion_proof"));
    }
}
