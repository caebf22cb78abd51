//! Period, population, criteria, report, package; samples.
//!
//! [`export`] turns a period of a verified log into a package that proves itself offline; [`Derivation`] is the one
//! function that makes a package's derived files, for the exporter and again for the verifier; [`sample`] draws what
//! an auditor tests one by one; [`Exporter`] serves packages over HTTP.

mod archive;
mod collect;
mod criteria;
mod derive;
mod journal;
mod leftovers;
mod package;
mod period;
mod report;
mod routes;
mod sample;
mod source;
mod words;

pub use archive::write_zip;
pub use collect::CollectError;
pub use criteria::{Criterion, Exceptions, Mapping, Population, SOC2, UnknownCriterion, bind};
pub use derive::{Derivation, EXHIBIT_VERSION};
pub use journal::{Journal, Release, Unrecorded};
pub use leftovers::remove_leftovers;
pub use package::{
    EXPORT_ROLES, ExportError, ExportRequest, Exported, SinceError, export, export_from,
};
pub use period::{Period, PeriodError, PeriodRange};
pub use routes::Exporter;
pub use sample::{SampleCheck, SampleError, Sampled, check_sample, sample};
pub use source::{Source, SourceError};
