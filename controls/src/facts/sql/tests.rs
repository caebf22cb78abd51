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
fn length_is_bounded() {
    let long = format!("SELECT {} 1; DROP TABLE t", "1 + ".repeat(40_000));
    assert_eq!(of_sql(&long), ["drop_table", "unparsed"]);
    let huge = format!("SELECT '{}'; DROP TABLE t", "x".repeat(2 << 20));
    assert_eq!(of_sql(&huge), ["drop_table", "unparsed"]);
    let many: Vec<String> = (0..80).map(|_| format!("SELECT '{}'", "x".repeat(30_000))).collect();
    let found = labels(&serde_json::json!({ "sql": many }).to_string());
    assert_eq!(found, ["select", "unparsed"]);
}

/// What one server runs, another hides: whoever may run it, it is found, and that they disagree is told.
#[test]
fn no_reading_hides_a_statement() {
    for sql in [
        "SELECT 1 --1; DROP TABLE customers",
        "SELECT 'a\\'' ; DROP TABLE customers -- '",
        "SELECT 'a\\' ; DROP TABLE customers -- '",
        "SELECT 1 /* /* */ ; DROP TABLE customers -- */",
        "SELECT 1 /*!50000 ; DROP TABLE customers */",
        "SELECT 1 /*M!100000 ; DROP TABLE customers */",
        "SELECT $$a$$; DROP TABLE customers -- $$",
        "SELECT 1 $x$ ; DROP TABLE customers -- $x$",
        "SELECT 1 # ; DROP TABLE customers",
        "SELECT 1 -- \r; DROP TABLE customers",
        "SELECT `a -- `; DROP TABLE customers",
        "SELECT [a -- ]; DROP TABLE customers",
        "SELECT \"a\\\" ; DROP TABLE customers -- \"",
        "SELECT E'a\\' ; DROP TABLE customers -- '",
    ] {
        let found = of_sql(sql);
        assert!(found.contains(&"drop_table") && found.contains(&"ambiguous"), "{sql}: {found:?}");
    }
    for sql in [
        "SELECT `a`, \"b\", [c] FROM t WHERE d = 'it''s' -- DROP TABLE t",
        "SELECT ARRAY['a', 'b'], 'C:\\dir' /* x */ FROM t\r\nWHERE 1 = 1",
    ] {
        assert!(!of_sql(sql).contains(&"ambiguous"), "{sql}: {:?}", of_sql(sql));
    }
}

/// Servers that need no semicolon run a statement wherever its words stand, and some run strings.
#[test]
fn statements_are_found_by_their_tokens() {
    for (sql, label) in [
        ("PRINT 1 DROP DATABASE prod", "drop_database"),
        ("sp_who DROP TABLE t", "drop_table"),
        ("SELECT 1 DROP TABLE customers", "drop_table"),
        ("DECLARE @a INT DROP TABLE customers", "drop_table"),
        ("SELECT 1DROP TABLE t", "drop_table"),
        ("SELECT 1eDROP TABLE t", "drop_table"),
        ("SELECT 1 DROP\u{a0}TABLE t", "drop_table"),
        ("SELECT ` ; DROP TABLE customers -- `", "drop_table"),
        ("SELECT 1 DROP VIEW v", "drop_other"),
        ("SELECT 1 DELETE FROM t", "delete_without_where"),
        ("SELECT 1 no DELETE FROM t WHERE a = 1", "delete"),
        ("SELECT 1 DELETE t", "delete_without_where"),
        ("SELECT 1 UPDATE t SET a = 1", "update_without_where"),
        ("SELECT 1 UPDATE t SET a = 1 WHERE b IN (SELECT 1)", "update"),
        ("SELECT 1 INSERT INTO t VALUES (1)", "insert"),
        ("SELECT 1 TRUNCATE TABLE t", "truncate"),
        ("SELECT 1 ALTER TABLE t ADD a INT", "alter"),
        ("SELECT 1 CREATE TABLE t (a INT)", "create"),
        ("SELECT 1 GRANT SELECT ON t TO u", "grant"),
        ("SELECT 1 SHUTDOWN", "other"),
        ("SELECT 1 EXEC sp_who", "other"),
        ("BLAH; TRUNCATE \"t\"", "truncate"),
        ("DO 'BEGIN DROP TABLE customers; END'", "drop_table"),
        ("DO LANGUAGE plpgsql 'BEGIN EXECUTE ''DROP TABLE customers''; END'", "drop_table"),
        ("EXEC('DROP TABLE customers')", "drop_table"),
        ("EXEC(\"DROP TABLE customers\")", "drop_table"),
        ("EXEC('DROP TAB' + 'LE customers')", "drop_table"),
        ("EXECUTE IMMEDIATE 'DROP TABLE customers'", "drop_table"),
        ("EXEC sp_executesql N'DROP TABLE customers'", "drop_table"),
        ("PREPARE s FROM 'DROP TABLE customers'", "drop_table"),
        ("SET @s = 'DROP TABLE customers'; PREPARE s FROM @s; EXECUTE s", "drop_table"),
        ("SELECT dblink_exec('x', 'DROP TABLE customers')", "drop_table"),
        ("SELECT * FROM t /*!50000 INTO OUTFILE '/x' */", "select_into"),
        ("SELECT * INTO u FROM t", "select_into"),
        ("SELECT a FROM t INTO OUTFILE '/x'", "select_into"),
    ] {
        assert!(of_sql(sql).contains(&label), "{sql}: {:?}", of_sql(sql));
        let allowed = of_sql(sql) == ["select"];
        assert!(!allowed, "{sql}");
    }
}

#[test]
fn what_only_looks_like_a_statement_is_none() {
    for (sql, expected) in [
        ("SELECT a FROM t WHERE b = 'EXEC; DROP TABLE t'", &["select"][..]),
        ("SELECT a FROM t FOR UPDATE", &["select"]),
        ("SELECT t.delete, @drop FROM t", &["select"]),
        ("INSERT INTO t SELECT * FROM u", &["insert"]),
        ("INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2", &["insert"]),
        ("ALTER TABLE t DROP COLUMN a", &["alter"]),
        (
            "CREATE TABLE t (a INT REFERENCES u (a) ON DELETE CASCADE ON UPDATE CASCADE)",
            &["create"],
        ),
        ("GRANT SELECT, DELETE, UPDATE ON t TO u WITH GRANT OPTION", &["grant"]),
        ("UPDATE t SET a = (SELECT 1 FROM u WHERE b = 1)", &["update_without_where"]),
        ("WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a", &["insert"]),
    ] {
        let found = of_sql(sql);
        let found: Vec<_> = found.into_iter().filter(|label| *label != "unparsed").collect();
        let has_all = expected.iter().all(|label| found.contains(label));
        let extra = found.iter().any(|label| !expected.contains(label) && *label != "select");
        assert!(has_all && !extra, "{sql}: {found:?}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text: String, pieces in prop::collection::vec(
        prop::sample::select(vec!["SELECT", "DROP", "TABLE", "'", "\"", "$$", "/*", "*/", "--", ";", "(", ")",
            "\\", "`", "E'", "N'", "0x", "1e", "$1", "@", "#", "\n", "é", "DATABASE", "[", "]", "WITH", "AS",
            "CAST(", "CASE WHEN", "f(", "UPDATE", "SET", "WHERE", "DELETE FROM", "INTO", "EXEC", "/*!", "$a$"]),
        0..200,
    ), spaced: bool) {
        let _ = of_sql(&text);
        let _ = of_sql(&pieces.join(if spaced { " " } else { "" }));
    }
}
