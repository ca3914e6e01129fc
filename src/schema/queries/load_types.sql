-- name: load_said_types() -> (type_id int8, modifier int4, type text)
-- Of the columns of pg_temp.weir_said, which a load makes to learn what types a user has said.
SELECT a.atttypid::int8 AS type_id, a.atttypmod AS modifier, format_type(a.atttypid, a.atttypmod) AS type
  FROM pg_catalog.pg_attribute a
 WHERE a.attrelid = to_regclass('pg_temp.weir_said') AND a.attnum > 0
 ORDER BY a.attnum;
