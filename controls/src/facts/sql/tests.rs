use super::*;
use crate::json::Document;
use proptest::prelude::*;

fn labels(arguments: &str) -> Vec<&'static str> {
    let document = Document::parse(arguments.as_bytes()).unwrap();
    let mut statements = Statements::new();
    collect(document.root(), &mut statements);
    statements.into_keys().collect()
}

fn of_sql(sql: &str) -> Vec<&'static str> {
    labels(&serde_json::json!({ "sql": sql }).to_string())
}

#[test]
fn every_kind_has_its_label() {
    for (sql, expected) in [
        ("SELECT 1", vec!["select"]),
        ("values (1)", vec!["select"]),
        ("insert into t values (1)", vec!["insert"]),
        ("UPDATE t SET a = 1", vec!["update_without_where"]),
        ("UPDATE t SET a = 1 WHERE b = 2", vec!["update"]),
        ("DELETE FROM t", vec!["delete_without_where"]),
        ("DELETE FROM t WHERE a = 1", vec!["delete"]),
        ("DROP TABLE t", vec!["drop_table"]),
        ("DROP TABLE IF EXISTS a, b CASCADE", vec!["drop_table"]),
        ("DROP DATABASE prod", vec!["drop_database"]),
        ("DROP DATABASE IF EXISTS prod", vec!["drop_database"]),
        ("DROP DATABASE prod WITH (FORCE)", vec!["drop_database", "unparsed"]),
        ("DROP SCHEMA public CASCADE", vec!["drop_database"]),
        ("DROP VIEW v", vec!["drop_other"]),
        ("DROP FUNCTION f", vec!["drop_other"]),
        ("TRUNCATE TABLE t", vec!["truncate"]),
        ("truncate t", vec!["truncate"]),
        ("ALTER TABLE t ADD COLUMN a int", vec!["alter"]),
        ("CREATE TABLE t (a int)", vec!["create"]),
        ("CREATE DATABASE d", vec!["create"]),
        ("GRANT SELECT ON t TO u", vec!["grant"]),
        ("REVOKE SELECT ON t FROM u", vec!["grant"]),
        ("SET x = 1", vec!["other"]),
        (
            "SELECT 1; DROP TABLE t; DELETE FROM t",
            vec!["delete_without_where", "drop_table", "select"],
        ),
        (
            "WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d",
            vec!["delete_without_where", "select"],
        ),
        ("EXPLAIN ANALYZE DELETE FROM t WHERE a = 1", vec!["delete", "other"]),
    ] {
        assert_eq!(of_sql(sql), expected, "{sql}");
    }
}

#[test]
fn comments_case_and_dialects_hide_nothing() {
    for sql in [
        "dRoP dAtAbAsE prod",
        "/* harmless */ DROP /* x */ DATABASE prod",
        "-- select\nDROP\tDATABASE\nprod",
        ";;; DROP DATABASE prod",
        "/*!50000 DROP DATABASE prod */",
        "SELECT 1; /*!50000 DROP DATABASE prod */",
        "DROP DATABASE `prod`",
        "DROP DATABASE [prod]",
        "DROP DATABASE prod ON CLUSTER main SYNC",
        "BEGIN; DROP DATABASE prod; COMMIT",
        "DO $$ BEGIN DROP DATABASE prod; END $$",
        "SELECT 'open ; DROP DATABASE prod",
        "IF 1 = 1 DROP DATABASE prod GO",
    ] {
        assert!(of_sql(sql).contains(&"drop_database"), "{sql}: {:?}", of_sql(sql));
        let unnamed = labels(&serde_json::json!({ "a": [{ "query_text": sql }] }).to_string());
        assert!(!unnamed.contains(&"select") || unnamed.contains(&"drop_database"), "{sql}");
    }
    assert!(of_sql("ALTER SYSTEM BLAH; TRUNCATE TABLE t").contains(&"truncate"));
}

#[test]
fn literals_and_names_are_not_statements() {
    assert_eq!(of_sql("SELECT 'DROP DATABASE prod' AS text"), ["select"]);
    assert_eq!(of_sql("SELECT \"drop\", truncate(1.5) FROM t -- DROP TABLE t"), ["select"]);
}

#[test]
fn members_without_a_name_must_parse() {
    assert_eq!(labels(r#"{"x":{"y":["DELETE FROM t"]}}"#), ["delete_without_where"]);
    assert_eq!(labels(r#"{"body":"Select the best of these options, please."}"#), [""; 0]);
    assert_eq!(labels(r#"{"body":"Create a page on how to drop table rows."}"#), [""; 0]);
    assert_eq!(labels(r#"{"body":"Update: the deploy went well"}"#), [""; 0]);
    assert_eq!(labels(r#"{"query":"weather in Berlin"}"#), [""; 0]);
    assert_eq!(labels(r#"{"query":"select the weather in Berlin, all of it"}"#), ["unparsed"]);
    assert_eq!(labels(r#"{"body":"DROP DATABASE prod WITH (FORCE)"}"#), ["drop_database"]);
}

#[test]
fn depth_and_length_are_bounded() {
    let deep = format!("SELECT {}1{}", "(".repeat(20_000), ")".repeat(20_000));
    assert_eq!(of_sql(&deep), ["unparsed"]);
    let long = format!("SELECT {} 1; DROP TABLE t", "1 + ".repeat(40_000));
    assert_eq!(of_sql(&long), ["drop_table", "unparsed"]);
    let huge = format!("SELECT '{}'; DROP TABLE t", "x".repeat(2 << 20));
    assert_eq!(of_sql(&huge), ["drop_table", "unparsed"]);
    let many: Vec<String> = (0..40).map(|_| format!("SELECT '{}'", "x".repeat(60_000))).collect();
    let found = labels(&serde_json::json!({ "sql": many }).to_string());
    assert_eq!(found, ["select", "unparsed"]);
}

proptest! {
    #[test]
    fn no_text_panics(text: String, pieces in prop::collection::vec(
        prop::sample::select(vec!["SELECT", "DROP", "TABLE", "'", "\"", "$$", "/*", "*/", "--", ";", "(", ")",
            "\\", "`", "E'", "N'", "0x", "1e", "$1", "@", "#", "\n", "é", "DATABASE", "[", "]", "WITH", "AS"]),
        0..20,
    )) {
        let _ = of_sql(&text);
        let _ = of_sql(&pieces.join(" "));
    }
}
