"""Which implementations a contract is tried on: all of the project's, or one of somebody else's alone."""

import importlib
import os
from collections.abc import Callable, Mapping
from typing import Literal, ParamSpec, TypeVar, get_args

Kind = Literal["SOURCE", "STORE", "CACHE", "BOUNDED_CACHE", "SHARED_CACHE"]

Given = ParamSpec("Given")
Made = TypeVar("Made")

_VARIABLE = "ORDERKEEP_TEST_"


def implementations(
    kind: Kind, ours: Mapping[str, Callable[Given, Made]]
) -> Mapping[str, Callable[Given, Made]]:
    """How each that is tried is made, by name: `ours`, or what a variable names as `module:function`.

    The variable is ORDERKEEP_TEST_ and the kind. Where that of another kind is set, none is tried.
    """
    named = {other: os.environ.get(_VARIABLE + other, "") for other in get_args(Kind)}
    if not any(named.values()):
        return ours
    place = named[kind]

    def make(*arguments: Given.args, **options: Given.kwargs) -> Made:
        # Not before: the module may import the one that asks for it.
        module, _, function = place.partition(":")
        made: Made = getattr(importlib.import_module(module), function)(*arguments, **options)
        return made

    return {place: make} if place else {}
