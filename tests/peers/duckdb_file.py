"""Runs a package's SQL file with stock DuckDB, in the package folder, and prints the last answer as JSON objects."""

import json
import sys

import duckdb

cursor = duckdb.connect()
if len(sys.argv) > 2:
    cursor.execute(f"SET VARIABLE leaf_index = {int(sys.argv[2])}")
with open(sys.argv[1], encoding="utf-8") as file:
    result = cursor.execute(file.read())
names = [column[0] for column in result.description]
for row in result.fetchall():
    print(json.dumps(dict(zip(names, row)), default=str))
