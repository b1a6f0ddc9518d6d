"""The viewer: every choice has its own pictures, in the one grey window, and an output that is missing is named."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from ctstyle.measures.columns import PaperInputError
from ctstyle.paper.drawing import PREDICTION_COLOUR, Look
from ctstyle.paper.segmentations import SegmentationExample
from ctstyle.paper.transfers import TransferExample
from ctstyle.paper.viewer import SHOWN_PX, viewer

LOOK = Look(window_hu=(-250, 750))
ENCODERS, LOSSES, ARMS = ("vgg19", "resnet50"), ("ours", "adain"), ("plain", "ours", "oracle")


def flat(hu: float) -> np.ndarray:
    return np.full((8, 8), hu, np.int16)


def outputs(**more) -> TransferExample:
    generated = {f"{e} {m}": flat(100 * i + 10 * k) for i, e in enumerate(ENCODERS) for k, m in enumerate(LOSSES)}
    shown = {"content": flat(-250), "style": flat(750), "target": flat(250), "generated": {**generated, **more}}
    return TransferExample(source_style="s1", target_style="s2", **shown)


def segmentation() -> SegmentationExample:
    masks = {arm: np.eye(8, dtype=bool) * (i > 0) for i, arm in enumerate(ARMS)}
    masks["oracle"] = np.pad(np.ones((4, 4), bool), 2)
    return SegmentationExample(hu=flat(0), reference=np.eye(8, dtype=bool), predictions=masks, label="s2 & <s3>")


def pictures(page: str) -> dict[str, np.ndarray]:
    """The first picture of each class of panel."""
    found = re.findall(r'<figure(?: class="([^"]+)")?>.*?base64,([^"]+)"', page)
    return {classes: np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for classes, data in reversed(found)}


def test_every_choice_has_its_own_picture_in_the_one_window():
    page = viewer([outputs()], [segmentation()], LOOK, lineage="abc")
    shown = pictures(page)
    choices = {f"choice e-{e} l-{m}" for e in ENCODERS for m in LOSSES} | {f"choice a-{arm}" for arm in ARMS}
    assert set(shown) == choices | {""}
    assert (shown[""] == 0).all() and shown[""].shape == (8 * SHOWN_PX, 8 * SHOWN_PX)  # X, at the window's low end
    expected = np.rint(255 * (110 + 250) / 1000)
    assert (shown["choice e-resnet50 l-adain"] == expected).all()
    for parts in (choice.split()[1:] for choice in choices):
        rule = re.search(rf"\n(body\S*) \.{re.escape('.'.join(parts))} {{", page)[1]
        assert all(f":has(#{part}:checked)" in rule and f'id="{part}"' in page for part in parts)
    assert page.count(" checked>") == 3 and 'content="abc"' in page


def test_the_outline_of_a_prediction_has_its_colour_and_leaves_the_inside_free():
    picture = pictures(viewer([outputs()], [segmentation()], LOOK, lineage=""))["choice a-oracle"]
    colour = [int(PREDICTION_COLOUR[i : i + 2], 16) for i in (1, 3, 5)]
    outline = (picture == colour).all(axis=2)
    assert outline[2 * SHOWN_PX, 2 * SHOWN_PX : 6 * SHOWN_PX].all() and outline.sum() == 4 * (4 * SHOWN_PX - 1)


def test_text_is_escaped_and_nothing_is_fetched():
    page = viewer([outputs()], [segmentation()], LOOK, lineage="")
    assert "s2 &amp; &lt;s3&gt;" in page and "IoU 0.20" in page  # 4 of the 8 + 16 - 4 pixels of both
    assert not re.search(r"https?://|<script|url\(", page)


def test_an_output_that_is_missing_is_named():
    example = outputs()
    del example.generated["resnet50 ours"]
    with pytest.raises(PaperInputError, match="resnet50 ours"):
        viewer([example], [segmentation()], LOOK, lineage="")
    with pytest.raises(PaperInputError, match="viewer"):
        viewer([], [segmentation()], LOOK, lineage="")
