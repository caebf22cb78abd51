//! Reading a package's material, part by part: one damaged part does not hide the others.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tlog::{RangeProof, TlogProof};

use super::Package;
use crate::layout;
use crate::layout::tables::{self, Budget, TableError};
use crate::material::{
    ContextLeaf, DisclosureRow, EarlierCheckpoint, LeafRow, Material, Parameters,
};
use crate::report::{Stop, fail_at};

/// A part of the material, or why there is none.
pub(crate) type Part<T> = Result<T, Stop>;

/// The material of a package, as far as it can be read.
pub(crate) struct Opened {
    pub(crate) parameters: Part<Parameters>,
    pub(crate) mapping: Part<String>,
    pub(crate) checkpoint: Part<String>,
    pub(crate) proof: Part<RangeProof>,
    pub(crate) leaves: Part<Vec<LeafRow>>,
    pub(crate) disclosures: Part<Vec<DisclosureRow>>,
    pub(crate) context: Part<Vec<ContextLeaf>>,
    pub(crate) context_disclosures: Part<Vec<DisclosureRow>>,
    pub(crate) earlier: Part<Vec<EarlierCheckpoint>>,
}

impl Opened {
    /// Reads what `package` holds, which must be as its signed manifests say: none of it is read before.
    pub(crate) fn read(package: &Package, parameters: Part<Parameters>) -> Self {
        let mut reader = Reader { package, budget: Budget::default() };
        let proof = reader.text(layout::RANGE_PROOF, "range.missing").and_then(|text| {
            let parsed = RangeProof::parse(text);
            parsed.map_err(|error| fail_at("range.malformed", layout::RANGE_PROOF, error))
        });
        let tree_size = parameters.as_ref().ok().map(|parameters| parameters.checkpoint.size);
        Self {
            mapping: reader.mapping(&parameters),
            parameters,
            checkpoint: reader.text(layout::CHECKPOINT, "checkpoint.missing").map(str::to_owned),
            proof,
            leaves: reader.table(layout::LEAVES, "leaves", tables::read_leaves),
            disclosures: reader.disclosures(layout::DISCLOSURES),
            context: reader.context(),
            context_disclosures: reader.disclosures(layout::CONTEXT_DISCLOSURES),
            earlier: reader.earlier(tree_size),
        }
    }

    /// All of it; `None` unless every part could be read.
    pub(crate) fn material(&self) -> Option<Material> {
        Some(Material {
            parameters: self.parameters.clone().ok()?,
            mapping: self.mapping.clone().ok()?,
            leaves: self.leaves.clone().ok()?,
            disclosures: self.disclosures.clone().ok()?,
            context: self.context.clone().ok()?,
            context_disclosures: self.context_disclosures.clone().ok()?,
            proof: self.proof.clone().ok()?,
            earlier: self.earlier.clone().ok()?,
        })
    }
}

struct Reader<'p> {
    package: &'p Package,
    budget: Budget,
}

impl<'p> Reader<'p> {
    fn bytes(&self, path: &str, missing: &'static str) -> Part<&'p Bytes> {
        self.package.file(path).ok_or_else(|| fail_at(missing, path, "the file is missing"))
    }

    fn text(&self, path: &str, missing: &'static str) -> Part<&'p str> {
        std::str::from_utf8(self.bytes(path, missing)?)
            .map_err(|_| fail_at("text.malformed", path, "the file is not UTF-8 text"))
    }

    fn table<T>(
        &mut self,
        path: &str,
        family: &str,
        read: fn(&Bytes, &mut Budget) -> Result<Vec<T>, TableError>,
    ) -> Part<Vec<T>> {
        let (missing, malformed) = match family {
            "leaves" => ("leaves.missing", "leaves.malformed"),
            "context" => ("context.missing", "context.malformed"),
            _ => ("disclosures.missing", "disclosures.malformed"),
        };
        read(self.bytes(path, missing)?, &mut self.budget)
            .map_err(|error| table_stop(error, malformed, path))
    }

    fn disclosures(&mut self, path: &str) -> Part<Vec<DisclosureRow>> {
        self.table(path, "disclosures", tables::read_disclosures)
    }

    /// The mapping, if it is the one that the parameters name.
    fn mapping(&self, parameters: &Part<Parameters>) -> Part<String> {
        let path = layout::MAPPING;
        let text = self.text(path, "mapping.missing")?;
        let Ok(parameters) = parameters else {
            return Err(Stop::NotChecked("the parameters could not be read".to_owned()));
        };
        let (found, named) = (hex::encode(Sha256::digest(text)), &parameters.mapping.sha256);
        if found != *named {
            let detail = format!("its SHA-256 is {found}, the parameters name {named}");
            return Err(fail_at("mapping.differs", path, detail));
        }
        Ok(text.to_owned())
    }

    fn context(&mut self) -> Part<Vec<ContextLeaf>> {
        let rows: Vec<LeafRow> =
            self.table(layout::CONTEXT_LEAVES, "context", tables::read_leaves)?;
        let mut context = Vec::with_capacity(rows.len());
        for row in rows {
            let path = layout::context_proof_path(row.index);
            let text = self.text(&path, "context.missing")?;
            let proof = TlogProof::parse(text)
                .map_err(|error| fail_at("context.malformed", &path, error))?;
            context.push(ContextLeaf { row, proof });
        }
        Ok(context)
    }

    fn earlier(&self, tree_size: Option<u64>) -> Part<Vec<EarlierCheckpoint>> {
        let mut earlier = Vec::new();
        for path in self.package.paths().filter(|path| path.starts_with(layout::CHECKPOINTS)) {
            let name = path.trim_start_matches(layout::CHECKPOINTS);
            let wrong = |detail: &str| fail_at("checkpoints.malformed", path, detail);
            let size: u64 = name.parse().map_err(|_| wrong("its name is not the size"))?;
            let tree_size = tree_size
                .ok_or_else(|| Stop::NotChecked("the parameters could not be read".to_owned()))?;
            let proof = format!("{}{size}-{tree_size}", layout::CONSISTENCY);
            let lines = self.text(&proof, "checkpoints.missing")?;
            let consistency = tlog::parse_hash_lines(lines)
                .map_err(|error| fail_at("checkpoints.malformed", &proof, error))?;
            let note = self.text(path, "checkpoints.missing")?.to_owned();
            earlier.push(EarlierCheckpoint { size, note, consistency });
        }
        earlier.sort_by_key(|checkpoint| checkpoint.size);
        Ok(earlier)
    }
}

/// What a table that cannot be read is told as.
pub(crate) fn table_stop(error: TableError, malformed: &'static str, path: &str) -> Stop {
    let code = match error {
        TableError::Malformed(_) => malformed,
        TableError::TooLarge(_) => "package.too_large",
    };
    fail_at(code, path, error)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::layout::columns::tests::{by_reference, table};

    #[test]
    fn a_table_that_grows_in_memory_makes_the_package_too_large() {
        let file = by_reference(&table(3000, &[0; 32 << 10]));
        let files = BTreeMap::from([(layout::LEAVES.to_owned(), Bytes::from(file))]);
        let package = Package { files, irregular: BTreeSet::new() };
        let parameters = crate::read::parameters(&package);
        let opened = Opened::read(&package, parameters);
        let Err(Stop::Fail(failure)) = opened.leaves else { panic!("{:?}", opened.leaves) };
        assert_eq!(
            (failure.code, failure.at.as_deref()),
            ("package.too_large", Some(layout::LEAVES))
        );
    }
}
