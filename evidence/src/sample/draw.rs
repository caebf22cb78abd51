//! Which rows are drawn.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};
use verifier::Package;

use super::SampleError;

/// A drawn row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Drawn {
    /// Lowest first.
    pub(super) score: [u8; 32],
    pub(super) leaf_index: u64,
}

/// A criterion's population, as the package lists it.
pub(super) struct Population {
    /// Names of the columns after `leaf_index`.
    pub(super) columns: Vec<String>,
    /// Their cells, by leaf.
    pub(super) rows: BTreeMap<u64, Vec<String>>,
}

impl Population {
    pub(super) fn indexes(&self) -> BTreeSet<u64> {
        self.rows.keys().copied().collect()
    }
}

/// A criterion's population, from the package's own list.
pub(super) fn population(package: &Package, criterion: &str) -> Result<Population, SampleError> {
    let prefix = format!("data/criteria/{criterion}/population");
    let mut population = Population { columns: Vec::new(), rows: BTreeMap::new() };
    let mut parts = package.paths().filter(|path| path.starts_with(&prefix)).peekable();
    if parts.peek().is_none() {
        return Err(SampleError::NotExported(criterion.to_owned()));
    }
    for path in parts {
        let wrong = |what: &str| SampleError::Damaged(format!("{path}: {what}"));
        let bytes = package.file(path).map(|bytes| &bytes[..]).unwrap_or_default();
        let mut rows = csv::Reader::from_reader(bytes);
        let header = rows.headers().map_err(|error| wrong(&error.to_string()))?;
        if header.get(0) != Some("leaf_index") {
            return Err(wrong("its first column is not leaf_index"));
        }
        population.columns = header.iter().skip(1).map(str::to_owned).collect();
        for row in rows.records() {
            let row = row.map_err(|error| wrong(&error.to_string()))?;
            let index = row.get(0).and_then(|cell| cell.parse().ok());
            let index = index.ok_or_else(|| wrong("a row has no leaf_index"))?;
            let cells = row.iter().skip(1).map(str::to_owned).collect();
            population.rows.entry(index).or_insert(cells);
        }
    }
    Ok(population)
}

/// What the draw follows from.
pub(super) fn seed(tag_manifest: &[u8; 32], criterion: &str, nonce: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in
        [b"exhibit/sample/v1".as_slice(), tag_manifest, criterion.as_bytes(), nonce.as_bytes()]
    {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// The `size` rows with the lowest scores; all when there are fewer.
pub(super) fn draw(seed: &[u8; 32], population: &BTreeSet<u64>, size: usize) -> Vec<Drawn> {
    let score = |leaf_index: u64| {
        Sha256::new().chain_update(seed).chain_update(leaf_index.to_be_bytes()).finalize().into()
    };
    let mut ranked: Vec<Drawn> = population
        .iter()
        .map(|&leaf_index| Drawn { score: score(leaf_index), leaf_index })
        .collect();
    ranked.sort_by_key(|drawn| drawn.score);
    ranked.truncate(size);
    ranked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_draw_is_what_the_format_says() {
        // python3: sha256(b''.join(len(p).to_bytes(8,'big')+p for p in (b'exhibit/sample/v1', bytes(32), b'CC6.1', b'n')))
        let seed = seed(&[0; 32], "CC6.1", "n");
        assert_eq!(hex::encode(seed), include_str!("../../testdata/sample-seed.hex").trim());
    }

    #[test]
    fn a_larger_sample_contains_the_smaller() {
        let population: BTreeSet<u64> = (0..100).collect();
        let seed = seed(&[7; 32], "CC6.1", "nonce");
        let (small, large) = (draw(&seed, &population, 5), draw(&seed, &population, 50));
        assert_eq!(small[..], large[..5]);
        assert_eq!(draw(&seed, &population, 500).len(), 100);
        assert_ne!(draw(&super::seed(&[7; 32], "CC6.1", "other"), &population, 5), small);
    }
}
