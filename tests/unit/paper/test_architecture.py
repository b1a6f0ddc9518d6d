"""Figures 1 to 3: every printed number is that of torchvision's network or of the modules that are trained."""

import re
from itertools import combinations

import pytest
import torch
import torchvision
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Circle, Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from ctstyle.measures.columns import PaperInputError
from ctstyle.paper.architecture import PRINT, figure1, figure2, figure3
from ctstyle.paper.drawing import Look, save_figure
from ctstyle.paper.networks import unet_levels
from ctstyle.segment.unet import UNetError, build_unet
from ctstyle.study.analysis import UNetSettings
from ctstyle.study.encoders import UnknownEncoder
from ctstyle.transfer.decoder import Decoder

LOOK = Look()
# What is run up to a tap, as paths into torchvision's networks: the modules that hold parameters up to AdaIN's tap at
# stride 4, those added up to the deepest tap of the registry's lists, and the maps that are read, in order.
NETWORKS = {
    "vgg19": (
        [f"features.{i}" for i in range(12)],
        [f"features.{i}" for i in range(12, 23)],
        {"relu1_1": 1, "relu2_1": 6, "relu3_1": 11, "relu3_2": 13, "relu4_1": 20, "relu4_2": 22},
    ),
    "resnet50": (
        ["conv1", "bn1", "layer1"],
        ["layer2", "layer3"],
        {"stem": "relu", "layer1": "layer1", "layer2": "layer2", "layer3": "layer3"},
    ),
    "densenet121": (
        [f"features.{name}" for name in ("conv0", "norm0", "denseblock1", "transition1.norm")],
        [
            f"features.{name}"
            for name in ("transition1.conv", "denseblock2", "transition2", "denseblock3", "transition3.norm")
        ],
        {f"block{i}": f"features.transition{i}.relu" for i in (1, 2, 3)} | {"stem": "features.relu0"},
    ),
}


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def torchvision_facts(name, size):
    """Parameters up to AdaIN's tap and up to the deepest, and {tap: (channels, side)}, from torchvision alone."""
    with torch.device("meta"):
        network = getattr(torchvision.models, name)(weights=None)
    to_adain, rest, taps = NETWORKS[name]
    shapes = {}

    def keep(tap):
        """A hook that keeps the first thing its module gives out (one ReLU of ResNet's serves several places)."""

        def hook(module, given, out):
            """Keep the shape; a hook that returned something would replace the output."""
            shapes.setdefault(tap, (out.shape[1], out.shape[2]))

        return hook

    for tap, path in taps.items():
        network.get_submodule(path if isinstance(path, str) else f"features.{path}").register_forward_hook(keep(tap))
    network(torch.empty(1, 3, size, size, device="meta"))
    first = sum(count(network.get_submodule(path)) for path in to_adain)
    return first, first + sum(count(network.get_submodule(path)) for path in rest), shapes


def transfer_figure(encoder="vgg19", *, stride=4, content=(), style=(), size=96):
    return figure2(encoder, stride=stride, content_taps=content, style_taps=style, size_px=size, look=LOOK)


def figures():
    yield figure1("densenet201", stride=8, unet=UNetSettings(), size_px=256, look=LOOK)
    yield transfer_figure()
    yield transfer_figure("densenet121", stride=16, content=("block1", "block2", "block3"), size=256)
    yield transfer_figure("vgg19", stride=16, content=("relu3_1", "relu3_2", "relu3_4", "relu5_4"), size=512)
    yield figure3(UNetSettings(), size_px=96, look=LOOK)
    yield figure3(UNetSettings(channels=(8, 512), strides=(2,), norm="instance"), size_px=256, look=LOOK)
    yield figure3(UNetSettings(channels=(8, 16, 32, 64, 128, 256, 512), strides=(2,) * 6), size_px=512, look=LOOK)


@pytest.mark.parametrize("name", NETWORKS)
def test_figure_2_prints_what_torchvision_builds(name):
    printed = texts(transfer_figure(name))
    to_adain, to_deepest, shapes = torchvision_facts(name, 96)
    assert f"{to_adain:,} parameters up to AdaIN's tap" in printed
    assert f"{to_deepest:,} parameters up to the deepest tap" in printed
    for tap, (channels, side) in shapes.items():
        assert tap in printed
        assert f"{tap}: {channels} maps, {side} × {side} px" in printed
        assert {f"stride {96 // side}", f"{channels} maps", f"at {side} px"} <= set(printed)
    said = {int(text.removeprefix("stride ")) for text in printed if text.startswith("stride ")}
    assert said == {96 // side for _, side in shapes.values()}


@pytest.mark.parametrize("stride, size", [(4, 96), (8, 128)])
def test_figure_2_prints_the_decoder_that_is_trained(stride, size):
    printed = texts(transfer_figure(stride=stride, size=size))
    decoder = Decoder(stride=stride, channels=64 * stride)
    assert f"{count(decoder):,} parameters" in printed
    sizes = [text for text in printed if re.fullmatch(r"\d+ px", text)]
    assert sizes == [f"{size // stride * 2**i} px" for i in range(len(sizes))] and sizes[-1] == f"{size} px"
    widths = [layer.out_channels for layer in decoder.layers if isinstance(layer, torch.nn.Conv2d)]
    assert [int(text) for text in printed if re.fullmatch(r"\d+", text)] == widths


def test_the_parameters_of_the_decoder_are_the_published_ones():
    # Huang and Belongie's decoder has 3,505,219 parameters with three output channels; ours gives one, and a last
    # convolution of 64 x 9 + 1 parameters less for each channel that is missing.
    printed = texts(transfer_figure(stride=8, size=128))
    assert f"{3_505_219 - 2 * (64 * 9 + 1):,} parameters" in printed


def test_figure_2_lists_the_taps_that_the_losses_read():
    printed = texts(transfer_figure(content=("relu2_2",), style=("relu1_2",)))
    assert "relu2_2: 128 maps, 48 × 48 px" in printed and "relu1_2: 64 maps, 96 × 96 px" in printed
    assert not any(text.startswith(("relu4", "relu1_1")) for text in printed)
    marked = transfer_figure(content=("relu3_1",), style=("relu3_1",))
    assert sorted(text for text in texts(marked) if text in "ACS") == sorted("ACS" * 2 + "CS")  # tap, key, loss boxes


def test_another_encoder_or_stride_is_another_figure():
    of = {name: texts(transfer_figure(name)) for name in NETWORKS}
    assert all(of[a] != of[b] for a, b in combinations(of, 2))
    assert texts(transfer_figure(stride=8)) != of["vgg19"]


@pytest.mark.parametrize(
    "settings, size",
    [
        (UNetSettings(), 96),
        (UNetSettings(channels=(4, 6, 8), strides=(4, 2), residual_units=1, norm="instance"), 64),
        (UNetSettings(channels=(4, 8), strides=(2,), residual_units=1), 32),
    ],
)
def test_figure_3_prints_the_u_net_that_is_trained(settings, size):
    figure = figure3(settings, size_px=size, look=LOOK)
    printed = texts(figure)
    total = count(build_unet(settings, seed=0))
    assert any(text.startswith(f"{total:,} parameters in all") for text in printed)
    levels = [int(text.split()[0].replace(",", "")) for text in printed if re.fullmatch(r"[\d,]+ parameters", text)]
    assert sum(levels) == total and len(levels) == 2 * len(settings.channels) - 1
    sides = [size]
    for stride in settings.strides:
        sides.append(sides[-1] // stride)
    down = [f"{c} maps, {s} × {s} px" for c, s in zip(settings.channels, [*sides[1:], sides[-1]])]
    up = [f"{c} maps, {s} × {s} px" for c, s in zip((2, *settings.channels), sides[:-1])]
    assert sorted(text for text in printed if " maps, " in text) == sorted(down + up)
    for word in ("down", "up"):
        assert [text for text in printed if text.startswith(f"{word} by")] == [
            f"{word} by {s}" for s in settings.strides
        ]


def test_a_level_of_the_u_net_has_the_parameters_of_its_convolutions():
    # A 3x3 convolution with a PReLU and a short cut, 3x3 where it strides and 1x1 where the maps grow: 1 to 4 maps, 4
    # to 8 at the bottom; up again from the 4 + 8 maps that are concatenated to 2 classes, and one convolution more.
    top, bottom = unet_levels(UNetSettings(channels=(4, 8), strides=(2,), residual_units=1), 32)
    assert (top.down_parameters, bottom.down_parameters) == (2 * (9 * 4 + 4) + 1, 9 * 4 * 8 + 8 + 1 + 4 * 8 + 8)
    assert (top.up_parameters, bottom.up_parameters, bottom.up) == (9 * 12 * 2 + 2 + 1 + 9 * 2 * 2 + 2, 0, None)


def test_figure_1_counts_its_networks():
    printed = texts(figure1("resnet50", stride=8, unet=UNetSettings(), size_px=128, look=LOOK))
    with torch.device("meta"):
        network = torchvision.models.resnet50(weights=None)
    encoder = sum(count(network.get_submodule(path)) for path in ("conv1", "bn1", "layer1", "layer2"))
    for number in (encoder, count(Decoder(stride=8, channels=512)), count(build_unet(UNetSettings(), seed=0))):
        assert f"{number:,} parameters" in printed
    assert "512 maps, 16 × 16 px" in printed and "AdaIN at layer2, stride 8" in printed


def test_no_text_leaves_its_box_meets_another_or_is_too_small():
    for figure in figures():
        renderer = FigureCanvasAgg(figure).get_renderer()
        words = [text for text in figure.findobj(Text) if text.get_text()]
        page = figure.bbox
        placed = {text: text.get_window_extent(renderer) for text in words}
        canvas = figure.axes[0]
        boxes = [patch.get_window_extent(renderer) for patch in canvas.patches if isinstance(patch, Rectangle)]
        marks = [patch.get_window_extent(renderer) for patch in canvas.patches if isinstance(patch, Circle)]
        for text, place in placed.items():
            name = text.get_text()
            assert text.get_fontsize() >= PRINT >= 6.5
            assert _within(place, page), f"{name} leaves the page"
            for box in boxes:
                assert not _overlap(place, box) or _within(place, box), f"{name} crosses an edge"
            if len(name) > 1:
                assert not any(_overlap(place, mark) for mark in marks), f"{name} meets a mark"
        for (one, a), (other, b) in combinations(placed.items(), 2):
            assert not _overlap(a, b), f"{one.get_text()} meets {other.get_text()}"


def _overlap(a: Bbox, b: Bbox) -> bool:
    return min(a.x1, b.x1) - max(a.x0, b.x0) > 0.5 and min(a.y1, b.y1) - max(a.y0, b.y0) > 0.5


def _within(a: Bbox, b: Bbox) -> bool:
    return a.x0 >= b.x0 and a.x1 <= b.x1 and a.y0 >= b.y0 and a.y1 <= b.y1


def test_the_same_settings_give_the_same_bytes(tmp_path):
    made = []
    for name in ("a", "b"):
        png, pdf = tmp_path / f"{name}.png", tmp_path / f"{name}.pdf"
        save_figure(figure3(UNetSettings(), size_px=96, look=LOOK), png, pdf)
        made.append((png.read_bytes(), pdf.read_bytes()))
    assert made[0] == made[1]


def test_what_does_not_fit_is_refused():
    with pytest.raises(UnknownEncoder, match="alexnet"):
        transfer_figure("alexnet")
    with pytest.raises(UnknownEncoder, match="relu9_9"):
        transfer_figure(content=("relu9_9",))
    with pytest.raises(PaperInputError, match="no AdaIN tap"):
        transfer_figure(stride=32)
    with pytest.raises(PaperInputError, match="a multiple of 16"):
        transfer_figure("resnet50", size=104)
    with pytest.raises(UNetError):
        figure3(UNetSettings(), size_px=100, look=LOOK)
    with pytest.raises(PaperInputError, match="too narrow"):
        figure3(UNetSettings(), size_px=96, look=Look(width_mm=85))
