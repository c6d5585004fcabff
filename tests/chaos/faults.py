"""All kinds of faults: importing this registers them."""

import importlib
from pathlib import Path

from tests.chaos.fault import FAULTS, Fault

for _module in sorted(Path(__file__).parent.glob("faults_*.py")):
    importlib.import_module(f"tests.chaos.{_module.stem}")


def all_faults() -> list[Fault]:
    """Every kind, in an order that does not depend on what was imported first."""
    return [FAULTS[name] for name in sorted(FAULTS)]


def available(only: str = "") -> tuple[list[Fault], dict[str, str]]:
    """The kinds that can be had here and have `only` in their names, and why the others cannot be had."""
    wanted = [kind for kind in all_faults() if only.lower() in kind.name.lower()]
    missing = {kind.name: reason for kind in wanted if (reason := kind.missing())}
    return [kind for kind in wanted if kind.name not in missing], missing
