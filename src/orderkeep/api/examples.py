"""What the description of the API shows: an order as it may be posted, and answers with it in them."""

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
