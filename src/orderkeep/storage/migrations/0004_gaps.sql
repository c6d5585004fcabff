-- Messages that the broker deleted before anybody had stored them, and that a person has accepted as gone.
create table gaps (
    id             bigint generated always as identity primary key,
    consumer_group text not null,
    source         integer not null references sources,
    partition      integer not null,
    first_position bigint not null,
    next_position  bigint not null,
    accepted_at    timestamptz not null default now()
);

grant select on gaps to orderkeep_reader, orderkeep_ingest;
grant insert on gaps to orderkeep_ingest;
