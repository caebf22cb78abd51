//! From a request to the material of its package.

use tlog::Signer;
use verifier::{CheckpointId, Material, Parameters, Range};

use super::{EXPORT_ROLES, ExportError, ExportRequest, since};
use crate::collect::collect;
use crate::criteria::Mapping;
use crate::derive::{EXHIBIT_VERSION, is_custom_id};
use crate::period::Period;
use crate::source::Source;

pub(super) async fn material(
    source: &impl Source,
    request: &ExportRequest,
    signer: &impl Signer,
) -> Result<Material, ExportError> {
    if !EXPORT_ROLES.contains(&request.role) {
        return Err(ExportError::Role(request.role));
    }
    let mapping = Mapping::soc2();
    let mut criteria = request.criteria.clone();
    if criteria.is_empty() {
        criteria.extend(mapping.criteria.iter().map(|criterion| criterion.id.clone()));
    }
    criteria.sort_unstable();
    criteria.dedup();
    for id in &criteria {
        mapping.criterion(id)?;
    }
    let mut custom_queries = request.custom_queries.clone();
    custom_queries.sort_by(|a, b| a.id.cmp(&b.id));
    for (at, custom) in custom_queries.iter().enumerate() {
        let twice = custom_queries[..at].iter().any(|other| other.id == custom.id);
        if !is_custom_id(&custom.id) || twice {
            let reason = "an id is 1 to 64 of A-Z a-z 0-9 _ -, and used once".to_owned();
            let id = custom.id.clone();
            return Err(ExportError::CustomQuery { id, code: "custom_query", reason });
        }
    }
    let kept = since::check(source, &request.since)?;
    let period = Period { from: request.from, to: request.to };
    let located = period.locate(source, request.open).await?;
    let (checkpoint, _) = source.checkpoint();
    let parameters = Parameters {
        format: Parameters::FORMAT.to_owned(),
        exhibit_version: EXHIBIT_VERSION.to_owned(),
        origin: checkpoint.origin,
        signer: signer.verifying_key().to_string(),
        from: request.from,
        to: request.to,
        open: located.open,
        role: request.role.as_str().to_owned(),
        range: Range { start: located.leaves.start, end: located.leaves.end },
        checkpoint: CheckpointId { size: checkpoint.size.0, root: checkpoint.root.to_string() },
        mapping: mapping.identity(),
        criteria,
        custom_queries,
        custody_omitted: 0,
    };
    Ok(collect(source, request.role, located.leaves, kept, parameters).await?)
}
