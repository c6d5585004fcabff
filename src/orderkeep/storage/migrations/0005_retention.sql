-- What a reject holds may be discarded after a time. The row stays for ever: that the message came, what its
-- bytes were (sha256), and why it was refused.

-- Waiting for a lock, this would hold up everybody who comes after: rather fail, and be run again.
set local lock_timeout = '5s';
-- Does nothing but lock the view. Who reads it locks it before the table, and so must we: no deadlock then.
alter view rejects reset (security_barrier);

alter table rejected_messages add column discarded_at timestamptz;

create or replace view rejects as
select rejected.id,
       rejected.kind,
       rejected.reason,
       rejected.order_uid,
       sources.kind as source,
       sources.topic,
       rejected.partition,
       rejected.position,
       octet_length(rejected.payload) as size,
       rejected.received_at,
       (select outcome from replays where reject_id = rejected.id order by id desc limit 1) as replayed,
       sources.incarnation,
       rejected.key,
       rejected.headers,
       rejected.payload,
       rejected.sha256,
       (select payload from orders where orders.order_uid = rejected.order_uid) as stored,
       rejected.discarded_at
from rejected_messages as rejected
join sources on sources.id = rejected.source;

grant update (key, headers, payload, discarded_at) on rejected_messages to orderkeep_ingest;
