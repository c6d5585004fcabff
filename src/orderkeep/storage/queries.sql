-- Every statement that the program sends to PostgreSQL, by name.

-- name: source_id
-- Two statements in one: the second branch sees a source that was there before.
with inserted as (
    insert into sources (kind, topic, incarnation) values ($1, $2, $3)
    on conflict do nothing
    returning id
)
select id from inserted
union all
select id from sources where kind = $1 and topic = $2 and incarnation = $3
limit 1;

-- name: progress
-- What is claimed, and what several processes have recorded behind it without a gap.
with claimed as (
    select source, partition, max(next_position) as next_position
    from progress
    join sources on sources.id = progress.source
    where consumer_group = $1 and kind = $2 and topic = $3 and incarnation = $4
    group by source, partition
)
select claimed.partition, upper(together.first_run) as next_position
from claimed
cross join lateral (
    select unnest(int8multirange(int8range(-1, claimed.next_position)) + coalesce(range_agg(run), '{}')) as first_run
    from shared_positions as shared
    cross join unnest(shared.positions) as run
    where (shared.consumer_group, shared.source, shared.partition) = ($1, claimed.source, claimed.partition)
    order by first_run
    limit 1
) as together;

-- name: latest_incarnation
select incarnation
from progress
join sources on sources.id = progress.source
where consumer_group = $1 and kind = $2 and topic = $3
order by sources.id desc
limit 1;

-- name: make_staging
create temporary table if not exists staged_orders (
    ordinal      integer,
    order_uid    text collate "C",
    track_number text,
    customer_id  text,
    date_created timestamptz,
    payload      json,
    source       integer,
    partition    integer,
    position     bigint
) on commit delete rows;

-- name: insert_staged
-- The first of a uid in the order of delivery wins; a uid that is there already keeps what it has.
insert into orders (order_uid, track_number, customer_id, date_created, payload, source, partition, position)
select distinct on (order_uid)
       order_uid, track_number, customer_id, date_created, payload, source, partition, position
from staged_orders
order by order_uid, ordinal
on conflict (order_uid) do nothing
returning order_uid;

-- name: compare_staged
-- A statement of its own: the insert before it cannot see the row of a transaction that it waited for.
-- What is not returned is the message that made the row, now or when it was delivered before. Its bytes
-- count too: a topic that lost its end gives a position to another message.
-- lateral with a limit asks the index once a message: a plain join is planned without statistics of the
-- temporary table, and reads all of orders (seen: 400 ms a batch at 57,000 rows).
select staged.ordinal, stored.payload::text = staged.payload::text as same_bytes
from staged_orders as staged
cross join lateral (
    select payload, source, partition, position from orders where orders.order_uid = staged.order_uid limit 1
) as stored
where (stored.source, stored.partition, stored.position)
    is distinct from (staged.source, staged.partition, staged.position)
    or stored.payload::text <> staged.payload::text
order by staged.ordinal;

-- name: write_something
-- A commit that wrote nothing waits for no standby: without this, an order that was there already could be
-- confirmed to whoever sends it again, and be lost in a failover all the same. That emptying the staging table
-- writes as well is an accident of its toast index (seen with 18.6).
select pg_logical_emit_message(true, 'orderkeep', '');

-- name: insert_rejects
insert into rejected_messages
    (source, partition, position, key, headers, payload, sha256, kind, reason, order_uid)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
on conflict (source, partition, position, sha256) do nothing
returning id, kind;

-- name: kept_aside
select wanted.ordinal, rejects.kind, rejects.reason, rejects.order_uid
from unnest($2::integer[], $3::bigint[], $4::bytea[]) with ordinality
    as wanted (partition, position, sha256, ordinal)
join rejected_messages as rejects
    on rejects.source = $1
    and rejects.partition = wanted.partition
    and rejects.position = wanted.position
    and rejects.sha256 = wanted.sha256
where not exists (select from erased_orders as erased where erased.order_uid = rejects.order_uid)
order by wanted.ordinal;

-- name: advance_progress
insert into progress as known (consumer_group, source, partition, writer, next_position, end_position)
select $1, $2, partition, $3, next_position, end_position
from unnest($4::integer[], $5::bigint[], $6::bigint[]) as seen (partition, next_position, end_position)
order by partition
on conflict (consumer_group, source, partition, writer) do update
set next_position = greatest(known.next_position, excluded.next_position),
    end_position = excluded.end_position,
    updated_at = now()
returning partition, updated_at;

-- name: record_shared
-- What progress has reached is not needed any more; whoever deletes it at this moment is not waited for.
with reached as (
    delete from shared_positions
    where ctid in (
        select shared.ctid
        from shared_positions as shared
        join unnest($5::integer[], $6::bigint[]) as claimed (partition, next_position)
            on shared.partition = claimed.partition and upper(shared.positions) <= claimed.next_position
        where shared.consumer_group = $1 and shared.source = $2
        for update of shared skip locked
    )
)
insert into shared_positions (consumer_group, source, partition, positions)
select $1, $2, partition, positions::int8multirange
from unnest($3::integer[], $4::text[]) as seen (partition, positions);

-- name: last_commit
select updated_at
from progress
join sources on sources.id = progress.source
where consumer_group = $1 and kind = $2 and topic = $3 and incarnation = $4 and partition = $5 and writer = $6;

-- name: begin_batch
-- Its commit is on disk, and on the synchronous standby if there is one.
begin; set local synchronous_commit = on;

-- name: prepare_writer
-- synchronous_commit is for what is not a batch: without a standby, a session that ends would wait for it
-- with its temporary table, the connection still open, and one that begins as well (seen with 18.6).
-- Not in the URL's settings: a pooling proxy refuses what it does not know. Seconds until a frozen process
-- between two statements, or on a host that is gone, no longer holds what other processes wait for.
select set_config(name, value, false)
from (values ('client_min_messages', 'warning'),
             ('synchronous_commit', 'local'),
             ('idle_in_transaction_session_timeout', '15s'),
             ('tcp_keepalives_idle', '5'),
             ('tcp_keepalives_interval', '5'),
             ('tcp_keepalives_count', '3')) as setting (name, value);
-- The queue of notifications, once full, is looked at again only when somebody asks or a commit has notified.
select pg_notification_queue_usage();

-- name: end_silent_writers
-- Those that the session $1 waits for, directly: of our own user, writers like us, waiting for their client.
select pg_terminate_backend(activity.pid)
from pg_stat_activity as activity
where activity.pid = any(pg_blocking_pids($1))
  and activity.usename = current_user
  and activity.application_name like 'orderkeep ingest %'
  and activity.wait_event = 'ClientRead'
  and activity.state_change < now() - make_interval(secs => $2);

-- name: record_gap
-- The one statement that may take progress back: a topic that lost its end is read from its beginning.
with moved as (
    update progress set next_position = $6, updated_at = now()
    where consumer_group = $1 and source = $2 and partition = $3
), forgotten as (
    delete from shared_positions where consumer_group = $1 and source = $2 and partition = $3
)
insert into gaps (consumer_group, source, partition, first_position, next_position)
values ($1, $2, $3, $4, $5);

-- name: notify
-- Of all statements of a transaction that stores something this is the last, and the table of orders is locked
-- by it: whoever erases has waited, or waits until it is over. So here, and at no cost, it is seen whether
-- anything was ever erased.
select count(pg_notify(channel, message)) as told, exists (select from erased_orders) as erasures
from unnest($1::text[], $2::text[]) as notice (channel, message);

-- name: erased_among
select order_uid from erased_orders where order_uid = any($1::text[]);

-- name: erased_since
select order_uid from erased_orders where erased_at >= now() - $1::interval;

-- name: erased_orders
select order_uid, erased_at, reason from erased_orders order by erased_at, order_uid;

-- name: keep_writers_out
-- Who stores something holds a lock on orders until it is committed, and looks into erased_orders behind that:
-- this waits for it, and it for this. Readers go on. A writer that does not end holds up nobody for longer.
set local lock_timeout = '5s';
lock table orders, rejected_messages in share row exclusive mode;

-- name: orders_of_customers
select order_uid from orders where customer_id collate "C" = any($1::text[]);

-- name: stored_among
select order_uid from orders where order_uid = any($1::text[]);

-- name: rejects_of_orders
select id, order_uid from rejected_messages where order_uid = any($1::text[]) and reason <> 'erased';

-- name: rejects_that_name
-- What is no order has no uid of its own, but its text or its key may name one; and a conflict may be of another
-- customer than the order. Reads all that rejects hold. What is no ASCII is written as escapes, on both sides.
select id
from (
    select id, key, encode(payload, 'escape') as text
    from rejected_messages
    where discarded_at is null
) as reject
where key = any(array(select convert_to(uid, 'UTF8') from unnest($1::text[]) as uid))
   or substring(text from '"order_uid"\s*:\s*"([^"]*)"') = any($1::text[])
   or substring(text from '"customer_id"\s*:\s*"([^"]*)"')
      = any(array(select encode(convert_to(customer, 'UTF8'), 'escape') from unnest($2::text[]) as customer));

-- name: bury_orders
insert into erased_orders (order_uid, reason) select uid, $2 from unnest($1::text[]) as uid
on conflict do nothing;

-- name: delete_orders
delete from orders where order_uid = any($1::text[]);

-- name: empty_rejects
-- The reason may quote what was wrong.
update rejected_messages
set key = null, headers = '{}', payload = null, reason = 'erased', discarded_at = coalesce(discarded_at, now())
where id = any($1::bigint[]);

-- name: empty_replays
update replays set detail = '' where reject_id = any($1::bigint[]);

-- name: order_by_uid
select order_uid, payload, received_at from orders where order_uid = $1;

-- name: orders_by_uids
-- One statement, so that an order is seen in one state: there, erased (without a payload), or neither.
select order_uid, payload, received_at from orders where order_uid = any($1::text[])
union all
select order_uid, null::json, erased_at from erased_orders where order_uid = any($1::text[]);

-- name: order_origin
select order_uid, received_at, kind, topic, partition, position
from orders
join sources on sources.id = orders.source
where order_uid = $1;

-- name: newest_orders
-- For a cursor: the cache is filled from it, newest first.
select order_uid, payload, received_at from orders order by received_at desc;

-- name: order_page
-- Keyset pages, newest first: the row after the one that the page before ended with. Of this and the next four,
-- every bound is an expression that is never null, so also a plan that is made for any values reads an index
-- between two places: `$1 is null or …` would be a filter, and all rows of the index be read for it.
select order_uid, track_number, customer_id, date_created, received_at
from orders
where received_at >= coalesce($1::timestamptz, '-infinity')
  and received_at < coalesce($2::timestamptz, 'infinity')
  and (received_at, order_uid) < (coalesce($3::timestamptz, 'infinity'), coalesce($4::text, '') collate "C")
order by received_at desc, order_uid desc
limit $5;

-- name: order_page_of_track_number
select order_uid, track_number, customer_id, date_created, received_at
from orders
where track_number collate "C" = $6::text
  and received_at >= coalesce($1::timestamptz, '-infinity')
  and received_at < coalesce($2::timestamptz, 'infinity')
  and (received_at, order_uid) < (coalesce($3::timestamptz, 'infinity'), coalesce($4::text, '') collate "C")
order by received_at desc, order_uid desc
limit $5;

-- name: order_page_of_customer
select order_uid, track_number, customer_id, date_created, received_at
from orders
where customer_id collate "C" = $6::text
  and received_at >= coalesce($1::timestamptz, '-infinity')
  and received_at < coalesce($2::timestamptz, 'infinity')
  and (received_at, order_uid) < (coalesce($3::timestamptz, 'infinity'), coalesce($4::text, '') collate "C")
order by received_at desc, order_uid desc
limit $5;

-- name: order_page_by_date_created
select order_uid, track_number, customer_id, date_created, received_at
from orders
where date_created >= coalesce($1::timestamptz, '-infinity')
  and date_created < coalesce($2::timestamptz, 'infinity')
  and (date_created, received_at, order_uid)
      < (coalesce($3::timestamptz, 'infinity'), coalesce($4::timestamptz, 'infinity'),
         coalesce($5::text, '') collate "C")
order by date_created desc, received_at desc, order_uid desc
limit $6;

-- name: order_page_by_uid
-- A uid is of characters below 127, so those that begin with a text are all before that text and chr(127).
select order_uid, track_number, customer_id, date_created, received_at
from orders
where order_uid >= $1::text
  and order_uid < $1::text || chr(127)
  and order_uid > coalesce($2::text, '')
order by order_uid
limit $3;

-- name: ingest_progress
-- What every group has done of every source that is still being read, or was read last.
select consumer_group, kind, topic, partition,
       max(next_position) as next_position,
       max(end_position) as end_position,
       max(updated_at) as updated_at
from progress
join sources on sources.id = progress.source
group by consumer_group, kind, topic, incarnation, partition
order by consumer_group, kind, topic, partition;

-- name: notification_queue
select pg_notification_queue_usage();

-- name: ping
select 1;

-- name: database_identity
-- The cluster, the database in it, and the timeline: a promotion or a recovery to a point in time begins
-- another, and a database that was dropped and made again has another number.
select system_identifier::text || '.' || oid || '.' || left(pg_walfile_name(pg_current_wal_lsn()), 8)
from pg_control_system(), pg_database
where datname = current_database();

-- name: estimate_orders
-- What the statistics say: counting the rows would read the table.
select greatest(reltuples, pg_stat_get_live_tuples(oid), 0)::bigint as orders
from pg_class
where oid = 'orders'::regclass;

-- name: plan_for_values
-- Filters may be null, and a plan that fits every filter reads the whole table (seen: 400 ms, not 0.2).
set local plan_cache_mode = force_custom_plan;

-- name: reject_page
select id, kind, reason, order_uid, source, topic, partition, position, size, received_at, replayed,
       discarded_at
from rejects
where ($1::text is null or kind = $1)
  and ($2::text is null or topic = $2)
  and ($3::timestamptz is null or received_at >= $3)
  and ($4::timestamptz is null or received_at < $4)
  and ($5::bigint is null or id < $5)
order by id desc
limit $6;

-- name: reject_by_id
select id, kind, reason, order_uid, source, topic, partition, position, size, received_at, replayed,
       discarded_at, incarnation, key, headers, payload, sha256, stored
from rejects
where id = $1;

-- name: rejects_between
-- A page at a time and not a cursor: a replay of many would keep its snapshot, and hold up vacuum.
select id, kind, reason, order_uid, source, topic, partition, position, size, received_at, replayed,
       discarded_at, incarnation, key, headers, payload, sha256, stored
from rejects
where ($1::text is null or kind = $1)
  and ($2::text is null or topic = $2)
  and ($3::timestamptz is null or received_at >= $3)
  and ($4::timestamptz is null or received_at < $4)
  and id > $5 and id <= $6
order by id
limit $7;

-- name: count_rejects
select count(*)
from rejects
where ($1::text is null or kind = $1)
  and ($2::text is null or topic = $2)
  and ($3::timestamptz is null or received_at >= $3)
  and ($4::timestamptz is null or received_at < $4);

-- name: last_reject
select coalesce(max(id), 0) from rejected_messages;

-- name: record_replay
insert into replays (reject_id, outcome, detail) values ($1, $2, $3);

-- name: expired_rejects
-- By the clock that gave received_at: another one that is wrong would discard what is new. Reads all that is
-- old, also what was discarded before: 0.2 s with 300,000 rejects.
select id from rejected_messages where received_at < now() - $1::interval and discarded_at is null limit $2;

-- name: discard_rejects
-- What another process is discarding is left to it; a replay that is being noted locks key share, and goes on.
update rejected_messages
set key = null, headers = '{}', payload = null, discarded_at = now()
where id = any(array(
    select id from rejected_messages
    where id = any($1::bigint[]) and discarded_at is null
    for no key update skip locked
))
returning id;

-- name: clock
select now();

-- name: events_of_orders
select order_uid, track_number, customer_id, date_created, received_at, kind, partition, position,
       case when octet_length(payload::text) <= $2::integer then payload end as payload
from orders
left join sources on sources.id = orders.source
where order_uid = any($1::text[]);

-- name: orders_since
-- The newest are chosen before any payload is looked at.
select order_uid, track_number, customer_id, date_created, received_at, kind, partition, position,
       case when octet_length(payload::text) <= $3::integer then payload end as payload
from (
    select * from orders
    where received_at >= $1
    order by received_at desc, order_uid desc
    limit $2
) as newest
left join sources on sources.id = newest.source;

-- name: count_orders_since
-- Sorted, so that it is read from the index, and no further than the limit.
select count(*)
from (
    select from orders
    where received_at >= $1 and (received_at, order_uid) > ($1, $2::text collate "C")
    order by received_at desc
    limit $3
) as behind;

-- name: events_of_rejects
select rejected.id, rejected.kind, reason, sources.kind as source, topic, partition, position, received_at,
       order_uid
from rejected_messages as rejected
join sources on sources.id = rejected.source
where rejected.id = any($1::bigint[]);

-- name: rejects_since
-- Ids grow nearly as times do, and no index has both.
select rejected.id, rejected.kind, reason, sources.kind as source, topic, partition, position, received_at,
       order_uid
from (select * from rejected_messages order by id desc limit $3) as rejected
join sources on sources.id = rejected.source
where received_at >= $1
order by received_at desc, rejected.id desc
limit $2;

-- name: count_rejects_since
select count(*)
from (select id, received_at from rejected_messages order by id desc limit $3) as newest
where (received_at, id) > ($1, $2::bigint);
