-- What else the table of orders might look like, by name: changes of the empty table, and what they are
-- compared by.

-- name: as_it_is
select;

-- name: room_in_the_key
alter table orders drop constraint orders_pkey, add primary key (order_uid) with (fillfactor = 70);

-- name: partitions
create table parted (like orders including defaults) partition by hash (order_uid);
alter table parted add primary key (order_uid);
create index on parted (received_at);
create index on parted (track_number collate "C", received_at);
create index on parted (customer_id collate "C", received_at);
create index on parted (date_created, received_at);
do $$
begin
    for number in 0 .. 15 loop
        execute format(
            'create table orders_%s partition of parted for values with (modulus 16, remainder %s)', number, number
        );
    end loop;
end
$$;
drop table orders cascade;
alter table parted rename to orders;

-- name: brin
drop index orders_received_at;
create index orders_received_at on orders using brin (received_at);

-- name: no_search
drop index orders_track_number, orders_customer_id, orders_date_created;

-- name: key_alone
drop index orders_received_at, orders_track_number, orders_customer_id, orders_date_created;

-- name: index_bytes
select sum(pg_indexes_size(oid))::bigint from pg_class where relkind = 'r' and relname ~ '^orders(_\d+)?$';

-- name: wal_bytes
select (pg_current_wal_insert_lsn() - '0/0')::bigint;
