-- Three roles with no more than each needs: the owner of the tables migrates them, ingest inserts and
-- reads, a reader reads. They cannot log in: grant them to the users that do. Roles belong to the whole
-- server, so another database of it may have made them already.
do $$
declare
    role_name text;
begin
    foreach role_name in array array['orderkeep_ingest', 'orderkeep_reader'] loop
        if not exists (select from pg_roles where rolname = role_name) then
            begin
                execute format('create role %I nologin', role_name);
            exception when duplicate_object or unique_violation then
                null;
            end;
        end if;
    end loop;
end
$$;

grant select on all tables in schema public to orderkeep_reader, orderkeep_ingest;
grant insert on sources, orders, rejected_messages, progress to orderkeep_ingest;
grant update on progress to orderkeep_ingest;
