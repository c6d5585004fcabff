-- Divides `orders` into 16 partitions by the hash of the uid, with what is in it. As the owner, after
-- `orderkeep migrate`, while no ingest runs: psql -1 -v ON_ERROR_STOP=1 -f partition-orders.sql
-- Its one unique constraint has the uid, so uniqueness is kept. docs/scaling.md says when this is of use.

lock table orders;

create temporary table view_definitions on commit drop as
select oid::regclass::text as name, pg_get_viewdef(oid) as body
from pg_class
where relkind = 'v' and relnamespace = 'public'::regnamespace;

alter table orders rename to orders_before;

create table orders (like orders_before including all) partition by hash (order_uid);

do $$
declare
    definition record;
begin
    for remainder in 0..15 loop
        execute format(
            'create table orders_%s partition of orders for values with (modulus 16, remainder %s)',
            remainder, remainder
        );
    end loop;
    for definition in select name, body from view_definitions loop
        execute format('create or replace view %s as %s', definition.name, definition.body);
    end loop;
end
$$;

insert into orders select * from orders_before;
drop table orders_before;

grant select on orders to orderkeep_reader, orderkeep_ingest;
grant insert on orders to orderkeep_ingest;

analyze orders;
