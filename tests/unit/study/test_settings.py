"""Settings: the check of a config, which tells every fault at once, and the files written from the settings."""

import pytest
import yaml

from ctstyle.errors import WITHHELD
from ctstyle.study import config as module
from ctstyle.study.arms import ARMS
from ctstyle.study.config import Config, checked
from ctstyle.study.data import Style, StylizeSettings
from ctstyle.study.settings import ConfigError, ConfigErrors, OneOf, build, keys_of, plain, public, section_of
from tests.runs import CONFIGS

TEXTS_OF_THE_RUN = {"source", "sha256", "content_tap"}
"""Free texts that are a style's name, a digest and a layer's name."""


def merged(below, above):
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return {key: merged(below.get(key), above[key]) if key in above else below[key] for key in {**below, **above}}


def every_key(cls=Config, path=()):
    """(path, field) of each key of the config."""
    for name, field in keys_of(cls).items():
        inner = section_of(field.annotation)
        if inner is not None and inner is field.annotation:
            yield from every_key(inner, (*path, name))
        else:
            yield (*path, name), field


def nested(path, value):
    return {path[0]: nested(path[1:], value)} if path else value


@pytest.mark.parametrize("name", module.GENERATED)
def test_no_generated_file_is_stale(root, name):
    assert (root / name).read_text() == module.GENERATED[name](), "run `make config`"


def test_the_manual_holds_every_default():
    assert checked(yaml.safe_load(module.manual())) == checked({}) == plain(Config())


def test_every_key_says_what_it_means():
    keys = list(every_key())
    assert len(keys) > 150 and all(field.description for _, field in keys)


@pytest.mark.parametrize("path", CONFIGS)
def test_config_files_are_valid(root, path):
    quick = yaml.safe_load((root / "config" / "config.yaml").read_text())
    checked(merged(quick, yaml.safe_load((root / path).read_text())))


@pytest.mark.parametrize("name", ["all_arms", "study"])
def test_two_configs_have_every_arm(root, name):
    config = yaml.safe_load((root / "config" / f"{name}.yaml").read_text())
    assert config["segment"]["arms"] == list(ARMS) and "cyclegan" in config["transfer"]["models"]
    assert len(config.get("seeds", [0])) == (3 if name == "study" else 1)


def test_what_is_given_stays_and_texts_of_numbers_are_numbers():
    found = checked({"slices": {"crop": "body", "size_px": "64", "spacing_mm": "1.5"}, "stylize": {"alpha": 1}})
    assert found["slices"] == {**checked({})["slices"], "crop": "body", "size_px": 64, "spacing_mm": 1.5}
    assert found["stylize"]["alpha"] == 1 and isinstance(found["stylize"]["alpha"], int)


@pytest.mark.parametrize(
    "config, message",
    [
        ({"slices": {"sizepx": 96}}, r"slices: unknown key `sizepx`.*Did you mean `size_px`"),
        ({"slice": {}}, r"unknown key `slice`.*Did you mean `slices`"),
        ({"slices": {"size_px": 8}}, r"slices: size_px: .*found 8, expected at least 16.*Edge of a slice.*is 96"),
        ({"slices": {"size_px": "big"}}, r"slices: size_px: .*found 'big', expected a whole number"),
        ({"slices": {"size_px": True}}, r"slices: size_px: .*found True, expected a whole number"),
        ({"slices": {"spacing_mm": "nan"}}, r"slices: spacing_mm: .*expected a number"),
        ({"slices": {"crop": "head"}}, r"slices: crop: .*found 'head', expected one of spine, body"),
        ({"slices": {"window_hu": [5, 5]}}, r"slices: window_hu: .*the first below the second"),
        ({"slices": 3}, r"slices: .*found 3, expected a section"),
        ({"seeds": []}, r"seeds: .*expected at least 1 entries"),
        ({"seeds": [0, 0]}, r"seeds: .*expected each value once"),
        ({"seeds": [1.5]}, r"seeds: 0: .*found 1.5, expected a whole number"),
        ({"segment": {"arms": ["ours"]}}, r"segment: arms: .*a list with plain in it"),
        ({"segment": {"arms": ["plain", "our"]}}, r"segment: arms: 1: .*found 'our', expected one of plain, "),
        ({"segment": {"training": {"unet": {"strides": [2]}}}}, r"segment: training: unet: .*one stride less"),
        ({"comparison": {"size_px": 50}}, r"comparison: size_px: .*found 50, expected a multiple of 16"),
        ({"phantom": {"train": {"sharp": 2}}}, r"phantom: .*names of styles \(standard"),
        ({"phantom": {"styles": {"a": {"kvp": 200, "mas": 1}}}}, r"phantom: styles: a: kvp: .*at most 150"),
        ({"phantom": {"styles": {"a": {"kvp": 80}}}}, r"phantom: styles: a: the key `mas` is missing"),
        ({"split": {"val": 0.5, "test": 0.5}}, r"split: .*val \+ test < 1"),
    ],
)
def test_errors_name_the_key_what_was_found_and_the_fix(config, message):
    with pytest.raises(ConfigError, match=message):
        checked(config)


def test_all_faults_are_told_at_once():
    with pytest.raises(ConfigErrors) as raised:
        checked({"seeds": ["a"], "gpu": -1, "slices": {"size_px": 8, "cropp": 1}})
    first, *lines = str(raised.value).splitlines()
    assert first == "4 faults in the config:"
    assert [line.split(":")[0] for line in lines] == ["- seeds", "- gpu", "- slices", "- slices"]


def test_reports_hold_no_text_of_the_user_but_names_of_the_run():
    texts = [(path, field) for path, field in every_key() if field.annotation in (str, str | None)]
    free = [path for path, field in texts if not any(isinstance(one, OneOf) for one in field.metadata)]
    assert len(free) > 10
    for path in free:
        told = str(public(nested(path, "DOE_JOHN_1970"), Config))
        assert ("DOE_JOHN_1970" in told) == (path[-1] in TEXTS_OF_THE_RUN), path
        assert (WITHHELD in told) != (path[-1] in TEXTS_OF_THE_RUN), path


def test_reports_hold_all_else_of_a_config():
    config = checked({})
    assert public(config, Config) == config
    assert public({**config, "sheet": "my.tsv"}, Config) == {**config, "sheet": WITHHELD}


def test_sections_are_frozen_and_keep_their_types():
    style = build(Style, {"kvp": 80, "mas": 2, "window": [1, 2]})
    assert style == Style(kvp=80, mas=2, window=(1, 2))
    with pytest.raises(AttributeError):
        style.kvp = 90
    with pytest.raises(ConfigError, match=r"stylize: unknown key `alpa`.*Did you mean `alpha`"):
        build(StylizeSettings, {"alpa": 1}, "stylize")
