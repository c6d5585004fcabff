-- Orderkeep's own database and users: run once by a superuser, with psql, before `orderkeep migrate`.
--
--     DATABASE_OWNER_PASSWORD=… DATABASE_INGEST_PASSWORD=… DATABASE_READER_PASSWORD=… psql -f users.sql
--
-- The two roles are those that the migrations grant rights to. They are made here, so that the owner of the
-- tables needs no right to make roles.
\set ON_ERROR_STOP on
\getenv owner_password DATABASE_OWNER_PASSWORD
\getenv ingest_password DATABASE_INGEST_PASSWORD
\getenv reader_password DATABASE_READER_PASSWORD

create role orderkeep_ingest nologin;
create role orderkeep_reader nologin;
create role orderkeep login password :'owner_password';
create role orderkeep_in login password :'ingest_password' in role orderkeep_ingest;
create role orderkeep_out login password :'reader_password' in role orderkeep_reader;
create database orderkeep owner orderkeep;
-- Nobody else gets in; ingest makes temporary tables.
revoke all on database orderkeep from public;
grant connect, temporary on database orderkeep to orderkeep_ingest;
grant connect on database orderkeep to orderkeep_reader;
