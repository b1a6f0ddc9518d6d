"""AdaIN: the style's statistics, constant channels, finite gradients."""

import pytest
import torch

from ctstyle.encoders.network import positions_in_body
from ctstyle.transfer.adain import channel_statistics, restyle


def maps(seed: int, size: int = 12) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    spread = torch.rand(1, 16, 1, 1, generator=generator) * 4 + 0.5
    return torch.randn(3, 16, size, size, generator=generator) * spread + 3 * spread


def adain(content, style, content_body=None, style_body=None):
    return restyle(content, *channel_statistics(style, style_body), content_body)


def test_statistics_are_population_moments_per_sample_and_channel():
    x = maps(0)
    mean, deviation = channel_statistics(x)
    reference = x.double().flatten(2).numpy()
    torch.testing.assert_close(mean.double(), torch.from_numpy(reference.mean(2)), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(deviation.double(), torch.from_numpy(reference.std(2)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last], ids=["first", "last"])
@pytest.mark.parametrize("masked", [False, True])
def test_statistics_and_their_gradient_are_those_of_the_formula(order, masked):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 4, 6, generator=generator, dtype=torch.float64).contiguous(memory_format=order)
    x.requires_grad_()
    body = torch.rand(2, 8, 12, generator=generator) > 0.3 if masked else None
    inside = positions_in_body(body, (4, 6)) if masked else torch.ones(2, 4, 6, dtype=torch.bool)
    assert inside.all() != masked and inside.flatten(1).any(dim=1).all()
    found = channel_statistics(x, body)
    for sample, marks in enumerate(inside):
        chosen = x[sample][:, marks]
        wanted = chosen.mean(dim=1), (chosen.var(dim=1, correction=0) + 1e-5).sqrt()
        for one, other in zip(found, wanted):
            torch.testing.assert_close(one[sample], other, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(lambda maps: channel_statistics(maps, body), (x,))


def test_a_nearly_constant_channel_keeps_its_digits():
    generator = torch.Generator().manual_seed(0)
    x = 0.3 + 1e-4 * torch.randn(1, 4, 96, 96, generator=generator)
    exact = x.double().mean(dim=(2, 3)), (x.double().var(dim=(2, 3), correction=0) + 1e-5).sqrt()
    for one, other in zip(channel_statistics(x), exact):
        torch.testing.assert_close(one.double(), other, rtol=2e-7, atol=0)


def test_output_has_the_styles_mean_and_deviation():
    content, style = maps(1), maps(2, size=8)
    assert content.var(dim=(2, 3), correction=0).min() > 0.1
    out = adain(content, style).double()
    mean, deviation = style.double().mean(dim=(2, 3)), style.double().std(dim=(2, 3), correction=0)
    torch.testing.assert_close(out.mean(dim=(2, 3)), mean, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(out.std(dim=(2, 3), correction=0), deviation, rtol=1e-4, atol=0)


def test_own_style_changes_nothing():
    content = maps(3)
    torch.testing.assert_close(adain(content, content), content, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("value", [0.0, 2.5])
def test_constant_channel_takes_the_styles_mean_with_finite_gradient(value):
    content = torch.full((1, 2, 6, 6), value, requires_grad=True)
    style = maps(4)[:1, :2].requires_grad_(True)
    out = adain(content, style)
    torch.testing.assert_close(out, style.mean(dim=(2, 3), keepdim=True).expand_as(out))
    out.square().sum().backward()
    assert torch.isfinite(content.grad).all() and torch.isfinite(style.grad).all()


def test_inside_the_body_other_positions_do_not_count():
    content, style = maps(7), maps(8)
    body = torch.zeros(3, 24, 24, dtype=torch.bool)
    body[:, 4:20, 6:14] = True
    inside = style[:, :, 2:10, 3:7]
    mean, deviation = channel_statistics(style, body)
    torch.testing.assert_close(mean, inside.mean(dim=(2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(deviation, inside.std(dim=(2, 3), correction=0), rtol=1e-4, atol=1e-5)
    airy = style.clone()
    airy[:, :, 0] = 50.0
    out = adain(content, style, content_body=body, style_body=body)
    assert torch.equal(out, adain(content, airy, content_body=body, style_body=body))
    assert not torch.allclose(adain(content, style), adain(content, airy))
    found, spread = channel_statistics(out, body)
    torch.testing.assert_close(found, mean, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(spread, deviation, rtol=1e-4, atol=1e-4)
    nobody = torch.zeros_like(body)
    torch.testing.assert_close(channel_statistics(style, nobody), channel_statistics(style), rtol=1e-4, atol=1e-4)


def test_a_position_is_in_the_body_by_half():
    body = torch.zeros(2, 4, 4, dtype=torch.bool)
    body[0, :2, 0] = True  # two of the four pixels of position (0, 0)
    body[0, 2, 2] = True  # one of four
    inside = positions_in_body(body, (2, 2))
    assert inside[0].tolist() == [[True, False], [False, False]] and inside[1].all()
