//! Verified follower, rows and segments, SQL engine, its doors, the SIEM feed
