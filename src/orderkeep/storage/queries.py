"""The statements of `queries.sql`, by name."""

import re
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def load(text: str) -> dict[str, str]:
    """Split a file of `-- name: …` sections into statements, without their comments."""
    parts = _NAME.split(text)[1:]
    return {name: _statement(body) for name, body in zip(parts[::2], parts[1::2], strict=True)}


def _statement(body: str) -> str:
    lines = (line for line in body.splitlines() if not line.startswith("--"))
    return "\n".join(lines).strip().removesuffix(";")


QUERIES = load(files("orderkeep.storage").joinpath("queries.sql").read_text())
