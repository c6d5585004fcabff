"""What the description of the API shows: an order as it may be posted, and answers with it in them."""

import json
from hashlib import sha256
from typing import Any, Final

ORDER: Final[dict[str, Any]] = {
    "order_uid": "b563feg7bdg3286ttjr67siej",
    "track_number": "WBILMTESTTRACK",
    "entry": "WBIL",
    "delivery": {
        "name": "Test Testov",
        "phone": "+9720000000",
        "zip": "2639809",
        "city": "Kiryat Mozkin",
        "address": "Ploshad Mira 15",
        "region": "Kraiot",
        "email": "test@gmail.com",
    },
    "payment": {
        "transaction": "b563feb7b2b84b6test",
        "request_id": "",
        "currency": "USD",
        "provider": "wbpay",
        "amount": 1817,
        "payment_dt": 1637907727,
        "bank": "alpha",
        "delivery_cost": 1500,
        "goods_total": 317,
        "custom_fee": 0,
    },
    "items": [
        {
            "chrt_id": 9934930,
            "track_number": "WBILMTESTTRACK",
            "price": 453,
            "rid": "ab4219087a764ae0btest",
            "name": "Mascaras",
            "sale": 30,
            "size": "0",
            "total_price": 317,
            "nm_id": 2389212,
            "brand": "Vivienne Sabo",
            "status": 202,
        }
    ],
    "locale": "en",
    "internal_signature": "",
    "customer_id": "test",
    "delivery_service": "meest",
    "shardkey": "9",
    "sm_id": 99,
    "date_created": "2021-11-26T06:22:19Z",
    "oof_shard": "1",
}

PAGE: Final[dict[str, Any]] = {
    "orders": [
        {
            **{name: ORDER[name] for name in ("order_uid", "track_number", "customer_id", "date_created")},
            "received_at": "2026-11-21T09:14:42.506386Z",
        }
    ],
    "next": "1795252482506386.b563feg7bdg3286ttjr67siej",
}

_CONFLICT: Final = json.dumps({**ORDER, "locale": "ru"})

REJECT: Final[dict[str, Any]] = {
    "id": 17,
    "kind": "conflict",
    "reason": "another order is stored under the uid b563feg7bdg3286ttjr67siej",
    "order_uid": "b563feg7bdg3286ttjr67siej",
    "source": "kafka",
    "topic": "orders",
    "partition": 0,
    "position": 17,
    "size": len(_CONFLICT),
    "received_at": "2026-11-21T09:35:12.402212Z",
    "replayed": None,
    "discarded_at": None,
}
"""A line of the list."""

REJECT_PAGE: Final[dict[str, Any]] = {"rejects": [REJECT], "next": None}

REJECT_DOCUMENT: Final[dict[str, Any]] = {
    **REJECT,
    "incarnation": "kL5pRjPdTvC2wWk1bV0Vdw",
    "key": {"text": "b563feg7bdg3286ttjr67siej"},
    "headers": [{"name": {"text": "trace"}, "value": {"base64": "/w=="}}],
    "sha256": sha256(_CONFLICT.encode()).hexdigest(),
    "text": _CONFLICT,
    "base64": None,
    "stored_text": json.dumps(ORDER),
    "differences": [{"path": "$.locale", "stored": '"en"', "rejected": '"ru"'}],
}

REPLAYED: Final[dict[str, Any]] = {
    "reject_id": 17,
    "outcome": "stored",
    "detail": "order b563feg7bdg3286ttjr67siej",
}

READY: Final[dict[str, Any]] = {
    "status": "ok",
    "database": {"status": "ok", "detail": None, "orders": 4_075},
    "cache": {
        "entries": 4_239,
        "bytes": 6_622_849,
        "max_bytes": 536_870_912,
        "max_orders": None,
        "evictions": 0,
    },
    "redis": None,
    "restore": {"following": True, "restored": 0, "restoring": False, "seconds": 0.0},
    "ingest": [
        {
            "consumer_group": "orderkeep",
            "kind": "kafka",
            "topic": "orders",
            "partition": 0,
            "next_position": 1_038,
            "lag": 0,
            "updated_at": "2026-11-21T08:55:23.552680Z",
        }
    ],
    "keys": None,
}

STATE: Final[dict[str, Any]] = {
    "now": "2026-11-21T08:55:24.107312Z",
    "versions": {"python": "3.11.7", "orderkeep": "0.1.0"},
    "process": {"pid": 4711, "started_at": "2026-11-21T08:54:51.270312Z", "processes": 1},
    "health": READY,
    "database_milliseconds": 1.204,
    "reads": {"fast_lane": 981, "cache": 12, "redis": 0, "database": 7},
    "ingest_processes": [
        {
            "url": "http://127.0.0.1:8081",
            "status": {
                "consumed": 1_038,
                "outcomes": {"stored": 1_031, "rejected": 7},
                "lag": {"0": 0},
                "trouble": None,
                "commit_delay": {"p50": 9.642, "p99": 31.118},
                "batch_write": {"p50": 4.814, "p99": 24.58},
            },
            "detail": None,
        }
    ],
    "settings": [{"name": "ORDERKEEP_HTTP_PORT", "value": 8080, "changed": False}],
}

METRICS: Final = """\
# HELP orderkeep_cache_entries Orders in the cache.
# TYPE orderkeep_cache_entries gauge
orderkeep_cache_entries 4239.0
"""

ORIGIN: Final[dict[str, Any]] = {
    "order_uid": ORDER["order_uid"],
    "received_at": "2026-11-21T09:14:42.506386Z",
    "source": "kafka",
    "topic": "orders",
    "partition": 0,
    "position": 16,
}

EVENTS: Final = """\
retry: 1000
id: 1795252482100000.now

id: 1795252482506386.stored.b563feg7bdg3286ttjr67siej
event: stored
data: {"order_uid":"b563feg7bdg3286ttjr67siej","track_number":"WBILMTESTTRACK","customer_id":"test",\
"date_created":"2021-11-26T06:22:19Z","received_at":"2026-11-21T09:14:42.506386Z","amount":1817,\
"currency":"USD","items":1,"source":"kafka","partition":0,"position":16}

id: 1795252482506386.rejected.17
event: rejected
data: {"id":17,"kind":"not_json","reason":"JSON is malformed: invalid character (byte 0)","source":"kafka",\
"topic":"orders","partition":0,"position":17,"received_at":"2026-11-21T09:14:42.506386Z","order_uid":null}

id: 1795252483506386.stored.one-more
event: skipped
data: {"count":120}

event: bye
data: {"reason":"the service stops"}

"""

DEAD_LETTER: Final[dict[str, Any]] = {
    "headers": {
        "orderkeep-kind": "not_json",
        "orderkeep-reason": "JSON is malformed: invalid character (byte 0)",
        "orderkeep-topic": "orders",
        "orderkeep-partition": "0",
        "orderkeep-position": "17",
        "orderkeep-incarnation": "kL5pRjPdTvC2wWk1bV0Vdw",
    },
    "payload": "garbage",
}
