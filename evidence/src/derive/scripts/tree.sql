--
-- RFC 6962, section 2.1: leaf = SHA-256(00 || bytes), node = SHA-256(01 || left || right); a last node without a
-- sibling moves up as it is. What lies left and right of the leaves comes from data/proofs/range.proof, as the hashes
-- of perfect subtrees, whose positions follow from the numbers alone.
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
    (SELECT line FROM lines WHERE n = 6 + hashes) AS origin,
    (SELECT CAST(line AS BIGINT) FROM lines WHERE n = 7 + hashes) AS size,
    (SELECT line FROM lines WHERE n = 8 + hashes) AS root
  FROM head
),
-- Left of the leaves: one perfect subtree for each 1 bit of the first index, largest first.
left_places AS (
  SELECT level, ((first >> CAST(level + 1 AS BIGINT)) << 1) AS place, row_number() OVER (ORDER BY level DESC) AS ord
  FROM bounds, (SELECT unnest(range(0, 62)) AS level)
  WHERE (first >> CAST(level AS BIGINT)) & 1 = 1
),
-- Right of them: at each position the largest perfect subtree that is aligned there and still fits.
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
