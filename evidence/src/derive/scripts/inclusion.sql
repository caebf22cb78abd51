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
UNION ALL
SELECT leaf_index, NULL, NULL, NULL, NULL, NULL,
  'NOT IN THIS PACKAGE: it has the leaves ' || first || ' to ' || (after - 1)
FROM chosen, bounds WHERE leaf_index < first OR leaf_index >= after
ORDER BY level;
