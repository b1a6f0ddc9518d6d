"""A config and its JSON schema: defaults, and checks that name the key and the fix. Jobs do not need it."""

import copy
import math
from collections.abc import Mapping
from typing import Any

import jsonschema

from ctstyle.errors import WITHHELD
from ctstyle.study.settings import ConfigError, unknown_key


def with_defaults(config: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `config` in which every missing key that has a `default` in the JSON schema carries it.

    Texts of numbers become numbers where the schema asks for one.
    """
    filled = copy.deepcopy(dict(config))
    for key, rule in schema.get("properties", {}).items():
        if key not in filled and "default" in rule:
            filled[key] = copy.deepcopy(rule["default"])
        filled.update(_number(key, filled, rule))
        if isinstance(filled.get(key), Mapping) and "properties" in rule:
            filled[key] = with_defaults(filled[key], rule)
    return filled


def _number(key: str, config: Mapping[str, Any], rule: Mapping[str, Any]) -> dict[str, float]:
    """Snakemake hands on what is nested in a `--config` of the command line as text: `stylize={alpha: 0.5}`."""
    value, kind = config.get(key), rule.get("type")
    if not isinstance(value, str) or kind not in ("number", "integer"):
        return {}
    try:
        number = int(value) if kind == "integer" else float(value)
    except ValueError:
        return {}
    return {key: number} if math.isfinite(number) else {}


def check(config: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Hold a config against its JSON schema; raises ConfigError for the first fault, in the order of the keys."""
    errors = sorted(jsonschema.Draft202012Validator(schema).iter_errors(config), key=lambda e: list(map(str, e.path)))
    if errors:
        raise _explain(errors[0])


def public(config: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `config` for reports and records: values of the user's that the schema calls `writeOnly` are left out.

    These are paths, and texts that can name a patient.
    """
    told = copy.deepcopy(dict(config))
    for key, rule in schema.get("properties", {}).items():
        if rule.get("writeOnly") and told.get(key) not in (None, rule.get("default")):
            told[key] = WITHHELD
        elif isinstance(told.get(key), Mapping):
            told[key] = public(told[key], rule)
    return told


def _explain(error: jsonschema.ValidationError) -> ConfigError:
    where = ": ".join(map(str, error.path)) or "config"
    rule = error.schema
    if error.validator == "additionalProperties":
        unknown = next(key for key in error.instance if key not in rule.get("properties", {}))
        return unknown_key(unknown, list(rule.get("properties", {})), where)
    if error.validator == "required":
        missing = next(key for key in rule["required"] if key not in error.instance)
        return ConfigError(
            f"the key `{missing}` is missing", where=where, fix=_meaning(rule.get("properties", {}).get(missing, {}))
        )
    expected = {
        "type": lambda: rule["type"],
        "enum": lambda: "one of " + ", ".join(map(str, rule["enum"])),
        "minimum": lambda: f"at least {rule['minimum']}",
        "exclusiveMinimum": lambda: f"more than {rule['exclusiveMinimum']}",
        "maximum": lambda: f"at most {rule['maximum']}",
        "minItems": lambda: f"at least {rule['minItems']} entries",
        "pattern": lambda: f"text like {rule['pattern']}",
    }.get(error.validator, lambda: error.message)()
    return ConfigError(
        "this value cannot be", where=where, found=repr(error.instance), expected=expected, fix=_meaning(rule)
    )


def _meaning(rule: Mapping[str, Any]) -> str | None:
    text = rule.get("description")
    if text and "default" in rule:
        return f"{text.rstrip('.')}; the default is {rule['default']!r}."
    return text
