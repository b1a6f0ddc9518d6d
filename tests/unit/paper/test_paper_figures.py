"""Figures: one grey window for every slice, orientation, contours on the pixels, files with the same bytes."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ctstyle.encoders.plan import TapLists
from ctstyle.measures.columns import ENCODER_LABELS, MODEL_LABELS, PaperInputError
from ctstyle.paper.curves import layer_choice, sweep_curves, training_curves
from ctstyle.paper.document.context import LOSSES
from ctstyle.paper.drawing import LINES, OKABE_ITO, PREDICTION_COLOUR, REFERENCE_COLOUR, Look, save_figure
from ctstyle.paper.grey_scales import figure4, style_space
from ctstyle.paper.segmentations import SegmentationExample, augmented, figure7
from ctstyle.paper.transfers import SHORT_MODELS, TransferExample, figure5, figure6
from ctstyle.study.arms import ARMS
from ctstyle.study.encoders import COMPARED, encoder_spec
from ctstyle.study.networks import MODELS

LOOK = Look()
RNG = np.random.default_rng(0)


def slice_hu(low=-1000, high=1500, size=24):
    return RNG.integers(low, high, (size, size)).astype(np.int16)


def scans():
    rows = [("a1", "a", "s1", 120.0, "STD", "hounsfield"), ("b1", "b", "s1", 120.0, "BONE", "hounsfield")]
    rows += [("a2", "a", "s2", 80.0, "", "display")]
    return pd.DataFrame(rows, columns=["scan", "patient", "style", "kvp", "kernel", "grey_values"])


def make_figure4():
    examples = {style: np.stack([slice_hu() for _ in range(4)]) for style in ("s1", "s2")}
    values = {"s1": np.repeat([-300.0, 0.0, 750.0, 100.0], [10, 50, 20, 20]), "s2": RNG.normal(0, 100, 500)}
    return figure4(examples, values, scans(), LOOK)


def example(target=None):
    generated = {"adain": slice_hu(), "ours": slice_hu()}
    made = {"content": slice_hu(), "style": slice_hu(), "generated": generated, "target": target}
    return TransferExample(**made, source_style="s1", target_style="s2")


def make_figure6():
    outputs = {model: {"s1": slice_hu(), "s2": slice_hu()} for model in ("adain", "ours")}
    blends = {"ours": np.stack([slice_hu() for _ in range(3)])}
    return figure6(slice_hu(), {"s1": slice_hu(), "s2": slice_hu()}, outputs, blends, (0, 0.5, 1), LOOK)


def masks():
    reference, prediction = np.zeros((2, 24, 24), dtype=bool)
    reference[5:15, 5:15] = True
    prediction[5:15, 10:20] = True
    return reference, prediction


def make_figure7():
    reference, prediction = masks()
    row = SegmentationExample(
        hu=slice_hu(),
        reference=reference,
        predictions={"oracle": reference, "plain": prediction, "ours": np.zeros_like(reference)},
        label="s2",
    )
    return figure7([row], LOOK)


def test_figure7_has_every_arm_once_in_blocks_that_stay_on_the_page():
    reference, prediction = masks()
    rows = [
        SegmentationExample(
            hu=slice_hu(), reference=reference, predictions=dict.fromkeys(ARMS, prediction), label=f"s{number}"
        )
        for number in range(5)
    ]
    figure = figure7(rows, LOOK)
    said = texts(figure)
    assert len(ARMS) > 8 and all(said.count(arm.short) == 1 for arm in ARMS.values())
    assert said.count("Slice") == 2 and len(pictures(figure)) == 5 * (len(ARMS) + 2 * 2)
    boxes = [axes.get_position() for axes in figure.axes]
    assert min(box.y0 for box in boxes) >= 0 and max(box.x1 for box in boxes) <= 1
    assert figure.get_size_inches()[1] * 25.4 < 215, "it fits on a page with its caption"


def history(*losses, steps=40):
    return pd.DataFrame({"step": range(1, steps + 1)} | {name: np.linspace(2, 1, steps) for name in losses})


def make_curves():
    arms = {arm: [history("loss")] for arm in ("plain", "ours", "adain", "noise", "oracle")}
    models = {"ours": [history("content", "style")], "adain": [history("content", "style")]}
    return training_curves([history("l1"), history("l1")], models, arms, LOOK)


def test_every_arm_and_model_has_a_line_of_its_own():
    assert set(LINES) == {*ARMS, *MODEL_LABELS}
    assert len(set(LINES.values())) == len(LINES)


def make_encoders():
    """Figures 8 and 9: one row, every compared encoder, their outputs in another order than the registry's."""
    row = TransferExample(
        content=slice_hu(),
        style=slice_hu(),
        generated={name: slice_hu() for name in reversed(COMPARED)},
        target=slice_hu(),
        source_style="s1",
        target_style="s2",
    )
    return figure5([row], LOOK, ENCODER_LABELS), row


def sweep_frame():
    """Two losses over three style weights, not in their order; only `ours` has more than one patient."""
    frame = pd.DataFrame(
        {
            "model": ["ours", "adain", "ours", "adain", "ours", "adain"],
            "style_weight": [10.0, 10.0, 1.0, 1.0, 3.0, 3.0],
            "wasserstein_generated_hu": [20.0, 22.0, 60.0, 61.0, 41.0, 40.0],
            "gradient_ssim": [0.7, 0.5, 0.9, 0.8, 0.85, 0.6],
        }
    )
    ours = frame["model"] == "ours"
    low, high = (frame["gradient_ssim"] + by for by in (-0.05, 0.02))
    return frame.assign(gradient_ssim_low=low.where(ours), gradient_ssim_high=high.where(ours))


def layers_frame(name):
    names = [tap.name for tap in encoder_spec(name).taps]
    scores = {score: RNG.random(len(names)) for score in ("content_score", "style_score")}
    return pd.DataFrame({"tap": names} | scores)


def make_layer_choice():
    """VGG19 with one tap in both lists, ResNet50 with all taps in the style list."""
    layers = {"VGG19, hed weights": layers_frame("vgg19"), "ResNet50, domain weights": layers_frame("resnet50")}
    chosen = {
        "VGG19, hed weights": TapLists(content_taps=("relu3_4", "relu4_2"), style_taps=("relu1_2", "relu3_4")),
        "ResNet50, domain weights": TapLists(
            content_taps=("layer1",), style_taps=("stem", "layer1", "layer2", "layer3")
        ),
    }
    return layer_choice(layers, chosen, LOOK), layers, chosen


def make_augmented():
    reference, moved = masks()
    pairs = {"s2": [(slice_hu(), reference), (slice_hu(), moved)], "s3": [(slice_hu(), moved)]}
    return augmented(pairs, LOOK), pairs


MAKERS = {
    "figure4": make_figure4,
    "figure5": lambda: figure5([example(), example(slice_hu())], LOOK),
    "figure6": make_figure6,
    "figure7": make_figure7,
    "curves": make_curves,
    "encoders": lambda: make_encoders()[0],
    "sweep": lambda: sweep_curves(sweep_frame(), LOOK),
    "layer_choice": lambda: make_layer_choice()[0],
    "augmented": lambda: make_augmented()[0],
}


def pictures(figure):
    """The slices of a figure (its grey scales have 256 values in a row or column)."""
    return [image for axes in figure.axes for image in axes.images if 256 not in image.get_array().shape]


def texts(figure):
    of_axes = [text.get_text() for axes in figure.axes for text in axes.texts]
    return of_axes + [text.get_text() for text in figure.texts]


# slices, contours, lines, error bars, a legend of the page
@pytest.mark.parametrize("name", ["figure4", "figure7", "curves", "sweep", "layer_choice"])
def test_two_saves_give_the_same_bytes_at_page_width(name, tmp_path):
    figure = MAKERS[name]()
    for folder in ("a", "b"):
        save_figure(figure, tmp_path / folder / "f.png", tmp_path / folder / "f.pdf")
    for kind in ("png", "pdf"):
        assert (tmp_path / "a" / f"f.{kind}").read_bytes() == (tmp_path / "b" / f"f.{kind}").read_bytes()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["f.pdf", "f.png"]
    with Image.open(tmp_path / "a" / "f.png") as image:
        assert image.width == pytest.approx(170 / 25.4 * 300, abs=1) and "Software" not in image.info
    pdf = (tmp_path / "a" / "f.pdf").read_bytes()
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf and b"CreationDate" not in pdf


def test_the_same_figure_drawn_anew_has_the_same_bytes_whatever_the_users_settings(tmp_path):
    histories = {"plain": [history("loss")]}
    draw = lambda: training_curves([history("l1")], {}, histories, LOOK)  # noqa: E731
    save_figure(draw(), tmp_path / "1.png", tmp_path / "1.pdf")
    with mpl.rc_context({"font.size": 20, "savefig.dpi": 50, "pdf.fonttype": 3, "axes.facecolor": "red"}):
        save_figure(draw(), tmp_path / "2.png", tmp_path / "2.pdf")
    for kind in ("png", "pdf"):
        assert (tmp_path / f"1.{kind}").read_bytes() == (tmp_path / f"2.{kind}").read_bytes()


@pytest.mark.parametrize("name", ["figure4", "figure5", "figure6", "figure7", "encoders", "augmented"])
def test_every_slice_and_grey_scale_is_in_the_one_window(name):
    figure = MAKERS[name]()
    images = [image for axes in figure.axes for image in axes.images]
    assert len(images) > len(pictures(figure)) > 0
    assert {image.get_clim() for image in images} == {LOOK.window_hu}
    assert {image.get_cmap().name for image in images} == {"gray"}


def test_orientation_marks_follow_the_plane():
    row = example()
    assert {"A", "P", "R", "L"} <= set(texts(figure5([row], LOOK)))
    sagittal = texts(figure5([row], Look(orientation="sagittal")))
    assert {"S", "I", "A", "P"} <= set(sagittal) and "R" not in sagittal


def test_marks_stand_where_the_slices_rows_and_columns_say():
    """Row 0 is anterior and column 0 the patient's right (docs/architecture.md)."""
    axes = figure5([example()], LOOK).axes[0]
    place = {text.get_text(): text.get_position() for text in axes.texts}
    assert place["A"][1] > 0.9 and place["P"][1] < 0.1 and place["R"][0] < 0.1 and place["L"][0] > 0.9


def test_figure4_counts_scans_and_writes_out_what_lies_beyond_the_window():
    said = "\n".join(texts(make_figure4()))
    assert "2 scans, 2 patients\n120 kVp\nkernel BONE (1), STD (1)\nhounsfield" in said
    assert "1 scan, 1 patient\n80 kVp\nkernel not stated\ndisplay" in said
    assert "≤ −250: 10.0 %\n≥ 750: 20.0 %" in said


def test_figure5_shows_the_models_in_order_and_says_where_no_target_is():
    row = example()
    figure = figure5([row], LOOK)
    shown = [image.get_array() for image in pictures(figure)]
    wanted = [row.content, row.style, row.generated["ours"], row.generated["adain"]]
    assert len(shown) == 4 and all((a == b).all() for a, b in zip(shown, wanted))
    assert any("not scanned" in text for text in texts(figure))
    assert len(pictures(figure5([example(slice_hu())], LOOK))) == 5


def test_figures_8_and_9_have_a_titled_column_for_each_encoder_in_the_registrys_order():
    figure, row = make_encoders()
    shown = [image.get_array() for image in pictures(figure)]
    wanted = [row.content, row.style, *(row.generated[name] for name in COMPARED), row.target]
    assert len(shown) == len(wanted) and all((a == b).all() for a, b in zip(shown, wanted))
    titles = [text for text in figure.texts if text.get_weight() == "bold"]
    names = ["VGG19", "ResNet50", "ResNet101", "DenseNet121", "DenseNet169", "DenseNet201"]
    assert [title.get_text() for title in titles] == ["Content X", "Style Y", *names, "True target"]
    for title, image in zip(titles, pictures(figure)):
        place = image.axes.get_position()
        assert title.get_position()[0] == pytest.approx((place.x0 + place.x1) / 2)  # above the middle of its slice


def test_a_model_that_did_not_make_a_row_leaves_its_place_empty():
    few = example()
    few = TransferExample(**{**vars(few), "generated": {"ours": few.generated["ours"]}, "target": slice_hu()})
    figure = figure5([example(slice_hu()), few], LOOK)
    assert len(pictures(figure)) == 5 + 4
    assert texts(figure).count("not made") == 1 and not any("not scanned" in text for text in texts(figure))


def test_figure6_holds_targets_outputs_and_blends():
    figure = make_figure6()
    assert len(pictures(figure)) == 1 + 2 + 2 * 2 + 3
    assert {"α = 0", "α = 0.5", "α = 1", "Blend of X towards s2"} <= set(texts(figure))


def test_figure7_draws_both_contours_on_the_pixels_and_the_iou():
    figure = make_figure7()
    said = texts(figure)
    assert "IoU 0.33" in said and "IoU 1.00" in said and "IoU 0.00" in said
    plain = next(axes for axes in figure.axes[2:] if axes.images and len(axes.collections) == 2)
    for contour, colour, (left, right) in zip(
        plain.collections, (REFERENCE_COLOUR, PREDICTION_COLOUR), ((4.5, 14.5), (9.5, 19.5))
    ):
        points = np.concatenate([path.vertices for path in contour.get_paths()])
        assert mpl.colors.to_hex(contour.get_edgecolor()[0]) == colour.lower()
        assert (points[:, 0].min(), points[:, 0].max()) == (left, right)  # half-way to the neighbours, as pixels end


def test_each_added_slice_has_the_contour_of_its_own_mask_once():
    figure, pairs = make_augmented()
    panels = [image.axes for image in pictures(figure)]
    wanted = [pair for of_style in pairs.values() for pair in of_style]
    assert len(panels) == len(wanted) == 3
    for axes, (hu, mask) in zip(panels, wanted):
        assert (axes.images[0].get_array() == hu).all()
        (contour,) = axes.collections
        points = np.concatenate([path.vertices for path in contour.get_paths()])
        rows, columns = np.nonzero(mask)
        assert (points[:, 0].min(), points[:, 0].max()) == (columns.min() - 0.5, columns.max() + 0.5)
        assert (points[:, 1].min(), points[:, 1].max()) == (rows.min() - 0.5, rows.max() + 0.5)
    tops = [axes.get_position().y1 for axes in panels]
    assert tops[0] == tops[1] > tops[2] and {"s2", "s3"} <= set(texts(figure))  # a row per style


def test_the_sweeps_curves_go_through_the_frames_values_in_the_order_of_the_weights():
    (axes,) = sweep_curves(sweep_frame(), LOOK).axes
    curves = {line.get_label(): line for line in axes.lines}
    assert set(curves) == {"MSE", "Contextual loss"}
    assert curves["Contextual loss"].get_xydata().tolist() == [[60, 0.9], [41, 0.85], [20, 0.7]]
    assert curves["MSE"].get_xydata().tolist() == [[61, 0.8], [40, 0.6], [22, 0.5]]
    named = {(text.xy, text.get_text()) for text in axes.texts}
    assert {((60.0, 0.9), "1"), ((41.0, 0.85), "3"), ((22.0, 0.5), "10")} <= named and len(named) == 6


def test_the_sweeps_bars_are_the_intervals_and_one_patient_has_none():
    (axes,) = sweep_curves(sweep_frame(), LOOK).axes
    bars = [segment for bars in axes.collections for segment in bars.get_segments() if len(segment)]
    ends = {(float(x), round(float(low), 6), round(float(high), 6)) for (x, low), (_, high) in bars}
    assert ends == {(60, 0.85, 0.92), (41, 0.8, 0.87), (20, 0.65, 0.72)}


def test_rings_sit_on_exactly_the_chosen_taps():
    figure, layers, chosen = make_layer_choice()
    panels = {axes.get_title("left"): axes for axes in figure.axes}
    assert set(panels) == set(layers)
    for name, frame in layers.items():
        lines = {line.get_label(): line for line in panels[name].lines}
        of_tap = frame.set_index("tap")
        ticks = [tick.get_text() for tick in panels[name].get_xticklabels()]
        assert ticks == frame["tap"].tolist()
        for score, taps in (("content", chosen[name].content_taps), ("style", chosen[name].style_taps)):
            ring = lines[f"selected for the {score} loss"]
            assert [ticks[round(x)] for x in ring.get_xdata()] == list(taps)
            assert ring.get_ydata() == pytest.approx(of_tap.loc[list(taps), f"{score}_score"].to_numpy())
            assert ring.get_markerfacecolor() == "none"
        curves = [line.get_ydata() for line in lines.values() if line.get_markersize() == 2]
        assert any(np.array_equal(curve, frame["content_score"]) for curve in curves)
        assert any(np.array_equal(curve, frame["style_score"]) for curve in curves)


def test_a_mask_at_the_border_has_a_closed_contour():
    mask = np.zeros((24, 24), dtype=bool)
    mask[:, :3] = True
    row = SegmentationExample(hu=slice_hu(), reference=mask, predictions={"plain": ~mask}, label="x")
    for contour in figure7([row], LOOK).axes[2].collections:
        (path,) = [part for part in contour.get_paths() if len(part.vertices)]
        assert (path.vertices[0] == path.vertices[-1]).all() or path.codes[-1] == path.CLOSEPOLY


def test_losses_below_zero_are_not_lost_on_a_logarithmic_scale():
    below = history("loss").assign(loss=np.linspace(1, -1, 40))
    scale = {unit.get_title("left"): unit.get_yscale() for unit in training_curves([below], {}, {}, LOOK).axes}
    assert scale == {"Warm-up: loss": "linear"}
    assert {axes.get_yscale() for axes in make_curves().axes} == {"log"}


def test_every_arm_has_a_line_of_its_own():
    (panel,) = [axes for axes in make_curves().axes if axes.get_title("left") == "U-Net: loss"]
    assert len(panel.get_legend().get_texts()) == 5
    looks = {(line.get_color(), line.get_linestyle()) for line in panel.lines if line.get_linewidth() >= 1}
    assert len(looks) == 5


def test_every_model_that_the_config_offers_has_its_names_its_words_and_a_line_of_its_own(root):
    offered = list(MODELS)
    for names in (MODEL_LABELS, SHORT_MODELS, LOSSES):
        assert list(names) == offered
    assert len({LINES[model] for model in offered}) == len(offered)
    assert 'model="|".join(MODELS)' in (root / "Snakefile").read_text()


def test_palette_is_okabe_and_ito():
    """The eight colours as printed in Okabe and Ito's table (RGB 0..255)."""
    printed = {(0, 0, 0), (230, 159, 0), (86, 180, 233), (0, 158, 115)}
    printed |= {(240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167)}
    assert {tuple(bytes.fromhex(colour[1:])) for colour in OKABE_ITO.values()} == printed
    assert {colour for colour, _ in LINES.values()} <= set(OKABE_ITO.values())


def test_style_space_separates_what_one_feature_separates():
    features = pd.DataFrame({"a": [0, 0.1, 0.2, 5, 5.1, 5.2], "b": [0, 0.2, 0.1, 5.1, 5, 5.2], "constant": 1.0})
    figure = style_space(features.assign(style=["s1"] * 3 + ["s2"] * 3), ["a", "b", "constant"], LOOK)
    first, second = (points.get_offsets()[:, 0] for points in figure.axes[0].collections)
    assert max(first) < min(second) or max(second) < min(first)


def test_faulty_input_is_refused():
    with pytest.raises(PaperInputError, match=r"\(12, 12\)"):
        figure5([example(slice_hu(size=12))], LOOK)
    with pytest.raises(PaperInputError, match="no row"):
        figure7([], LOOK)
    with pytest.raises(PaperInputError, match="accepted slice"):
        augmented({}, LOOK)
    with pytest.raises(PaperInputError, match="described encoder"):
        layer_choice({}, {}, LOOK)
    with pytest.raises(PaperInputError, match="kernel"):
        figure4({"s1": np.zeros((1, 8, 8))}, {"s1": np.zeros(3)}, scans().drop(columns="kernel"), LOOK)
    with pytest.raises(PaperInputError, match="one slice per alpha"):
        figure6(slice_hu(), {"s1": slice_hu()}, {"ours": {}}, {"ours": np.zeros((2, 24, 24))}, (0, 0.5, 1), LOOK)
    with pytest.raises(PaperInputError, match="features that vary"):
        style_space(pd.DataFrame({"style": ["s1"] * 4, "a": range(4)}), ["a"], LOOK)
    with pytest.raises(PaperInputError, match="window_hu"):
        Look(window_hu=(100, 100))
    with pytest.raises(PaperInputError, match="coronal"):
        Look(orientation="coronal")


def test_greys_on_paper_are_those_of_the_window(tmp_path):
    """A slice at the window's middle is printed half grey: nothing stretches it."""
    middle = np.full((24, 24), 250, dtype=np.int16)
    row = SegmentationExample(hu=middle, reference=np.zeros((24, 24), bool), predictions={}, label="x")
    save_figure(figure7([row], LOOK), tmp_path / "f.png", tmp_path / "f.pdf")
    with Image.open(tmp_path / "f.png") as image:
        values = np.asarray(image.convert("L"))
    inside = values[int(0.3 * values.shape[0]) : int(0.6 * values.shape[0]), int(0.75 * values.shape[1])]
    assert set(np.unique(inside)) <= {127, 128}
