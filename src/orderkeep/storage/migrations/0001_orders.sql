-- The tables of Orderkeep. The data is static: an order is written once and never changed, so the
-- document is the row, byte for byte as it was sent, and columns repeat only what is searched for.

-- Where messages come from. A topic that is deleted and made again is another source: its positions
-- start over, and only the incarnation (Kafka's topic id, a stream's creation time) tells them apart.
create table sources (
    id           integer generated always as identity primary key,
    kind         text not null,
    topic        text not null,
    incarnation  text not null,
    first_seen_at timestamptz not null default now(),
    unique (kind, topic, incarnation)
);

-- collate "C": byte order is the order of a batch sorted in Python, and serves prefix searches.
-- payload is json, not jsonb: the text is kept as it came. source has no foreign key: a check for
-- every row would cost ingest, and sources are never deleted.
create table orders (
    order_uid    text collate "C" primary key,
    track_number text not null,
    customer_id  text not null,
    date_created timestamptz not null,
    payload      json not null,
    received_at  timestamptz not null default now(),
    source       integer not null,
    partition    integer,
    position     bigint
);

-- Newest first: the restore of the cache and the list of orders. It only grows at its right edge.
create index orders_received_at on orders (received_at);

-- What is not an order, or says something else under a uid that is taken: kept byte for byte.
-- headers is an array of alternating names and values, as bytes; reason is cut and free of NUL.
create table rejected_messages (
    id          bigint generated always as identity primary key,
    source      integer not null references sources,
    partition   integer not null,
    position    bigint not null,
    key         bytea,
    headers     bytea[] not null default '{}',
    payload     bytea,
    sha256      bytea not null,
    kind        text not null,
    reason      text not null,
    order_uid   text collate "C",
    received_at timestamptz not null default now(),
    unique (source, partition, position, sha256)
);

-- How far each source is read, written in the transaction that stores what was read. Every concurrent
-- writer has a row of its own, so that transactions do not wait for each other; each row states what is
-- committed for certain once its transaction is, so the largest of a partition's rows is the position.
create table progress (
    consumer_group text not null,
    source         integer not null references sources,
    partition      integer not null,
    writer         smallint not null,
    next_position  bigint not null,
    end_position   bigint,
    updated_at     timestamptz not null default now(),
    primary key (consumer_group, source, partition, writer)
) with (fillfactor = 50);

-- For people who ask in SQL.
create view deliveries as
select order_uid,
       payload -> 'delivery' ->> 'name'    as name,
       payload -> 'delivery' ->> 'phone'   as phone,
       payload -> 'delivery' ->> 'zip'     as zip,
       payload -> 'delivery' ->> 'city'    as city,
       payload -> 'delivery' ->> 'address' as address,
       payload -> 'delivery' ->> 'region'  as region,
       payload -> 'delivery' ->> 'email'   as email
from orders;

create view payments as
select order_uid,
       payload -> 'payment' ->> 'transaction'              as transaction,
       payload -> 'payment' ->> 'request_id'               as request_id,
       payload -> 'payment' ->> 'currency'                 as currency,
       payload -> 'payment' ->> 'provider'                 as provider,
       (payload -> 'payment' ->> 'amount')::bigint         as amount,
       (payload -> 'payment' ->> 'payment_dt')::bigint     as payment_dt,
       payload -> 'payment' ->> 'bank'                     as bank,
       (payload -> 'payment' ->> 'delivery_cost')::bigint  as delivery_cost,
       (payload -> 'payment' ->> 'goods_total')::bigint    as goods_total,
       (payload -> 'payment' ->> 'custom_fee')::bigint     as custom_fee
from orders;

create view items as
select order_uid,
       line::integer                      as line,
       (item ->> 'chrt_id')::bigint       as chrt_id,
       item ->> 'track_number'            as track_number,
       (item ->> 'price')::bigint         as price,
       item ->> 'rid'                     as rid,
       item ->> 'name'                    as name,
       (item ->> 'sale')::bigint          as sale,
       item ->> 'size'                    as size,
       (item ->> 'total_price')::bigint   as total_price,
       (item ->> 'nm_id')::bigint         as nm_id,
       item ->> 'brand'                   as brand,
       (item ->> 'status')::bigint        as status
from orders
cross join lateral json_array_elements(payload -> 'items') with ordinality as element (item, line);
