"""Configs: defaults from the schema, errors that name the key, settings as frozen dataclasses."""

from dataclasses import dataclass, field

import pytest

from ctstyle.study.schema import check, with_defaults
from ctstyle.study.settings import ConfigError, build

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "slices": {
            "type": "object",
            "additionalProperties": False,
            "default": {},
            "properties": {
                "size_px": {"type": "integer", "minimum": 32, "default": 96, "description": "Edge of a slice"},
                "crop": {"enum": ["spine", "body"], "default": "spine"},
            },
        },
        "seeds": {"type": "array", "minItems": 1, "items": {"type": "integer"}, "default": [0]},
    },
}


def test_defaults_fill_what_is_missing_and_keep_what_is_given():
    given = {"slices": {"crop": "body"}}
    assert with_defaults(given, SCHEMA) == {"slices": {"crop": "body", "size_px": 96}, "seeds": [0]}
    assert given == {"slices": {"crop": "body"}}


def test_numbers_of_the_command_line_come_as_text_and_are_numbers_where_numbers_are_asked():
    schema = {
        "properties": {"alpha": {"type": "number"}, "size": {"type": "integer"}, "name": {"type": ["string", "null"]}}
    }
    assert with_defaults({"alpha": "0.5", "size": "64", "name": "7"}, schema) == {"alpha": 0.5, "size": 64, "name": "7"}
    for wrong in ({"alpha": "nan"}, {"alpha": "much"}, {"size": "6.5"}, {"alpha": [1]}):
        assert with_defaults(wrong, schema) == wrong


@pytest.mark.parametrize(
    "config, message",
    [
        ({"slices": {"sizepx": 96}}, r"slices: unknown key `sizepx`.*Did you mean `size_px`"),
        ({"slice": {}}, r"unknown key `slice`.*Did you mean `slices`"),
        ({"slices": {"size_px": 8}}, r"slices: size_px: .*found 8, expected at least 32.*Edge of a slice.*is 96"),
        ({"slices": {"size_px": "big"}}, r"slices: size_px: .*found 'big', expected integer"),
        ({"slices": {"crop": "head"}}, r"slices: crop: .*found 'head', expected one of spine, body"),
        ({"seeds": []}, r"seeds: .*expected at least 1 entries"),
        ({"seeds": [1.5]}, r"seeds: 0: .*found 1.5"),
    ],
)
def test_errors_name_the_key_what_was_found_and_the_fix(config, message):
    with pytest.raises(ConfigError, match=message):
        check(config, SCHEMA)


@dataclass(frozen=True)
class _Scanner:
    kvp: float
    window_hu: tuple[float, float] | None = None


@dataclass(frozen=True)
class _Settings:
    seed: int = 1
    styles: dict[str, _Scanner] = field(default_factory=dict)
    adain: dict[int, str] = field(default_factory=dict)
    taps: tuple[str, ...] = ()


def test_settings_are_built_recursively_with_tuples_for_lists():
    section = {"styles": {"a": {"kvp": 80, "window_hu": [-160, 240]}}, "taps": ["x", "y"], "adain": {"4": "relu3_1"}}
    assert build(_Settings, section) == _Settings(
        styles={"a": _Scanner(80, (-160, 240))}, taps=("x", "y"), adain={4: "relu3_1"}
    )


def test_settings_refuse_a_key_the_dataclass_lacks():
    with pytest.raises(ConfigError, match=r"unknown key `kv`.*Did you mean `kvp`"):
        build(_Scanner, {"kv": 80})
