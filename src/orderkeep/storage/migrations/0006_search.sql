-- For lists of orders by track number, by customer and by the date of the order; one by uid has the primary
-- key. A uid, a track number or a customer may have any number of orders, so each index goes on with the time
-- of receiving, by which the list is sorted. collate "C": bytes are compared faster than words, and no update
-- of the system's locales changes their order.

-- Waiting for a lock, this would hold up everybody who comes after: rather fail, and be run again.
set local lock_timeout = '5s';

-- Ingest waits while they are built, about a second each for a million orders. Where that is too long, make
-- them beforehand with `create index concurrently`: what is there is not made again.
create index if not exists orders_track_number on orders (track_number collate "C", received_at);
create index if not exists orders_customer_id on orders (customer_id collate "C", received_at);
create index if not exists orders_date_created on orders (date_created, received_at);
