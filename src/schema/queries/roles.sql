-- The group roles of 002_roles.sql.

-- name: create_roles() -> (role text, outcome text)
-- Outcome: created, present, foreign (left alone: more than a group) or denied (no right to create roles).
SELECT r.role, r.outcome FROM weir.create_roles() r;

-- name: apply_grants() -> (statement text)
-- Call it under the migrators' lock. Answers the GRANT and REVOKE statements that it ran.
SELECT g.statement FROM weir.apply_grants() g;

-- name: group_roles() -> (role text, present bool, is_group bool, is_member bool)
-- Works on any database, migrated or not. A superuser is a member of every role.
SELECT w.role, r.oid IS NOT NULL AS present,
       coalesce(NOT (r.rolcanlogin OR r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication
                     OR r.rolbypassrls), false) AS is_group,
       coalesce(pg_has_role(r.oid, 'USAGE'), false) AS is_member
  FROM unnest(ARRAY['weir_producer', 'weir_worker', 'weir_viewer']) AS w (role)
  LEFT JOIN pg_catalog.pg_roles r ON r.rolname = w.role
 ORDER BY w.role;
