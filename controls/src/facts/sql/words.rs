//! Words by which statements are told.

/// Kinds of objects that DROP, CREATE and ALTER are followed by, beside tables and databases.
pub(super) const OBJECTS: [&str; 47] = [
    "aggregate",
    "application",
    "assembly",
    "availability",
    "cast",
    "certificate",
    "collation",
    "conversion",
    "credential",
    "domain",
    "endpoint",
    "event",
    "extension",
    "external",
    "foreign",
    "fulltext",
    "function",
    "group",
    "language",
    "library",
    "login",
    "materialized",
    "operator",
    "package",
    "policy",
    "procedure",
    "publication",
    "queue",
    "role",
    "routine",
    "rule",
    "security",
    "sequence",
    "server",
    "service",
    "statistics",
    "subscription",
    "symmetric",
    "synonym",
    "tablespace",
    "text",
    "transform",
    "trigger",
    "type",
    "user",
    "view",
    "warehouse",
];
/// Words between DROP and the kind of object.
pub(super) const MODIFIERS: [&str; 7] =
    ["external", "foreign", "global", "local", "temp", "temporary", "unlogged"];
/// Words after a column, alias or function that happens to be called like a statement.
pub(super) const AFTER_NAMES: [&str; 16] = [
    "and", "as", "asc", "between", "desc", "else", "end", "from", "in", "is", "like", "not",
    "null", "or", "then", "when",
];
/// Words after which DELETE, UPDATE, INSERT, CREATE, … name a right, an event or a lock.
pub(super) const BEFORE_NAMES: [&str; 14] = [
    "after", "all", "before", "deny", "for", "grant", "key", "no", "of", "on", "or", "revoke",
    "show", "with",
];
/// Words of which INTO is a part.
pub(super) const BEFORE_INTO: [&str; 9] = [
    "delayed",
    "high_priority",
    "ignore",
    "insert",
    "low_priority",
    "merge",
    "overwrite",
    "replace",
    "upsert",
];
/// Words that begin a statement wherever they stand, on servers that need no semicolon.
pub(super) const ELSEWHERE: [&str; 8] =
    ["backup", "dbcc", "exec", "execute", "kill", "reconfigure", "restore", "shutdown"];
/// Words with which the WHERE of an earlier DELETE or UPDATE can no longer come.
pub(super) const NEXT_STATEMENT: [&str; 10] = [
    "alter", "create", "delete", "drop", "exec", "execute", "insert", "select", "truncate",
    "update",
];
