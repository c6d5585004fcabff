-- What processes that share one partition have committed, beyond what progress claims: of a broker that does
-- not tell what the others have acknowledged. A row for each batch; what progress has reached is deleted.
create table shared_positions (
    consumer_group text not null,
    source         integer not null references sources,
    partition      integer not null,
    positions      int8multirange not null
);

create index shared_positions_of on shared_positions (consumer_group, source, partition);

grant select on shared_positions to orderkeep_reader, orderkeep_ingest;
grant insert, delete, update on shared_positions to orderkeep_ingest;
