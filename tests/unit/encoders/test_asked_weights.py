"""What the config asks of encoders, checked before anything runs."""

import hashlib

import pytest

from ctstyle.encoders.plan import WeightsDigestMismatch, WeightsNotAsked, WeightsUnavailable, check_weights


def section(name="vgg19", weights="hed", path=None, sha256=None) -> dict:
    return {"main": {"name": name, "weights": weights}, "file": {"path": path, "sha256": sha256}}


def test_weights_that_can_be_had_pass(tmp_path):
    own = tmp_path / "own.safetensors"
    own.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    for asked in (section(), section("resnet50", "domain"), section("densenet121", "file", str(own), digest.upper())):
        check_weights(asked)


def test_weights_that_cannot_be_had_are_named(tmp_path):
    own = tmp_path / "own.safetensors"
    own.write_bytes(b"weights")
    for asked, error, message in (
        (section("resnet50"), WeightsNotAsked, "resnet50 with hed"),
        (section(weights="file"), WeightsNotAsked, "none is named"),
        (section(weights="file", path=str(own)), WeightsNotAsked, "sha256 None"),
        (
            section(weights="file", path=str(tmp_path / "no.pth"), sha256="ab"),
            WeightsUnavailable,
            "no such weights file",
        ),
        (section(weights="file", path=str(own), sha256="ab" * 32), WeightsDigestMismatch, "is another one"),
    ):
        with pytest.raises(error, match=message):
            check_weights(asked)
