//! Period, population, criteria, report, package; samples
