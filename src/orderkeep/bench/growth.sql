-- Statements of the bench of a large table, by name.

-- name: indexes
-- Constraints first: an index that belongs to one goes with it.
select format('alter table orders drop constraint %I', conname) as drop_it,
       format('alter table orders add constraint %I %s', conname, pg_get_constraintdef(pg_constraint.oid))
           || coalesce(' with (' || array_to_string(reloptions, ', ') || ')', '') as make_it
from pg_constraint
join pg_class on pg_class.oid = conindid
where conrelid = 'orders'::regclass and contype in ('p', 'u')
union all
select format('drop index %s', indexrelid::regclass),
       replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ') -- of the partitions, too
from pg_index
where indrelid = 'orders'::regclass
  and not exists (select from pg_constraint where conindid = indexrelid and contype in ('p', 'u'));

-- name: fill
-- A hundredth of a second apart, the last one now.
-- Orders $1 to $2 - 1 of $3, all with the text $4 but for their uid, which is random as a sender's is.
insert into orders (order_uid, track_number, customer_id, date_created, payload, received_at, source)
select uid, 'WB' || number, 'customer-' || number % 1000003, at, replace($4, '{uid}', uid)::json, at, 1
from generate_series($1::bigint, $2::bigint - 1) as number
cross join lateral (select md5('orderkeep' || number) as uid) as named
cross join lateral (select now() - make_interval(secs => ($3::bigint - number) * 0.01) as at) as timed;
