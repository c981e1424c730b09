-- The two roles of dbmedic for the database "orders". Run as a superuser in that database, with psql:
--   psql -d orders -v monitor_password=... -v fixer_password=... -v owner=orders_owner -f roles.sql
-- Needed once per server, before: shared_preload_libraries = 'pg_stat_statements'.
-- It can be run again: what is there stays, the passwords are set anew.
\set ON_ERROR_STOP on

CREATE EXTENSION IF NOT EXISTS pg_stat_statements;

-- 1. The monitor role: the only one that the operator uses. It can change nothing.
--    pg_monitor also shows other users' statements with the values that were written into them.
SELECT 'CREATE ROLE dbmedic_monitor LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'dbmedic_monitor') \gexec
ALTER ROLE dbmedic_monitor LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION
  CONNECTION LIMIT 3 PASSWORD :'monitor_password';
ALTER ROLE dbmedic_monitor SET default_transaction_read_only = on;
ALTER ROLE dbmedic_monitor SET statement_timeout = '10s';
GRANT pg_monitor TO dbmedic_monitor;

-- Optional: EXPLAIN needs the right to read the tables that a statement names. With this the operator finds the plan node
-- that reads too much, and the missing index; without it an anomaly's cause ends at the statement. It can then also read
-- every row of every table: leave it out where that may not be. (PostgreSQL 14 and later.)
GRANT pg_read_all_data TO dbmedic_monitor;

-- 2. The fixer role: its credentials are mounted only in the Job of a fix.
--    PostgreSQL lets only the owner of a table create an index on it. So the login role is a member of the owner role, but
--    inherits nothing from it (NOINHERIT): every Job has to SET ROLE on purpose.
--    Beware: whoever may SET ROLE to the owner can do all that the owner can: read and change every row, and drop the
--    table. There is no smaller right in PostgreSQL that allows CREATE INDEX. Keep this Secret where few can read it, and
--    remember that whoever may write a RemediationPolicy can in effect use it.
SELECT 'CREATE ROLE dbmedic_fixer LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'dbmedic_fixer') \gexec
ALTER ROLE dbmedic_fixer LOGIN NOINHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION
  CONNECTION LIMIT 2 PASSWORD :'fixer_password';
GRANT :"owner" TO dbmedic_fixer;
