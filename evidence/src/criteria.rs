//! The control mapping: which lists answer which criterion.

use std::sync::LazyLock;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use verifier::Parameters;

/// The mapping that Exhibit ships.
pub const SOC2: &str = include_str!("../../schemas/controls/soc2.yaml");

/// Largest mapping that is read, in bytes.
const MAX_MAPPING_BYTES: usize = 1 << 20;

/// A control mapping.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The criteria, by id.
    pub criteria: Vec<Criterion>,
    /// SHA-256 of the file, in hex.
    #[serde(skip)]
    pub sha256: String,
}

/// One criterion and its lists.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Criterion {
    /// Such as `CC6.1`.
    pub id: String,
    /// A few words.
    pub title: String,
    /// What should hold, in our words.
    pub statement: String,
    /// Everything that the control acted on.
    pub population: Population,
    /// What an auditor should look at.
    pub exceptions: Exceptions,
    /// Rows that a sample has unless told otherwise.
    pub sample_size: usize,
    /// How the list's completeness is shown.
    pub completeness: Vec<String>,
    /// Where else the evidence is asked for.
    pub also: Vec<String>,
}

/// The whole population of a control.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Population {
    /// What a row is.
    pub what: String,
    /// SQL; its first column is `leaf_index`.
    pub sql: String,
}

/// Rows of the population, or about it, that need an explanation.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exceptions {
    /// When a row is one.
    pub condition: String,
    /// SQL; its first column is `leaf_index`.
    pub sql: String,
}

/// A criterion that the mapping does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no criterion {asked:?} in the mapping {mapping}; there are {known}")]
pub struct UnknownCriterion {
    /// What was asked for.
    pub asked: String,
    /// Name of the mapping.
    pub mapping: String,
    /// Those it has.
    pub known: String,
}

impl Mapping {
    /// The mapping that Exhibit ships.
    pub fn soc2() -> &'static Mapping {
        static MAPPING: LazyLock<Mapping> = LazyLock::new(|| {
            // Embedded in the build, and read by a test: it cannot fail in use.
            Mapping::parse(SOC2).expect("the shipped control mapping is readable")
        });
        &MAPPING
    }

    /// Reads a mapping, such as the one that a package carries.
    ///
    /// # Errors
    /// A sentence on what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_MAPPING_BYTES {
            return Err(format!("a control mapping has at most {MAX_MAPPING_BYTES} bytes"));
        }
        let mut mapping: Mapping = serde_norway::from_str(text)
            .map_err(|error| format!("the control mapping cannot be read: {error}"))?;
        for (at, Criterion { id, .. }) in mapping.criteria.iter().enumerate() {
            let twice = mapping.criteria[..at].iter().any(|other| other.id == *id);
            if !is_criterion_id(id) || twice {
                return Err(format!(
                    "the control mapping has the criterion {id:?}; an id is 1 to 32 of A-Z a-z 0-9 . -, begins with a \
                     capital letter, and is used once"
                ));
            }
        }
        mapping.sha256 = hex::encode(Sha256::digest(text));
        Ok(mapping)
    }

    /// Its identity, as parameters of an export name it.
    pub fn identity(&self) -> verifier::Mapping {
        verifier::Mapping {
            name: self.name.clone(),
            version: self.version.clone(),
            sha256: self.sha256.clone(),
        }
    }

    /// The criterion with this id.
    ///
    /// # Errors
    /// When there is none.
    pub fn criterion(&self, id: &str) -> Result<&Criterion, UnknownCriterion> {
        self.criteria.iter().find(|criterion| criterion.id == id).ok_or_else(|| {
            let known: Vec<_> =
                self.criteria.iter().map(|criterion| criterion.id.as_str()).collect();
            UnknownCriterion {
                asked: id.to_owned(),
                mapping: self.name.clone(),
                known: known.join(", "),
            }
        })
    }
}

/// Lists of a criterion stand in a folder of its id.
fn is_criterion_id(id: &str) -> bool {
    id.len() <= 32
        && id.starts_with(|first: char| first.is_ascii_uppercase())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-')
}

/// The query as it is run: `:from` and `:to` are timestamps, exact to the nanosecond in DuckDB as well, where
/// `TIMESTAMP '…'` is not.
pub fn bind(sql: &str, parameters: &Parameters) -> String {
    let literal = |time: jiff::Timestamp| format!("to_timestamp_nanos('{time:.9}')");
    sql.replace(":from", &literal(parameters.from)).replace(":to", &literal(parameters.to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_mapping_is_whole() {
        let mapping = Mapping::soc2();
        let ids: Vec<_> = mapping.criteria.iter().map(|criterion| criterion.id.as_str()).collect();
        assert_eq!(ids, ["CC6.1", "CC6.3", "CC7.2", "PI1.3"]);
        for criterion in &mapping.criteria {
            for sql in [&criterion.population.sql, &criterion.exceptions.sql] {
                assert!(sql.contains(":from") && sql.contains("ORDER BY leaf_index"), "{sql}");
            }
        }
        assert!(mapping.criterion("CC9.9").unwrap_err().to_string().contains("CC6.1"));
    }

    /// Fails with every change of the mapping. Once version "2" is released: raise `version` in the file, then set the
    /// new pair here. Before that, only the digest.
    #[test]
    fn a_changed_mapping_has_another_version() {
        let mapping = Mapping::soc2();
        let pair = (mapping.version.as_str(), &mapping.sha256[..16]);
        assert_eq!(
            pair,
            ("2", "7f732638ce2d3222"),
            "the mapping was changed: see this test's comment"
        );
    }

    #[test]
    fn mappings_that_could_do_harm_are_refused() {
        for (from, to) in [
            ("id: CC6.3", "id: CC6.1"),
            ("id: CC6.1", "id: ../CC6.1"),
            ("id: CC6.1", "id: custom-x"),
            ("name: soc2", "name: soc2\nsurplus: 1"),
        ] {
            assert!(SOC2.contains(from));
            Mapping::parse(&SOC2.replacen(from, to, 1)).unwrap_err();
        }
        Mapping::parse(&" ".repeat(MAX_MAPPING_BYTES + 1)).unwrap_err();
    }
}
