"""The schema, the config files and the library's settings say the same."""

import dataclasses
import typing

import numpy as np
import pytest
import yaml

from ctstyle.apply.plan import StylizeSettings
from ctstyle.cohorts.phantom.settings import PhantomSettings, Style
from ctstyle.cohorts.spine_mets import SpineMetsSettings
from ctstyle.cohorts.totalsegmentator import TotalSegmentatorSettings
from ctstyle.cohorts.verse import VerseSettings
from ctstyle.encoders.domain import DomainSettings
from ctstyle.encoders.layers import LayerSettings
from ctstyle.errors import WITHHELD
from ctstyle.measures.classifier import ClassifierSettings
from ctstyle.paper.intervals import Intervals
from ctstyle.segment.arms import ARMS
from ctstyle.segment.generate import AugmentSettings
from ctstyle.segment.online import ConvolutionSettings, IntensitySettings, MixStyleSettings
from ctstyle.segment.train import SegmentSettings
from ctstyle.slices.cluster import ClusterSettings
from ctstyle.slices.cut import SliceSettings
from ctstyle.slices.regions import RegionSettings
from ctstyle.slices.split import SplitSettings
from ctstyle.study import settings
from ctstyle.study.schema import check, public, with_defaults
from ctstyle.transfer.contextual import ContextualSettings
from ctstyle.transfer.cyclegan import CycleGANSettings
from ctstyle.transfer.gatys import GatysSettings
from ctstyle.transfer.train import TransferSettings, WarmUpSettings
from tests.runs import CONFIGS

SECTIONS = {
    "stylize": StylizeSettings,
    "phantom": PhantomSettings,
    "slices": SliceSettings,
    "styles": ClusterSettings,
    "spine_mets": SpineMetsSettings,
    "verse": VerseSettings,
    "totalsegmentator": TotalSegmentatorSettings,
    "split": SplitSettings,
    "lending": RegionSettings,
    "encoders/domain": DomainSettings,
    "encoders/layers": LayerSettings,
    "transfer/warm_up": WarmUpSettings,
    "transfer/training": TransferSettings,
    "transfer/contextual": ContextualSettings,
    "transfer/cyclegan": CycleGANSettings,
    "transfer/gatys": GatysSettings,
    "augment": AugmentSettings,
    "segment/training": SegmentSettings,
    "segment/intensity": IntensitySettings,
    "segment/convolution": ConvolutionSettings,
    "segment/mixstyle": MixStyleSettings,
    "metrics/classifier": ClassifierSettings,
    "paper/intervals": Intervals,
}


@pytest.fixture(scope="module")
def schema(root):
    return yaml.safe_load((root / "config" / "schema" / "config.schema.yaml").read_text())


def _section(tree, path, *, of_schema=False):
    for key in path.split("/"):
        tree = tree["properties"][key] if of_schema else tree[key]
    return tree


def _objects(schema, path="config"):
    if schema.get("type") == "object" and "properties" in schema:
        yield path, schema
        for key, value in schema["properties"].items():
            yield from _objects(value, f"{path}: {key}")


@pytest.mark.parametrize("path", SECTIONS)
def test_every_setting_is_a_key_and_every_key_a_setting(schema, path):
    keys = set(_section(schema, path, of_schema=True)["properties"])
    assert keys == {field.name for field in dataclasses.fields(SECTIONS[path])}


@pytest.mark.parametrize("path", SECTIONS)
def test_defaults_of_schema_and_settings_are_equal(schema, path):
    section = _section(schema, path, of_schema=True)
    assert settings.build(SECTIONS[path], with_defaults({}, section)) == (
        SECTIONS[path](k=4, source="auto")
        if SECTIONS[path] is ClusterSettings
        else SliceSettings(grey_values="as_display")
        if SECTIONS[path] is SliceSettings
        else SECTIONS[path]()
    )


def test_a_scanner_of_the_schema_has_the_fields_of_a_style(schema):
    scanner = _section(schema, "phantom/styles", of_schema=True)["additionalProperties"]
    assert set(scanner["properties"]) == {field.name for field in dataclasses.fields(Style)}
    assert typing.get_type_hints(PhantomSettings)["styles"] == dict[str, Style | None]


def test_unknown_keys_are_refused_everywhere_and_every_key_is_described(schema):
    for path, section in _objects(schema):
        assert section.get("additionalProperties") is False, path
        for key, rule in section["properties"].items():
            assert "description" in rule or rule.get("type") == "object", f"{path}: {key}"


def test_the_manual_shows_every_key_with_its_default(root, schema):
    config = yaml.safe_load((root / "config" / "config.yaml").read_text())
    filled = with_defaults(config, schema)
    assert config == filled, "config/config.yaml leaves keys out"
    defaults = with_defaults({}, schema)
    defaults["phantom"]["styles"] = config["phantom"]["styles"]
    assert config == defaults


def test_the_manual_s_scanners_are_the_library_s(root):
    config = yaml.safe_load((root / "config" / "config.yaml").read_text())
    assert settings.build(PhantomSettings, config["phantom"]) == PhantomSettings()


@pytest.mark.parametrize("path", CONFIGS)
def test_config_files_pass_the_schema(root, schema, path):
    quick = yaml.safe_load((root / "config" / "config.yaml").read_text())
    own = yaml.safe_load((root / path).read_text())
    check(with_defaults(_merged(quick, own), schema), schema)


@pytest.mark.parametrize("name", ["all_arms", "study"])
def test_two_configs_have_every_arm(root, name):
    config = yaml.safe_load((root / "config" / f"{name}.yaml").read_text())
    assert config["segment"]["arms"] == list(ARMS) and "cyclegan" in config["transfer"]["models"]
    assert len(config.get("seeds", [0])) == (3 if name == "study" else 1)


def _merged(below, above):
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return {key: _merged(below.get(key), above[key]) if key in above else below[key] for key in {**below, **above}}


def free_texts(schema, path=()):
    """(path, rule) of every key that takes any text."""
    for key, rule in schema.get("properties", {}).items():
        if "string" in np.atleast_1d(rule.get("type", "")) and "enum" not in rule:
            yield (*path, key), rule
        yield from free_texts(rule, (*path, key))


def test_reports_hold_no_text_of_the_user_but_names_of_the_run(schema):
    for (*sections, key), rule in free_texts(schema):
        config = section = {}
        for name in sections:
            section[name] = section = {}
        section[key] = "DOE_JOHN_1970"
        told = str(public(config, schema))
        if key in ("source", "sha256", "content_tap"):  # a style, a digest and a layer
            assert "DOE_JOHN_1970" in told and "writeOnly" not in rule
        else:
            assert "DOE_JOHN_1970" not in told and WITHHELD in told, key


def test_reports_hold_all_else_of_a_config(schema, root):
    config = with_defaults(yaml.safe_load((root / "config" / "config.yaml").read_text()), schema)
    assert public(config, schema) == config
    assert public({**config, "sheet": "my.tsv"}, schema) == {**config, "sheet": WITHHELD}
