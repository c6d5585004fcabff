-- What the audit asks of PostgreSQL. It only reads, and never casts a payload: the bytes are compared.

-- name: source_id
select id from sources where kind = $1 and topic = $2 and incarnation = $3;

-- name: latest_incarnation
-- Of a broker that does not tell: the one that the group read last.
select incarnation
from progress
join sources on sources.id = progress.source
where consumer_group = $1 and kind = $2 and topic = $3
order by sources.id desc
limit 1;

-- name: claimed
-- Of a broker that does not tell what is acknowledged: below which position the database claims to have all,
-- and what processes that share the partition have recorded behind it without a gap.
with claimed as (
    select progress.source, partition, max(next_position) as next_position
    from progress
    join sources on sources.id = progress.source
    where consumer_group = $1 and kind = $2 and topic = $3 and incarnation = $4
    group by progress.source, partition
)
select partition, next_position, array(
    select run
    from shared_positions as shared
    cross join unnest(shared.positions) as run
    where (shared.consumer_group, shared.source, shared.partition) = ($1, claimed.source, claimed.partition)
    order by run
) as shared
from claimed;

-- name: orders_by_uids
-- In one statement, since an order may be erased during the audit: those that were have no payload.
select order_uid, payload, source, partition, position from orders where order_uid = any($1::text[])
union all
select order_uid, null, null, null, null from erased_orders where order_uid = any($1::text[]);

-- name: rejects_between
-- By ranges and not by positions: a batch is a few runs of consecutive positions, each one index scan.
select rejects.partition, rejects.position, rejects.payload, rejects.key, rejects.headers,
       rejects.sha256, rejects.kind, rejects.discarded_at is not null as discarded,
       array(select outcome from replays where replays.reject_id = rejects.id) as replays
from unnest($2::integer[], $3::bigint[], $4::bigint[]) as run (partition, first, last)
join rejected_messages as rejects
    on rejects.source = $1
    and rejects.partition = run.partition
    and rejects.position between run.first and run.last;

-- name: count_orders
-- One pass over the table: it has no index on where a row came from, since ingest would pay for it.
select span.partition, count(*) as rows
from unnest($2::integer[], $3::bigint[], $4::bigint[]) as span (partition, first, next)
join orders
    on orders.source = $1
    and orders.partition = span.partition
    and orders.position >= span.first
    and orders.position < span.next
group by span.partition;

-- name: count_rejects
select span.partition, count(*) as rows
from unnest($2::integer[], $3::bigint[], $4::bigint[]) as span (partition, first, next)
join rejected_messages as rejects
    on rejects.source = $1
    and rejects.partition = span.partition
    and rejects.position >= span.first
    and rejects.position < span.next
group by span.partition;

-- name: accepted_gaps
-- What a person has accepted as gone, see `orderkeep ingest --accept-gap`.
select partition, first_position, next_position, accepted_at
from gaps
where consumer_group = $1 and source = $2
order by id;
