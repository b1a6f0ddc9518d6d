"""From a section of the config to a frozen dataclass; an unknown key is named with the nearest known one."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from ctstyle.errors import CTStyleError

S = TypeVar("S")


class ConfigError(CTStyleError):
    """A config key that is unknown, of the wrong type or out of range."""


def build(cls: type[S], section: Mapping[str, Any]) -> S:
    """A frozen settings dataclass from a config section: lists become tuples, mappings nested dataclasses.

    Raises ConfigError for a key that the dataclass does not have.
    """
    hints = typing.get_type_hints(cls)
    values = {}
    for key, value in section.items():
        if key not in hints:
            raise unknown_key(key, list(hints), cls.__name__)
        values[key] = _convert(hints[key], value)
    return cls(**values)


def _convert(hint: Any, value: Any) -> Any:
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    for option in options:
        if dataclasses.is_dataclass(option) and isinstance(value, Mapping):
            return build(option, value)
    if isinstance(value, Mapping):
        arguments = typing.get_args(options[0])
        inner = arguments[1] if len(arguments) == 2 else Any
        return {_key(arguments, key): _convert(inner, item) for key, item in value.items()}
    if isinstance(value, list):
        arguments = typing.get_args(options[0])
        inner = arguments[0] if arguments else Any
        return tuple(_convert(inner, item) for item in value)
    return value


def _key(arguments: tuple, key: Any) -> Any:
    return int(key) if arguments and arguments[0] is int else key


def unknown_key(key: str, known: list[str], where: str) -> ConfigError:
    """The error for a key that is none of `known`."""
    near = difflib.get_close_matches(str(key), known, n=1)
    hint = f"Did you mean `{near[0]}`?" if near else "Remove it, or look the key up in config/config.yaml."
    return ConfigError(f"unknown key `{key}`", where=where, expected="one of " + ", ".join(known), fix=hint)
