-- The tables that data/ipe/queries.sql asks, for stock DuckDB (2.0 or later). In the package folder:
--   cat data/verify/views.sql data/ipe/queries.sql | duckdb
-- gives the rows of the lists below data/criteria again. Three things differ from Exhibit's engine and change no row:
-- DuckDB prints times in its own spelling, lists have no formulas neutralised (a leading ' in the CSV), and `arguments`
-- is JSON spelled anew, where Exhibit keeps the message's own spelling.

-- What Exhibit's engine calls a time with nanoseconds.
CREATE MACRO to_timestamp_nanos(t) AS CAST(t AS TIMESTAMP_NS);

-- What was disclosed, by leaf and slot: as text, and as JSON where it is an object.
CREATE VIEW disclosed AS
SELECT leaf_index, slot, content,
  CASE WHEN json_valid(content) AND json_type(content) = 'OBJECT' THEN CAST(content AS JSON) END AS object
FROM (
  SELECT leaf_index, slot, try(decode(bytes)) AS content
  FROM 'data/population/disclosures.parquet'
  WHERE status = 'disclosed'
);

-- A member that is a string and not empty.
CREATE MACRO member(object, path) AS
  CASE WHEN json_type(object, path) = 'VARCHAR' THEN nullif(json_extract_string(object, path), '') END;

-- One row per leaf of the package, with what was disclosed of it.
CREATE VIEW events AS
SELECT leaf.* REPLACE (
    make_timestamp_ns(epoch_ns(leaf.recorded_at)) AS recorded_at,
    make_timestamp_ns(epoch_ns(leaf.occurred_at)) AS occurred_at
  ),
  member(principal.object, '$.subject') AS subject,
  member(principal.object, '$.issuer') AS issuer,
  member(principal.object, '$.kind') AS principal_kind,
  nullif(array_to_string(CAST(json_extract_string(principal.object, '$.groups[*]') AS VARCHAR[]), ','), '') AS groups,
  member(client.object, '$.address') AS source_address,
  member(client.object, '$.user_agent') AS user_agent,
  CAST(json_extract(message.object, '$.params.arguments') AS VARCHAR) AS arguments,
  message.content AS message,
  reason.content AS reason,
  query.content AS query_text,
  CASE WHEN leaf.tool IS NULL THEN member(message.object, '$.params.name') END AS foreign_name,
  member(message.object, '$.params.uri') AS resource_uri
FROM 'data/population/events.parquet' AS leaf
LEFT JOIN disclosed AS principal ON principal.leaf_index = leaf.leaf_index AND principal.slot = 'PRINCIPAL'
LEFT JOIN disclosed AS client ON client.leaf_index = leaf.leaf_index AND client.slot = 'CLIENT'
LEFT JOIN disclosed AS message ON message.leaf_index = leaf.leaf_index AND message.slot = 'MESSAGE'
LEFT JOIN disclosed AS reason ON reason.leaf_index = leaf.leaf_index AND reason.slot = 'REASON'
LEFT JOIN disclosed AS query ON query.leaf_index = leaf.leaf_index AND query.slot = 'QUERY';

