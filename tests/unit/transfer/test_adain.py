"""AdaIN: the style's statistics, constant channels, finite gradients."""

import pytest
import torch

from ctstyle.transfer.adain import adain, channel_statistics, restyle


def maps(seed: int, size: int = 12) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    spread = torch.rand(1, 16, 1, 1, generator=generator) * 4 + 0.5
    return torch.randn(3, 16, size, size, generator=generator) * spread + 3 * spread


def test_statistics_are_population_moments_per_sample_and_channel():
    x = maps(0)
    mean, deviation = channel_statistics(x)
    reference = x.double().flatten(2).numpy()
    torch.testing.assert_close(mean.double(), torch.from_numpy(reference.mean(2)), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(deviation.double(), torch.from_numpy(reference.std(2)), rtol=1e-4, atol=1e-5)


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


def test_restyle_is_adain_from_statistics_alone():
    content, style = maps(5), maps(6)
    assert torch.equal(restyle(content, *channel_statistics(style)), adain(content, style))
