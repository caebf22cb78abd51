-- Shows that one leaf is in the log: its path to the root, from the leaves of this package and the range proof.
-- In the package folder:
--   duckdb -cmd "SET VARIABLE leaf_index = 17" < data/verify/inclusion.sql
-- Without the variable it takes the first leaf. The last row's `hash` is the recomputed root.
WITH RECURSIVE
lines AS (
  SELECT unnest(parts) AS line, generate_subscripts(parts, 1) AS n
  FROM (SELECT string_split(content, chr(10)) AS parts FROM read_text('data/proofs/range.proof'))
),
bounds AS (
  SELECT CAST(split_part(line, ' ', 2) AS BIGINT) AS first, CAST(split_part(line, ' ', 3) AS BIGINT) AS after
  FROM lines WHERE n = 2
),
left_count AS (SELECT CAST(split_part(line, ' ', 2) AS BIGINT) AS n FROM lines WHERE n = 3),
right_count AS (
  SELECT CAST(split_part(line, ' ', 2) AS BIGINT) AS n
  FROM lines WHERE n = 4 + (SELECT n FROM left_count)
),
head AS (
  SELECT (SELECT n FROM left_count) + (SELECT n FROM right_count) AS hashes
),
checkpoint AS (
  SELECT
    (SELECT CAST(line AS BIGINT) FROM lines WHERE n = 7 + hashes) AS size,
    (SELECT line FROM lines WHERE n = 8 + hashes) AS root
  FROM head
),
left_places AS (
  SELECT level, ((first >> CAST(level + 1 AS BIGINT)) << 1) AS place, row_number() OVER (ORDER BY level DESC) AS ord
  FROM bounds, (SELECT unnest(range(0, 62)) AS level)
  WHERE (first >> CAST(level AS BIGINT)) & 1 = 1
),
right_places AS (
  SELECT 0 AS ord, after AS next, CAST(NULL AS BIGINT) AS level, CAST(NULL AS BIGINT) AS place FROM bounds
  UNION ALL
  SELECT ord + 1, next + (CAST(1 AS BIGINT) << fit), fit, next >> fit
  FROM (
    SELECT ord, next, CAST(least(
      CASE WHEN next = 0 THEN 62 ELSE bit_count(xor(next, next - 1)) - 1 END,
      length(bin(size - next)) - 1) AS BIGINT) AS fit
    FROM right_places, checkpoint
    WHERE next < size
  )
),
given AS (
  SELECT CAST(0 AS BIGINT) AS level, CAST(leaf_index AS BIGINT) AS place,
    unhex(sha256('\x00'::BLOB || leaf)) AS hash
  FROM 'data/population/leaves.parquet'
  UNION ALL
  SELECT level, place, from_base64(line) FROM left_places JOIN lines ON n = 3 + ord
  UNION ALL
  SELECT level, place, from_base64(line)
  FROM right_places JOIN lines ON n = 4 + (SELECT n FROM left_count) + ord WHERE ord > 0
),
tree AS (
  SELECT level, place, hash FROM given WHERE level = 0
  UNION ALL
  SELECT level, place, hash FROM (
    SELECT level + 1 AS level, place // 2 AS place,
      CASE count(*) WHEN 2 THEN unhex(sha256('\x01'::BLOB || arg_min(hash, place) || arg_max(hash, place)))
        ELSE any_value(hash) END AS hash
    FROM tree, checkpoint
    WHERE ((size - 1) >> level) > 0
    GROUP BY level, place // 2
    UNION ALL
    SELECT level, place, hash FROM given WHERE level = (SELECT max(level) + 1 FROM tree)
  )
),
chosen AS (SELECT coalesce(CAST(getvariable('leaf_index') AS BIGINT), first) AS leaf_index FROM bounds),
climb AS (
  SELECT level, place, hash, CAST(NULL AS BLOB) AS sibling, '' AS sibling_side
  FROM tree JOIN chosen ON level = 0 AND place = leaf_index
  UNION ALL
  SELECT climb.level + 1, climb.place // 2,
    CASE WHEN other.hash IS NULL THEN climb.hash
      WHEN climb.place % 2 = 0 THEN unhex(sha256('\x01'::BLOB || climb.hash || other.hash))
      ELSE unhex(sha256('\x01'::BLOB || other.hash || climb.hash)) END,
    other.hash,
    CASE WHEN other.hash IS NULL THEN 'none' WHEN climb.place % 2 = 0 THEN 'right' ELSE 'left' END
  FROM climb
  JOIN checkpoint ON ((size - 1) >> climb.level) > 0
  LEFT JOIN (SELECT * FROM tree) AS other ON other.level = climb.level AND other.place = xor(climb.place, 1)
)
SELECT leaf_index, level, place, sibling_side, to_base64(sibling) AS sibling, to_base64(hash) AS hash,
  CASE WHEN ((size - 1) >> level) > 0 THEN '' WHEN to_base64(hash) = root THEN 'MATCH' ELSE 'MISMATCH' END AS verdict
FROM climb, chosen, checkpoint
ORDER BY level;
