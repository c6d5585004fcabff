-- Orders that were erased because somebody asked for it. Of an order nothing is left but its uid, by which it
-- is known when the broker delivers it again, when somebody posts it, and when somebody asks for it.

-- Waiting for a lock, this would hold up everybody who comes after: rather fail, and be run again.
set local lock_timeout = '5s';

create table erased_orders (
    order_uid text collate "C" primary key,
    erased_at timestamptz not null default now(),
    reason    text not null
);

-- Processes that begin to listen ask what was erased lately.
create index erased_orders_erased_at on erased_orders (erased_at);

-- Only conflicts, and orders that the database refused, have a uid: ingest pays for nothing else.
create index rejected_messages_order_uid on rejected_messages (order_uid) where order_uid is not null;

-- To erase is for the owner of the tables alone.
grant select on erased_orders to orderkeep_reader, orderkeep_ingest;
