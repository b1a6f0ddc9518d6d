"""Tables of the comparison against sums done by hand, and parameters against torchvision's own networks."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torchvision

from ctstyle.encoders.network import parameters_to
from ctstyle.encoders.plan import TapLists
from ctstyle.measures.columns import PaperInputError
from ctstyle.paper.captions import RunFacts
from ctstyle.paper.comparison import (
    KEPT_AND_REACHED,
    ComparedEncoder,
    ComparedFacts,
    by_training,
    costs,
    lists,
    read_encoders,
    sweep,
    sweep_notes,
    table3,
    taps,
)
from ctstyle.paper.write import Notes, printed_cells, to_markdown
from ctstyle.study.analysis import Intervals
from ctstyle.study.encoders import ENCODERS, UnknownEncoder, encoder_spec

DRAW = Intervals(replicates=200)
VGG_TAPS = ("relu3_2", "relu4_2", "relu5_2")


def scores(values: dict[str, list[float]], *, seed: int = 0, kind: str = "transfer", **names) -> pd.DataFrame:
    """A row per slice; all measures of a slice take the value given for its patient, the distance before is 100."""
    rows = [
        dict.fromkeys(KEPT_AND_REACHED, value) | {"patient": patient}
        for patient, of_patient in values.items()
        for value in of_patient
    ]
    return pd.DataFrame(rows).assign(kind=kind, seed=seed, wasserstein_content_hu=100.0, **names)


def compared(encoder: str, model: str, value: float, *, smoothing: str = "none") -> pd.DataFrame:
    return scores({"p1": [value], "p2": [value]}, encoder=encoder, model=model, smoothing=smoothing)


def described(encoder: str, values: dict[str, float], *, weights: str = "domain") -> pd.DataFrame:
    """Part of a `layers.tsv`: the entropy of some taps."""
    rows = [
        {"encoder": encoder, "weights": weights, "tap": tap, "stride": 4, "channels": 64, "entropy": entropy}
        | {"content_score": entropy / 2, "style_score": entropy / 4}
        for tap, entropy in values.items()
    ]
    return pd.DataFrame(rows)


def about(**changed) -> ComparedEncoder:
    facts = {"weights": "domain", "heldout_accuracy": {}, "parameters": 10**6, "decoder_parameters": 5 * 10**5}
    return ComparedEncoder(**facts | changed)


def test_a_training_is_judged_by_the_mean_over_patients_of_their_means():
    of_seeds = [
        scores({"p1": [0.2, 0.4], "p2": [0.9]}, seed=0, name="a"),
        scores({"p1": [0.6, 0.8], "p2": [0.7]}, seed=1, name="a"),
    ]
    of_seeds[0]["wasserstein_content_hu"] = [10.0, 10.0, 40.0]
    of_seeds[1]["wasserstein_content_hu"] = [20.0, 20.0, 60.0]
    same = scores({"p1": [99.0], "p3": [99.0]}, kind="identity", name="a")
    (row,) = by_training([*of_seeds, same], ["name"], DRAW).to_dict("records")
    for measure in KEPT_AND_REACHED:
        assert row[measure] == pytest.approx((0.5 + 0.8) / 2)  # the mean over slices would be 0.6
        assert math.isnan(row[f"{measure}_low"]) and row["withheld"] == "2 patients, 3 are needed"
    assert row["wasserstein_content_hu"] == pytest.approx((15 + 50) / 2)
    assert (row["name"], row["seeds"], row["patients"], row["slices"]) == ("a", 2, 2, 3)


def test_trainings_stay_apart_in_the_order_they_came_and_an_empty_one_is_refused():
    frames = [scores({"p1": [value]}, encoder=name, model=model) for name, model, value in
              (("b", "ours", 0.1), ("a", "ours", 0.2), ("a", "adain", 0.3))]  # fmt: skip
    made = by_training(frames, ["encoder", "model"], DRAW)
    assert made[["encoder", "model", "edge_f1"]].to_numpy().tolist() == [
        ["b", "ours", 0.1], ["a", "ours", 0.2], ["a", "adain", 0.3],
    ]  # fmt: skip
    assert made["edge_f1_low"].isna().all()  # one patient has no interval
    with pytest.raises(PaperInputError, match="no generated test slice"):
        by_training([scores({"p1": [0.1]}, kind="identity", encoder="a")], ["encoder"], DRAW)


@pytest.fixture
def made3():
    frames = [
        compared("densenet121", "ours", 0.5),
        compared("vgg19", "ours", 0.6),
        compared("vgg19", "ours", 0.7, smoothing="softmax"),
        compared("vgg19", "adain", 0.4),
        compared("densenet121", "adain", 0.3),
    ]
    layers = [
        described("vgg19", dict.fromkeys(VGG_TAPS, 9.0), weights="hed"),  # the main encoder's, not the comparison's
        described("vgg19", {"relu3_1": 8.0, "relu3_2": 0.1, "relu4_2": 0.2, "relu5_2": 0.3, "relu5_4": 8.0}),
        described("densenet121", {"stem": 8.0, "block1": 0.4, "block2": 0.5, "block3": 0.6}),
    ]
    encoders = {
        "densenet121": about(weights="domain", parameters=2_345_678, decoder_parameters=553_921),
        "vgg19": about(heldout_accuracy={"rotation": 0.75, "level": 0.5}),
    }
    return table3(frames, encoders=encoders, layers=layers, intervals=DRAW)


def test_table_3_groups_the_losses_and_orders_the_encoders_within(made3):
    assert list(zip(made3.frame["loss"], made3.frame["network"])) == [
        ("MSE", "VGG19"),
        ("MSE", "DenseNet121"),
        ("Contextual loss", "VGG19"),
        ("Contextual loss", "DenseNet121"),
        ("Contextual loss, softmax smoothing", "VGG19"),
    ]
    assert made3.frame["gradient_ssim"].tolist() == pytest.approx([0.4, 0.3, 0.6, 0.5, 0.7])
    _, groups = printed_cells(made3)
    assert [(name, len(rows)) for name, rows in groups] == [
        ("MSE", 2), ("Contextual loss", 2), ("Contextual loss, softmax smoothing", 1),
    ]  # fmt: skip


def test_table_3_takes_the_entropy_of_the_deep_content_taps_of_the_weights_that_were_compared(made3):
    by_network = made3.frame.drop_duplicates("network").set_index("network")
    assert by_network.loc["VGG19", ["entropy_4", "entropy_8", "entropy_16"]].tolist() == [0.1, 0.2, 0.3]
    assert by_network.loc["DenseNet121", ["entropy_4", "entropy_8", "entropy_16"]].tolist() == [0.4, 0.5, 0.6]


def test_table_3_has_accuracy_in_percent_only_where_weights_were_trained_and_parameters_in_millions(made3):
    trained, untrained = (made3.frame[made3.frame["network"] == name] for name in ("VGG19", "DenseNet121"))
    assert set(trained["rotation_accuracy"]) == {75.0} and set(trained["level_accuracy"]) == {50.0}
    assert untrained["rotation_accuracy"].isna().all() and untrained["level_accuracy"].isna().all()
    assert set(untrained["encoder_parameters"]) == {2.345678} and set(untrained["decoder_parameters"]) == {0.553921}
    (line,) = [line for line in to_markdown(made3, Notes("t")).splitlines() if "| MSE | DenseNet121" in line]
    assert "| – | 0.400 | 0.500 | 0.600 | 2.35 |" in line


def test_the_best_of_each_loss_is_bold_alone(made3):
    header, groups = printed_cells(made3)
    column = header.index("Wasserstein-1 G to Y, after, HU ↓")
    marked = {name: [row[column].best for row in rows] for name, rows in groups}
    assert marked["MSE"] == [False, True] and marked["Contextual loss"] == [False, True]
    assert marked["Contextual loss, softmax smoothing"] == [False]  # no rival


def convolution(into: int, out: int, size: int = 3) -> int:
    """Weights and biases of a square convolution."""
    return into * out * size * size + out


def count(*modules) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def test_parameters_of_vgg_are_those_of_its_convolutions_up_to_the_tap():
    features = torchvision.models.vgg19(weights=None).features
    assert parameters_to(encoder_spec("vgg19"), ["relu5_2"]) == count(features[:32])
    widths = [3, 64, 64, 128, 128, 256, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    assert parameters_to(encoder_spec("vgg19"), VGG_TAPS) == sum(map(convolution, widths, widths[1:]))
    assert parameters_to(encoder_spec("vgg19"), ["relu1_1"]) == convolution(3, 64)


def test_parameters_of_resnet_are_those_up_to_the_stage_of_the_deepest_tap():
    network = torchvision.models.resnet50(weights=None)
    up_to = [network.conv1, network.bn1, network.layer1, network.layer2, network.layer3]
    assert parameters_to(encoder_spec("resnet50"), ["layer3", "stem"]) == count(*up_to)
    assert parameters_to(encoder_spec("resnet50"), ["layer1"]) == count(*up_to[:3])


def test_parameters_of_densenet_end_before_the_transitions_convolution():
    features = torchvision.models.densenet121(weights=None).features
    names = ("conv0", "norm0", "denseblock1", "transition1", "denseblock2", "transition2", "denseblock3")
    kept = [features.get_submodule(name) for name in names]
    assert parameters_to(encoder_spec("densenet121"), ["block3"]) == count(*kept, features.transition3.norm)


def test_no_parameters_to_a_tap_that_the_encoder_has_not():
    with pytest.raises(UnknownEncoder, match="layer4"):
        parameters_to(encoder_spec("resnet50"), ["layer4"])


def test_encoders_are_read_from_the_records_of_their_weights(tmp_path):
    records = {
        "vgg19": {"encoder": "vgg19", "weights": "domain", "heldout_accuracy": {"rotation": 0.9}},
        "resnet50": {"encoder": "resnet50", "weights": "imagenet", "heldout_accuracy": None},
    }
    for name, record in records.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(record))
    made = read_encoders([tmp_path / f"{name}.json" for name in records], stride=4)
    assert made["vgg19"].heldout_accuracy == {"rotation": 0.9} and made["resnet50"].heldout_accuracy == {}
    assert (made["vgg19"].weights, made["resnet50"].weights) == ("domain", "imagenet")
    network = torchvision.models.vgg19(weights=None).features
    assert made["vgg19"].parameters == count(network[:32])
    widths = [256, 128, 128, 64, 64, 1]
    by_hand = sum(map(convolution, widths, widths[1:]))
    assert made["vgg19"].decoder_parameters == made["resnet50"].decoder_parameters == by_hand == 553_921


def test_the_decoder_counted_is_that_of_the_stride(tmp_path):
    (tmp_path / "vgg19.json").write_text(json.dumps({"encoder": "vgg19", "weights": "random"}))
    made = read_encoders([tmp_path / "vgg19.json"], stride=8)["vgg19"]
    widths = [512, 256, 256, 256, 256, 128, 128, 64, 64, 1]
    assert made.decoder_parameters == sum(map(convolution, widths, widths[1:]))


def test_the_sweep_is_sorted_by_number_and_has_no_winner():
    frames = [
        scores({"p1": [value], "p2": [value]}, model=model, style_weight=weight)
        for model, weight, value in (("ours", 10, 0.1), ("ours", 3, 0.2), ("adain", 30, 0.3), ("adain", 0.5, 0.4))
    ]
    table = sweep(frames, DRAW)
    assert table.frame[["loss", "weight"]].to_numpy().tolist() == [
        ["MSE", "style weight 0.5"],
        ["MSE", "style weight 30"],
        ["Contextual loss", "style weight 3"],
        ["Contextual loss", "style weight 10"],  # behind 3, which as a text it is not
    ]
    assert table.frame["gradient_ssim"].tolist() == pytest.approx([0.4, 0.3, 0.2, 0.1])
    assert "**" not in to_markdown(table, Notes("t")).split("\n", 1)[1]


def test_notes_print_patients_slices_and_seeds_and_why_there_is_no_interval():
    frames = [
        scores({"p1": [0.1, 0.2], "p2": [0.3]}, model=model, style_weight=weight, seed=seed)
        for model, weight in (("ours", 10), ("adain", 10))
        for seed in (0, 1)
    ]
    facts = RunFacts(
        encoder="vgg19",
        weights_name="W",
        lpips_trunk="T",
        warm_up_steps=1,
        transfer_steps=1,
        segmentation_steps=1,
        size_px=64,
        spacing_mm=2.0,
        window_hu=(-250, 750),
        cohorts=("phantom",),
        seeds=2,
        intervals=DRAW,
    )
    compared = ComparedFacts(weights="domain", size_px=64, warm_up_steps=1, steps=1, criterion="content score")
    said = " ".join(sweep_notes(facts, sweep(frames, DRAW), compared).sentences)
    assert "In each row: patients 2, slices 3, seeds 2;" in said
    assert "Intervals withheld: 2 patients, 3 are needed." in said


def test_the_sweep_reads_weights_that_came_as_texts():
    frames = [scores({"p1": [0.1]}, model="ours", style_weight=weight) for weight in ("10.0", "3.0")]
    assert sweep(frames, DRAW).frame["style_weight"].tolist() == [3.0, 10.0]


def test_the_lists_name_the_taps_they_train_with():
    frames = [scores({"p1": [v], "p2": [v]}, layers=name) for name, v in (("registry", 0.4), ("selected", 0.6))]
    selected = TapLists(content_taps=("relu3_4", "relu4_4"), style_taps=("relu1_2", "relu2_2", "relu3_3", "relu4_1"))
    table = lists(frames, "vgg19", selected, DRAW)
    rows = table.frame.set_index("lists")
    assert rows.loc["registry lists", "content_taps"] == "relu3_2, relu4_2"  # the paper's, method.md
    assert rows.loc["registry lists", "style_taps"] == "relu1_1, relu2_1, relu3_1, relu4_1"
    assert rows.loc["selected lists", "content_taps"] == "relu3_4, relu4_4"
    assert rows.loc["selected lists", "style_taps"] == "relu1_2, relu2_2, relu3_3, relu4_1"
    assert rows["edge_f1"].to_dict() == pytest.approx({"registry lists": 0.4, "selected lists": 0.6})
    (line,) = [line for line in to_markdown(table, Notes("t")).splitlines() if "selected lists" in line]
    assert "relu3_4, relu4_4" in line and "**0.600**" in line


def test_the_table_of_taps_has_every_tap_of_every_description():
    frames = [
        described("vgg19", {"relu1_1": 0.8, "relu1_2": 0.4}, weights="hed"),
        described("resnet50", {"stem": 0.6}).assign(style_score=np.nan),
        described("vgg19", {"relu1_1": 0.2}),
    ]
    table = taps(frames)
    assert table.frame["network"].tolist() == ["VGG19, hed", "VGG19, hed", "ResNet50, domain", "VGG19, domain"]
    lines = [line for line in to_markdown(table, Notes("t")).splitlines() if line.startswith("| ")][2:]
    assert lines == [
        "| VGG19, hed | relu1_1 | 4 | 64 | 0.400 | 0.200 | 0.800 |",
        "| VGG19, hed | relu1_2 | 4 | 64 | 0.200 | 0.100 | 0.400 |",
        "| ResNet50, domain | stem | 4 | 64 | 0.300 | – | 0.600 |",
        "| VGG19, domain | relu1_1 | 4 | 64 | 0.100 | 0.050 | 0.200 |",
    ]


@pytest.mark.parametrize("name", ENCODERS)
def test_the_deep_content_taps_stand_at_the_strides_of_the_entropy_columns(name):
    spec = encoder_spec(name)
    assert [spec.tap(tap).stride for tap in spec.deep_content_taps] == [4, 8, 16]


@pytest.fixture
def spent(tmp_path):
    """Cost files as rules write them, by name."""

    def write(name: str, **facts: float):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(facts))
        return path

    return write


def test_costs_join_training_and_output_of_a_model_and_take_the_larger_memory(spent):
    training = spent("training", steps=200, seconds_per_step=0.5, seconds=120.0, peak_memory_mb=900.0)
    output = spent("output", seconds_per_slice=0.02, peak_memory_mb=700.0, seconds=9.0)
    (row,) = costs({"ours": {"training": training, "output": output}}, []).frame.to_dict("records")
    assert (row["run"], row["training"]) == ("main models", "Ours")
    assert (row["steps"], row["seconds_per_step"], row["training_seconds"]) == (200, 0.5, 120.0)
    assert (row["seconds_per_slice"], row["peak_memory_mb"]) == (0.02, 900.0)


def test_an_optimisation_has_no_training_and_stands_behind_the_trained_models(spent):
    output = spent("output", seconds_per_slice=3.25, peak_memory_mb=800.0)
    training = spent("training", steps=10, seconds_per_step=0.5, seconds=20.0, peak_memory_mb=100.0)
    table = costs({"gatys": {"output": output}, "adain": {"output": output, "training": training}}, [])
    assert table.frame["model"].tolist() == ["adain", "gatys"]
    gatys = table.frame.iloc[1]
    assert all(math.isnan(gatys[name]) for name in ("steps", "seconds_per_step", "training_seconds"))
    (line,) = [line for line in to_markdown(table, Notes("t")).splitlines() if "Gatys" in line]
    assert line == "| main models | Gatys optimisation | – | – | 3.2500 | 800 |"


def test_the_decoder_s_warm_up_has_a_row_before_the_models_that_start_from_it(spent):
    warm_up = spent("warm-up", steps=1000, seconds_per_step=0.1, seconds=110.0, peak_memory_mb=950.0)
    output = spent("output", seconds_per_slice=0.02, peak_memory_mb=700.0)
    frame = costs({"ours": {"output": output}}, [], warm_up).frame
    assert frame["model"].tolist() == ["warm_up", "ours"]
    assert frame.loc[0, ["steps", "training_seconds", "peak_memory_mb"]].tolist() == [1000, 110.0, 950.0]
    assert math.isnan(frame.loc[0, "seconds_per_slice"])


def test_trainings_of_the_comparison_are_named_by_encoder_and_loss_and_none_is_best(spent):
    paths = [spent(str(n), steps=80, seconds_per_step=n, seconds=80.0 * n, peak_memory_mb=500.0) for n in (1, 2)]
    plain = {"encoder": "resnet101", "model": "adain", "smoothing": "none"}
    smooth = {"encoder": "densenet169", "model": "ours", "smoothing": "softmax"}
    output = spent("output", seconds_per_slice=0.5, peak_memory_mb=600.0)
    table = costs({"ours": {"output": output}}, zip((plain, smooth), paths))
    assert table.frame["run"].tolist() == ["main models", "comparison", "comparison"]
    assert table.frame["training"].tolist()[1:] == ["ResNet101, MSE", "DenseNet169, Contextual loss, softmax smoothing"]
    assert table.frame["training_seconds"].tolist()[1:] == [80.0, 160.0]
    assert table.frame["seconds_per_slice"].isna().tolist() == [False, True, True]
    assert "**" not in to_markdown(table, Notes("t")).split("\n", 1)[1]
