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

use super::growth::Growth;
use crate::archive::Archive;

/// Leaves the functions whose growth is known, and adds ours. The table functions `range` and `generate_series`, which
/// make their rows one batch at a time, stay.
pub(crate) fn install(context: &SessionContext, prover: Option<Archive>) {
    let state = context.state();
    let functions = state.scalar_functions().iter();
    let removed = functions.filter(|(_, function)| Growth::of(function.name()).is_none());
    for (name, _) in removed {
        context.deregister_udf(name);
    }
    for name in state.higher_order_functions().keys() {
        context.deregister_higher_order_function(name);
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
    use std::collections::BTreeSet;

    use super::*;

    /// What a function of the engine that is neither known nor named here does was thought of by nobody.
    #[test]
    fn every_function_of_the_engine_is_offered_or_taken_away_knowingly() {
        let taken = "array_repeat array_resize arrow_cast arrow_field arrow_metadata arrow_try_cast arrow_typeof \
             cast_to_type file_row_index generate_series input_file_name list_repeat list_resize lpad named_struct \
             range repeat row rpad struct try_cast_to_type union_extract union_tag with_metadata";
        let taken: BTreeSet<&str> = taken.split_whitespace().collect();
        let context = SessionContext::new();
        let names = |context: &SessionContext| {
            context.state().scalar_functions().keys().cloned().collect::<BTreeSet<_>>()
        };
        let all = names(&context);
        install(&context, None);
        let offered = names(&context);
        assert_eq!(all.difference(&offered).map(String::as_str).collect::<BTreeSet<_>>(), taken);
        assert_eq!(offered.difference(&all).collect::<Vec<_>>(), ["inclusion_proof"]);
        assert!(context.state().higher_order_functions().is_empty());
    }
}
