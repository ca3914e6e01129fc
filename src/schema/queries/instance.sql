-- name: instance() -> (id uuid, created_at timestamptz)
-- Which installation this database is: equal ids mean the same database, whatever the connection strings say.
SELECT id, created_at FROM weir.instance;
