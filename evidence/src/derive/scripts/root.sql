)
SELECT origin, checkpoint.size AS tree_size, first AS first_leaf, after - 1 AS last_leaf,
  (SELECT count(*) FROM 'data/population/leaves.parquet') AS leaves,
  to_base64(hash) AS recomputed_root, root AS checkpoint_root,
  CASE WHEN to_base64(hash) = root
      AND (SELECT count(*) FROM 'data/population/leaves.parquet') = after - first
      AND trim(content, chr(10)) = trim((SELECT string_agg(line, chr(10) ORDER BY n) FROM lines, head WHERE n >= 6 + hashes), chr(10))
    THEN 'MATCH' ELSE 'MISMATCH' END AS verdict
FROM tree, checkpoint, bounds, (SELECT content FROM read_text('data/proofs/checkpoint'))
WHERE level = (SELECT max(level) FROM tree);
