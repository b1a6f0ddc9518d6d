"""How settings are declared and checked: sections of the config as frozen dataclasses, each key stated once.

A key has a type, a default, a range and a description. The check of a config, config/config.yaml, the JSON schema and
docs/config.md all come from them (`ctstyle.study.config`).
"""

import dataclasses
import difflib
import functools
import math
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    TypeAdapter,
    ValidationError,
)
from pydantic.dataclasses import dataclass as checked_dataclass
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError, core_schema

from ctstyle.errors import WITHHELD, CTStyleError

S = TypeVar("S")
Values = TypeVar("Values", bound=Collection)
if typing.TYPE_CHECKING:
    from dataclasses import dataclass as section
else:
    section = functools.partial(checked_dataclass, frozen=True, config=ConfigDict(extra="forbid"))
"""Decorator of a class whose fields are the keys of one section of the config; instances are frozen and checked."""


class ConfigError(CTStyleError):
    """One or more config keys that are unknown, of the wrong type or out of range."""


class ConfigErrors(ConfigError):
    """Several faults of a config, a line for each."""

    def __init__(self, faults: list[ConfigError]):
        super().__init__(f"{len(faults)} values cannot be", where="config")
        self.faults = faults

    def __str__(self) -> str:
        return "\n".join([f"{len(self.faults)} faults in the config:", *(f"- {fault}" for fault in self.faults)])


def key(default: Any, meaning: str, *, private: bool = False, **bounds: Any) -> Any:
    """A key of a section: its default, what it means, and bounds (`ge`, `gt`, `le`, `lt`, `min_length`, `multiple_of`).

    `private` values are a user's paths or texts that may name a patient; records and reports leave them out.
    """
    given = {"default_factory": default} if callable(default) else {"default": default}
    return Field(description=meaning, json_schema_extra={"writeOnly": True} if private else None, **given, **bounds)


def _number(value: Any) -> float:
    if isinstance(value, str):
        try:
            value = float(value) if not value.lstrip("+-").isdecimal() else int(value)
        except ValueError:
            value = math.nan
        value = value if math.isfinite(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise PydanticCustomError("number", "a number")
    return value


if typing.TYPE_CHECKING:
    Number = float
else:

    class Number(float):
        """A number as the config writes it: 3 stays 3, and the text of a number on a command line is read."""

        @classmethod
        def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
            return core_schema.no_info_plain_validator_function(
                _number, json_schema_input_schema=core_schema.float_schema()
            )


ACCUMULATE = "Parts that a batch is computed in, for cards whose memory does not hold it whole"
"""The meaning of the key `accumulate` of each training."""


def _no_flag(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("number", "a whole number")
    return value


Whole = Annotated[int, BeforeValidator(_no_flag)]
"""A whole number; true and false are none."""


@dataclasses.dataclass(frozen=True)
class OneOf:
    """Marks a text that is one of `names`, the entries of a registry."""

    names: Iterable[str]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.literal_schema(list(self.names))


def unique(values: Values) -> Values:
    """The same values. Raises a pydantic error where one is there twice."""
    found = list(values)
    twice = [value for place, value in enumerate(found) if value in found[:place]]
    if twice:
        raise PydanticCustomError("unique", "each value once ({twice} is there twice)", {"twice": str(twice[0])})
    return values


Unique = AfterValidator(unique)
"""Marks a list whose values differ."""
Pair = tuple[Number, Number]
Range = Annotated[Pair, AfterValidator(lambda pair: _rising(pair))]
"""Two numbers, the first below the second."""


def _rising(pair: tuple[float, float]) -> tuple[float, float]:
    if not pair[0] < pair[1]:
        raise PydanticCustomError("rising", "the first below the second")
    return pair


def having(name: str) -> AfterValidator:
    """Mark a list that must hold `name`."""

    def check(values: Values) -> Values:
        if name not in values:
            raise PydanticCustomError("having", "a list with {name} in it", {"name": name})
        return values

    return AfterValidator(check)


def fault(expected: str) -> PydanticCustomError:
    """The error of a validator: what is expected of the value."""
    return PydanticCustomError("expected", "{expected}", {"expected": expected})


@functools.cache
def _adapter(cls: Any) -> TypeAdapter:
    return TypeAdapter(cls)


def build(cls: Callable[..., S], values: Mapping[str, Any], where: str = "") -> S:
    """A section from its part of the config, whose place `where` is. Raises ConfigError, which lists every fault."""
    try:
        return _adapter(cls).validate_python(dict(values))
    except ValidationError as error:
        found = error.errors()
    # a list whose entries are wrong is told by its entries alone
    inner = [one for one in found if not any(_within(other["loc"], one["loc"]) for other in found)]
    faults = [_explained(one, cls, where) for one in inner]
    raise faults[0] if len(faults) == 1 else ConfigErrors(faults)


def _within(place: tuple, outer: tuple) -> bool:
    return len(place) > len(outer) and place[: len(outer)] == outer


def plain(value: Any) -> Any:
    """Settings as the plain dicts, lists and values that a YAML file holds."""
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, tuple | list) else value


def keys_of(cls: Any) -> dict[str, FieldInfo]:
    """The keys of a section by name."""
    return cls.__pydantic_fields__


def section_of(annotation: Any) -> Any:
    """The section that a key's type is, or that the values of a mapping are; None for plain values."""
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        return annotation
    found = [section_of(option) for option in typing.get_args(annotation)]
    return next((one for one in found if one is not None), None)


def public(values: Mapping[str, Any], cls: Any) -> dict[str, Any]:
    """A copy of config values for reports and records, without what the user set for private keys."""
    told = dict(values)
    for name, field in keys_of(cls).items():
        inner: Any = section_of(field.annotation)
        private = bool(field.json_schema_extra)
        if private and told.get(name) not in (None, plain(_default(field))):
            told[name] = WITHHELD
        elif isinstance(told.get(name), Mapping) and inner is not None and inner is field.annotation:
            told[name] = public(told[name], inner)
    return told


def _default(field: FieldInfo) -> Any:
    return field.get_default(call_default_factory=True)


def _explained(error: Any, cls: Any, where: str) -> ConfigError:
    """One error of pydantic as ours: the key, what was found, what is expected, what the key means."""
    *places, last = [str(part) for part in error["loc"]] or ["config"]
    kind, context = error["type"], error.get("ctx") or {}
    owner: Any = cls
    meaning = None
    for place in error["loc"]:
        known = keys_of(owner) if owner is not None and dataclasses.is_dataclass(owner) else {}
        if place in known:
            meaning = known[place]
            owner = section_of(meaning.annotation)
    path = ": ".join(part for part in (where, *places, last) if part)
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        return unknown_key(last, list(keys_of(owner)), ": ".join(part for part in (where, *places) if part) or "config")
    if kind in ("missing", "missing_argument"):
        return ConfigError(f"the key `{last}` is missing", where=": ".join([where, *places]).strip(": ") or "config")
    return ConfigError(
        "this value cannot be",
        where=path,
        found=repr(error["input"]),
        expected=EXPECTED.get(kind, lambda _: error["msg"].removeprefix("Input should be "))(context),
        fix=None if meaning is None else _meaning(meaning),
    )


EXPECTED: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "greater_than_equal": lambda context: f"at least {context['ge']:g}",
    "greater_than": lambda context: f"more than {context['gt']:g}",
    "less_than_equal": lambda context: f"at most {context['le']:g}",
    "less_than": lambda context: f"less than {context['lt']:g}",
    "multiple_of": lambda context: f"a multiple of {context['multiple_of']:g}",
    "too_short": lambda context: f"at least {context['min_length']} entries",
    "literal_error": lambda context: "one of " + context["expected"].replace("'", "").replace(" or ", ", "),
    "dataclass_type": lambda _: "a section with keys",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), lambda _: "a whole number"),
    **dict.fromkeys(("tuple_type", "list_type"), lambda _: "a list"),
    **dict.fromkeys(("dict_type", "mapping_type"), lambda _: "keys with values"),
    "string_type": lambda _: "text",
}
"""What pydantic's kinds of error expect, in words."""


def _meaning(field: FieldInfo) -> str | None:
    if field.description is None or field.is_required() or section_of(field.annotation):
        return field.description
    return f"{field.description.rstrip('.')}; the default is {plain(_default(field))!r}."


def unknown_key(name: str, known: list[str], where: str) -> ConfigError:
    """The error for a key that is none of `known`."""
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f"Did you mean `{near[0]}`?" if near else "Remove it, or look the key up in config/config.yaml."
    return ConfigError(f"unknown key `{name}`", where=where, expected="one of " + ", ".join(known), fix=hint)
