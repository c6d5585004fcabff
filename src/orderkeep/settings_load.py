"""Reading the settings from everywhere: defaults, files, the environment, flags."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from pydantic import ValidationError

from orderkeep.errors import ConfigurationError
from orderkeep.secret_files import SUFFIX, secrets_in_files
from orderkeep.settings import SECRETS, Settings, variable
from orderkeep.settings_names import by_new_names, field, given_outside, old_names, unknown

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def load(flags: Mapping[str, Any] | None = None) -> Settings:
    """Read the settings from everywhere. Raises `ConfigurationError`, one line, for whatever is wrong."""
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    levels = given_outside(_env_file())
    outside = {name: value for level in levels for name, value in level.items()}
    mistakes = unknown(outside, {*Settings.model_fields, *(name + SUFFIX.lower() for name in SECRETS)})
    settings = None
    try:
        files = secrets_in_files([variable(name) for name in SECRETS if name not in given], levels)
        secrets = {name: files[variable(name)][1] for name in SECRETS if variable(name) in files}
        settings = Settings(**{**by_new_names(given, outside), **secrets}).read_from(files)
    except ConfigurationError as error:
        mistakes.append(str(error))
    except ValidationError as error:
        mistakes += [_mistake(wrong) for wrong in error.errors()]
    except ValueError as error:
        # pydantic-settings raises a ValueError of its own for a JSON setting that is not JSON.
        mistakes.append(f"a setting cannot be read: {' '.join(str(error).split())}")
    if mistakes or settings is None:
        raise ConfigurationError(mistakes[0], others=mistakes[1:])
    return settings


def old_names_in_use(flags: Iterable[str] = ()) -> list[str]:
    """The settings that are given by the name that they had once, as fields, by a flag or from outside."""
    return old_names({*flags, *(field(name) for level in given_outside(_env_file()) for name in level)})


def _env_file() -> str:
    return cast(str, Settings.model_config["env_file"])


def _mistake(wrong: "ErrorDetails") -> str:
    name = str(wrong["loc"][0]) if wrong["loc"] else ""
    reason = wrong["msg"].removeprefix("Value error, ")
    # What may hold a password is not repeated: the line ends up in logs.
    given_text = "" if name in SECRETS else f" (given: {wrong['input']!r})"
    return f"{variable(name)}: {reason}{given_text}"
