-- Sessions of Weir in this database, known by their application_name `weir:<role>:<id>`.

-- name: weir_sessions() -> (
--   pid int4, role text, id text, state text?, started_at timestamptz, transaction_started_at timestamptz?)
-- For leak checks: every session of ours but the one that asks.
SELECT a.pid, split_part(a.application_name, ':', 2) AS role,
       substr(a.application_name, length(split_part(a.application_name, ':', 2)) + 7) AS id,
       a.state, a.backend_start AS started_at, a.xact_start AS transaction_started_at
  FROM pg_catalog.pg_stat_activity a
 WHERE a.datname = current_database() AND a.application_name LIKE 'weir:%:%' AND a.pid <> pg_backend_pid()
 ORDER BY a.backend_start, a.pid;

-- name: sessions_by_role() -> (
--   role text, sessions int8, active int8, idle_in_transaction int8, oldest_transaction_seconds float8?)
-- For doctor: the asking session counts too.
SELECT split_part(a.application_name, ':', 2) AS role, count(*) AS sessions,
       count(*) FILTER (WHERE a.state = 'active') AS active,
       count(*) FILTER (WHERE a.state LIKE 'idle in transaction%') AS idle_in_transaction,
       extract(epoch FROM clock_timestamp() - min(a.xact_start))::float8 AS oldest_transaction_seconds
  FROM pg_catalog.pg_stat_activity a
 WHERE a.datname = current_database() AND a.application_name LIKE 'weir:%:%'
 GROUP BY 1
 ORDER BY 1;
