"""The description of what comes from the broker and goes to it agrees with AsyncAPI and with the service.

Dead letters of a real broker are compared with it in `test_dead_letters.py`.
"""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from orderkeep.errors import Rejected
from orderkeep.order import decode
from orderkeep.publish.generate import OrderGenerator
from tests.conftest import Database
from tests.orders import MODEL, MODEL_POST, with_unknown
from tests.service import Service

from .api_scene import api_only

STANDARD = Path(__file__).parents[1] / "data" / "asyncapi" / "schema-3.0.0.json"
"""AsyncAPI's own, from its package for npm, without its descriptions and examples."""


@pytest.fixture(scope="module")
def document(service: Service) -> Any:
    answer = httpx.get(f"{service.url}/asyncapi.json")
    assert answer.headers["content-type"].startswith("application/json")
    return answer.json()


def part(document: Any, reference: str) -> Any:
    for step in reference.removeprefix("#/").split("/"):
        document = document[step]
    return document


def payload_schema(document: Any) -> dict[str, Any]:
    """Of an order, with all that it refers to."""
    payload = document["components"]["messages"]["order"]["payload"]
    return {**payload, "components": document["components"]}


def test_standard(document: Any, service: Service) -> None:
    """It is AsyncAPI 3.0, every reference leads somewhere, and the address is the real one."""
    jsonschema.Draft7Validator(json.loads(STANDARD.read_text())).validate(document)
    references = re.findall(r'"\$ref": "([^"]+)"', json.dumps(document))
    assert references
    for reference in references:
        assert part(document, reference)
    assert document["channels"]["orders"]["address"] == service.topic
    assert document["channels"]["deadLetters"]["address"] is None


def test_examples(document: Any) -> None:
    """Every example agrees with its schema, and an order that is shown is one."""
    for message in document["components"]["messages"].values():
        for example in message["examples"]:
            jsonschema.validate(
                example["payload"], {**message["payload"], "components": document["components"]}
            )
            if "headers" in message:
                headers = part(document, message["headers"]["$ref"])
                jsonschema.validate(example["headers"], headers)
    (example,) = document["components"]["messages"]["order"]["examples"]
    decode(json.dumps(example["payload"]).encode())


def test_orders(document: Any) -> None:
    """What is sent as an order agrees with it; what is refused for a field does not."""
    checker = jsonschema.Draft7Validator(payload_schema(document))
    made = OrderGenerator(1)
    for text in (MODEL, MODEL_POST, with_unknown(b"1"), *(made.order().payload for _ in range(100))):
        assert text is not None
        checker.validate(json.loads(text))
    for before, after in (
        (b'"amount": 1817', b'"amount": "1817"'),
        (b'"sm_id": 99', b'"sm_id": 9.9'),
        (b'"oof_shard"', b'"renamed"'),
        (b"b563feb7b2b84b6test", b"b563feb7b2b84b6test\\n"),
        (b'"order_uid": "b563feb7b2b84b6test"', b'"order_uid": ".."'),
    ):
        wrong = MODEL.replace(before, after)
        assert wrong != MODEL
        with pytest.raises(Rejected):
            decode(wrong)
        assert not checker.is_valid(json.loads(wrong))


def test_another_broker(database: Database, tmp_path: Path) -> None:
    """On NATS the address is the subject."""
    service = api_only(
        tmp_path, database, {"ORDERKEEP_SOURCE": "jetstream", "ORDERKEEP_NATS_SUBJECT": "shop.orders"}
    )
    service.start_api()
    orders = httpx.get(f"{service.url}/asyncapi.json").json()["channels"]["orders"]
    assert orders["address"] == "shop.orders"
    assert "bindings" not in orders
    service.stop()
