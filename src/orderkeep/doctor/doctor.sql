-- What the doctor asks of PostgreSQL. Every user may ask it; what a user may not see is null or left out.

-- name: only_read
-- Whatever is asked then, the server lets nothing of it change anything.
set session characteristics as transaction read only;

-- name: server
select version.setting as version,
       current_user::text as user,
       coalesce(host(inet_server_addr()) || ':' || inet_server_port(), 'a local socket') as place,
       pg_is_in_recovery() as standby,
       (select system_identifier::text from pg_control_system()) as system,
       (select oid::bigint from pg_database where datname = current_database()) as database,
       current_setting('server_encoding') as encoding,
       pg_notification_queue_usage() as notification_queue,
       extract(epoch from clock_timestamp())::float8 as clock,
       case when pg_is_in_recovery()
            then extract(epoch from now() - pg_last_xact_replay_timestamp())::float8 end as replayed_seconds_ago,
       pg_last_wal_replay_lsn() is distinct from pg_last_wal_receive_lsn() as replaying,
       pg_backend_pid() as pid,
       to_regclass('schema_migrations') is not null as migrated
from pg_settings as version
where version.name = 'server_version';

-- name: server_settings
-- reset_val: our own session sets synchronous_commit otherwise.
select name, reset_val as value
from pg_settings
where name in ('fsync', 'full_page_writes', 'synchronous_commit', 'synchronous_standby_names', 'autovacuum',
               'max_connections', 'superuser_reserved_connections', 'reserved_connections', 'data_directory',
               'data_checksums', 'wal_level');

-- name: activity
-- Without the right to see all sessions, those of other users have no times.
select (select count(*) from pg_stat_activity where backend_type = 'client backend') as connections,
       (select count(*) from pg_stat_replication) as standbys,
       (select age(datfrozenxid) from pg_database where datname = current_database()) as oldest_transaction,
       (select coalesce(max(extract(epoch from now() - xact_start)), 0)::float8
        from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()) as longest_seconds,
       pg_database_size(current_database()) as bytes,
       case when inet_server_addr() is null then true
            else inet_server_addr() = inet_client_addr() end as local;

-- name: rights
-- What the current user may do to each table, beside what the role $1 may, which a user is to be given. The
-- migrations say what that is, and nobody repeats it here.
select tables.relname::text as table,
       privilege,
       case when privilege in ('DELETE', 'TRUNCATE') then has_table_privilege(tables.oid, privilege)
            else has_any_column_privilege(tables.oid, privilege) end as allowed,
       case when privilege in ('DELETE', 'TRUNCATE') then has_table_privilege(role.oid, tables.oid, privilege)
            else has_any_column_privilege(role.oid, tables.oid, privilege) end as meant
from pg_class as tables
cross join unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) as privilege
join pg_roles as role on role.rolname = $1
where tables.relnamespace = (select relnamespace from pg_class where oid = to_regclass('orders'))
  and tables.relkind in ('r', 'p', 'v');

-- name: abilities
select (select rolsuper from pg_roles where rolname = current_user) as superuser,
       (select rolcreaterole from pg_roles where rolname = current_user) as creates_roles,
       has_database_privilege(current_database(), 'TEMP') as temporary,
       has_schema_privilege('public', 'CREATE') as creates_tables,
       (select count(*) from pg_roles where rolname in ('orderkeep_ingest', 'orderkeep_reader')) as roles,
       coalesce((select pg_has_role(relowner, 'USAGE') from pg_class where oid = to_regclass('orders')), true)
           as owns_tables;
