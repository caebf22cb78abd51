"""Makes a package's lists again with stock DuckDB, in the package folder, and compares them with the CSVs, row by row.

Prints one JSON object: the number of rows by list. Exits 1 with the first list that differs.
"""

import csv
import glob
import json
import re
import sys

import duckdb


def cell(value, kind):
    if value is None:
        return ""
    if kind == "TIMESTAMP_NS":
        day, _, time = value.partition(" ")
        second, _, fraction = time.partition(".")
        return f"{day}T{second}.{fraction:0<9}Z"
    return "'" + value if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def listed(stem):
    """Rows of a list, header first, whether it is in one part or in several."""
    rows = []
    parts = sorted(glob.glob(f"{stem}.csv") + glob.glob(f"{stem}-*.csv"), key=lambda path: (len(path), path))
    for part in parts:
        with open(part, encoding="utf-8", newline="") as file:
            header, *more = csv.reader(file)
        rows = rows or [header]
        rows += more
    return rows


cursor = duckdb.connect()
with open("data/verify/views.sql", encoding="utf-8") as file:
    cursor.execute(file.read())
with open("data/ipe/queries.sql", encoding="utf-8") as file:
    parts = re.split(r"^-- (criteria/\S+): .*$", file.read(), flags=re.MULTILINE)[1:]
counts = {}
for name, statement in zip(parts[::2], parts[1::2]):
    cursor.execute(f"CREATE OR REPLACE TEMP TABLE answer AS {statement.strip().rstrip(';')}")
    columns = [(column, str(kind)) for column, kind, *_ in cursor.execute("DESCRIBE answer").fetchall()]
    answer = cursor.execute("SELECT COLUMNS(*)::VARCHAR FROM answer").fetchall()
    rows = [[column for column, _ in columns]]
    rows += [[cell(value, kind) for value, (_, kind) in zip(row, columns)] for row in answer]
    expected = listed(f"data/{name}")
    if rows != expected:
        wrong = next((pair for pair in zip(rows, expected) if pair[0] != pair[1]), (len(rows), len(expected)))
        print(f"{name}: DuckDB gives {wrong[0]}, the list has {wrong[1]}", file=sys.stderr)
        sys.exit(1)
    counts[name.removeprefix("criteria/")] = len(answer)
print(json.dumps(counts))
