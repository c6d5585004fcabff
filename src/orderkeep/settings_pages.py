"""The settings as people read them: a table, JSON, `.env.example`, and the page of the documentation."""

import io
import json
from typing import Literal

from pydantic.fields import FieldInfo
from rich.console import Console
from rich.table import Table

from orderkeep.secret_files import SUFFIX
from orderkeep.settings import SECRETS, Settings, variable
from orderkeep.settings_masked import masked

Form = Literal["table", "json", "env", "markdown"]


def show(settings: Settings, form: Form) -> str:
    """`table` and `json` show the values in force, `env` and `markdown` the defaults."""
    return {"table": _table, "json": _json, "env": _env, "markdown": _markdown}[form](settings)


def _table(settings: Settings) -> str:
    table = Table(show_lines=True)
    for heading in ("setting", "value", "meaning"):
        table.add_column(heading, overflow="fold")
    for name, value in masked(settings).items():
        given = "" if name not in settings.model_fields_set else " *"
        table.add_row(variable(name) + given, _text(value), Settings.model_fields[name].description)
    output = io.StringIO()
    console = Console(file=output, width=max(100, Console().width))
    console.print(table, markup=False)
    console.print("* set by .env, the environment or a flag", markup=False)
    return output.getvalue()


def _json(settings: Settings) -> str:
    values = {variable(name): value for name, value in masked(settings).items()}
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def _env(_settings: Settings) -> str:
    lines = [
        "# Every setting with its default. Copy to .env and change what differs; "
        "the environment is stronger.",
        f"# In files that hold the value: {_examples_of_files()}.",
    ]
    for name, field in Settings.model_fields.items():
        lines += ["", f"# {field.description}", f"#{variable(name)}={_default(field)}"]
    return "\n".join(lines) + "\n"


def _markdown(_settings: Settings) -> str:
    lines = [
        "# Settings",
        "",
        "Made by `make docs` from `src/orderkeep/settings.py`.",
        "",
        "The later is the stronger: the default, a `.env` file in the working folder, the environment, a",
        "flag. Every setting is a flag of every command: `ORDERKEEP_HTTP_PORT=9090` is `--http-port 9090`.",
        "A name that begins with `ORDERKEEP_` and is no setting is an error: a misspelt one does not pass.",
        "",
        "What may hold a password can be in a file, as Docker and Kubernetes mount secrets. A variable that",
        f"ends in `_FILE` names it: {_examples_of_files('`')}.",
        "Beside its setting in the same place, it is an error.",
        "",
        "| setting | default | meaning |",
        "|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        default = _default(field)
        shown = f"`{default}`" if default else ""
        lines.append(f"| `{variable(name)}` | {shown} | {field.description} |")
    return "\n".join(lines) + "\n"


def _examples_of_files(mark: str = "") -> str:
    return ", ".join(f"{mark}{variable(name)}{SUFFIX}{mark}" for name in SECRETS)


def _default(field: FieldInfo) -> str:
    return _text(field.get_default(call_default_factory=True, validated_data={}))


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
