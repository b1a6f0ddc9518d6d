"""Which trainings the comparison asks for."""

from ctstyle.study.comparison import COLUMNS, trainings

COMPARISON = {
    "encoders": ["vgg19", "resnet50"],
    "weights": "domain",
    "smoothing": ["none", "softmax"],
    "style_weights": [3, 10.0, 30],
}


def test_every_question_gets_its_trainings_and_differs_in_what_it_asks_alone():
    asked = trainings(COMPARISON, {"name": "vgg19", "weights": "hed"}, 10.0)
    encoders, sweep, layers = (asked[name] for name in ("encoders", "sweep", "layers"))
    assert len(encoders) == 2 * 2 * 2 and set(encoders["weights"]) == {"domain"}
    assert set(zip(sweep["model"], sweep["style_weight"])) == {(m, w) for m in ("ours", "adain") for w in (3, 10, 30)}
    assert layers["layers"].tolist() == ["registry", "selected"]
    for frame, varied in ((sweep, {"model", "style_weight"}), (layers, {"layers"})):
        constant = [name for name in COLUMNS if name not in varied]
        assert (frame[constant].nunique() == 1).all()


def test_a_training_that_answers_two_questions_is_one_training():
    asked = trainings(COMPARISON, {"name": "vgg19", "weights": "hed"}, 10)
    shared = asked["sweep"].merge(asked["layers"])
    assert len(shared) == 1 and shared["model"].item() == "ours" and shared["layers"].item() == "registry"
