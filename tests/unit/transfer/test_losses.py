"""Style loss by hand, and sampling of points inside the body."""

import numpy as np
import pytest
import torch

from ctstyle.transfer.adain import channel_statistics
from ctstyle.transfer.losses import contextual_map_loss, sample_points, style_loss


def test_style_loss_is_equation_12():
    rng = np.random.default_rng(0)
    made = {"a": rng.standard_normal((2, 3, 5, 5)), "b": rng.standard_normal((2, 4, 3, 3))}
    style = {"a": rng.standard_normal((2, 3, 6, 6)), "b": 2 + rng.standard_normal((2, 4, 3, 3))}
    weights = {"a": 1.0, "b": 0.5}
    expected = 0.0
    for layer, weight in weights.items():
        for moment in (np.mean, np.std):
            difference = moment(made[layer], axis=(2, 3)) - moment(style[layer], axis=(2, 3))
            expected += weight * float((difference**2).mean())
    found = style_loss(
        {k: torch.from_numpy(v) for k, v in made.items()},
        {k: channel_statistics(torch.from_numpy(v)) for k, v in style.items()},
        weights,
    )
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_style_loss_inside_the_body_ignores_the_rest():
    made = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    body = torch.zeros(1, 16, 16, dtype=torch.bool)
    body[:, :, 4:12] = True
    style = {"a": channel_statistics(made[:, :, :, 2:6])}
    other = torch.cat([made[:, :, :, :2] + 9, made[:, :, :, 2:6], made[:, :, :, 6:] - 9], dim=3)
    assert float(style_loss({"a": other}, style, {"a": 1.0}, body)) < 1e-8
    assert float(style_loss({"a": other}, style, {"a": 1.0})) > 1


def test_points_lie_in_the_body_and_are_few_distinct_and_seeded():
    body = torch.zeros(32, 32, dtype=torch.bool)
    body[8:24, 4:28] = True
    points = sample_points(body, (8, 8), np.random.default_rng(0))
    assert points.tolist() == [row * 8 + column for row in range(2, 6) for column in range(1, 7)]
    few = [sample_points(body, (8, 8), np.random.default_rng(seed), at_most=10) for seed in (1, 1, 2)]
    assert torch.equal(few[0], few[1]) and not torch.equal(few[0], few[2])
    assert len(set(few[0].tolist())) == 10 and set(few[0].tolist()) <= set(points.tolist())
    assert len(sample_points(torch.zeros_like(body), (8, 8), np.random.default_rng(0))) == 64


def content_loss(made, maps, body, **options):
    return contextual_map_loss({"l": made}, {"l": maps}, body, np.random.default_rng(0), layers=("l",), **options)


def test_air_and_batch_mates_do_not_matter():
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 8, 8, 8, generator=generator)
    made = torch.randn(2, 8, 8, 8, generator=generator)
    body = torch.zeros(2, 16, 16, dtype=torch.bool)
    body[:, 4:12, 4:12] = True
    loss = content_loss(made, maps, body)
    other_air = made.clone()
    other_air[:, :, 0] = 100.0
    assert torch.equal(content_loss(other_air, maps, body), loss)
    halves = [content_loss(made[k : k + 1], maps[k : k + 1], body[k : k + 1]) for k in (0, 1)]
    torch.testing.assert_close(sum(halves) / 2, loss)


def test_the_same_points_in_both_images():
    maps = torch.randn(1, 16, 40, 40, generator=torch.Generator().manual_seed(0))
    body = torch.ones(1, 40, 40, dtype=torch.bool)
    nearly = maps + 1e-3 * torch.randn(maps.shape, generator=torch.Generator().manual_seed(1))
    # With other indices for the two images this is about 0.5 (method.md, 5).
    assert float(content_loss(nearly, maps, body, at_most=100)) < 0.02
