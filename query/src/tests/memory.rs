//! What functions make is bounded before it is made, in the process as a whole.

use std::process::Command;

use super::fixture::{Node, TestLog};
use crate::config::Limits;

/// Set in the process that is measured.
const MEASURED: &str = "EXHIBIT_TEST_MEASURED";
const LIMIT_MIB: u64 = 64;
/// Of the whole process: the node itself, its limit for operators, as much for functions, and copies on the way.
const PEAK_MIB: u64 = 640;

/// Each made hundreds of MiB, or GiB, when functions were not counted.
fn hungry() -> Vec<String> {
    let nested = |times: usize, from: &str, call: &dyn Fn(String) -> String| {
        (0..times).fold(from.to_owned(), |inner, _| call(inner))
    };
    let tenfold = |inner: String| format!("replace({inner}, 'a', 'aaaaaaaaaa')");
    let hex = |inner: String| format!("encode({inner}, 'hex')");
    let number = "CAST(value AS TEXT)";
    let series = "FROM generate_series(1, 5000)";
    let doubling = |how: &str| {
        let levels = (1..30).map(|n| format!("t{n} AS (SELECT {how} AS s FROM t{})", n - 1));
        let levels = levels.collect::<Vec<_>>().join(", ");
        format!(
            "WITH t0 AS (SELECT md5({number}) AS s {series}), {levels} SELECT length(s) FROM t29"
        )
    };
    let columns = |of: &str| {
        let columns = (0..900).map(|n| format!("s || {n} AS c{n}")).collect::<Vec<_>>().join(", ");
        format!("WITH t AS (SELECT '{of}' AS s, value {series}) SELECT {columns} FROM t")
    };
    let long = "x".repeat(30_000);
    vec![
        format!("SELECT length({})", nested(9, "'a'", &tenfold)),
        format!(
            "SELECT length({}) {series}",
            nested(7, &format!("concat('a', {number})"), &tenfold)
        ),
        format!("SELECT length({}) {series}", nested(16, &format!("md5({number})"), &hex)),
        doubling("s || s"),
        doubling("concat(s, s)"),
        doubling("concat_ws('-', s, s)"),
        doubling("overlay(s placing s from length(s))"),
        doubling("array_to_string(make_array(s, s), '')"),
        doubling("array_to_string(string_to_array(s, NULL), s)"),
        doubling("regexp_replace(s, '.', '\\0\\0\\0\\0', 'g')"),
        columns(&long),
        format!(
            "SELECT CASE WHEN value > 0 THEN '{long}' END || CASE WHEN value > 1 THEN '{long}' END {series}"
        ),
        format!("SELECT length(string_agg(md5({number}), '')) FROM generate_series(1, 10000000)"),
    ]
}

/// This test runs itself again in a process of its own, whose peak tells of these queries alone.
#[tokio::test]
async fn functions_that_grow_their_input_cannot_take_more_than_the_limit() {
    if std::env::var_os(MEASURED).is_some() {
        refuse_the_hungry().await;
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        println!("{}", status.lines().find(|line| line.starts_with("VmHWM:")).unwrap());
        return;
    }
    let name = "tests::memory::functions_that_grow_their_input_cannot_take_more_than_the_limit";
    let measured = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(MEASURED, "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&measured.stdout);
    assert!(measured.status.success(), "{told}{}", String::from_utf8_lossy(&measured.stderr));
    let peak = told.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak_kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak_kib < PEAK_MIB * 1024, "the peak was {peak_kib} KiB");
}

async fn refuse_the_hungry() {
    let limits = Limits { sql_memory_mib: LIMIT_MIB, sql_spill_mib: 0, ..Limits::default() };
    let node = Node::start(&TestLog::of_exchanges(20), &limits);
    let mut wrong = Vec::new();
    for sql in hungry() {
        let answer = node.sql("auditor", "application/json", &sql).await;
        if (answer.status, answer.code().as_str()) != (422, "sql_out_of_memory") {
            let short = |text: &str| text.chars().take(300).collect::<String>();
            wrong.push(format!("{} {}: {}", answer.status, short(&sql), short(&answer.text())));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // What needs little goes on, however often it is asked.
    let modest =
        "SELECT max(length(replace(md5(CAST(value AS TEXT)), 'a', 'aaaaaaaaaa') || 'x')) > 32
        FROM generate_series(1, 200000)";
    for _ in 0..3 {
        let answer = node.sql("auditor", "application/json", modest).await;
        assert_eq!(answer.json()["rows"], serde_json::json!([[true]]), "{}", answer.text());
    }
}
