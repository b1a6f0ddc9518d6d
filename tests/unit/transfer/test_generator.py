"""The generator: alpha, blends, batches, pairs, and files."""

import numpy as np
import pytest
import torch

from ctstyle.encoders.registry import build
from ctstyle.encoders.weights import he_initialise, random
from ctstyle.errors import CTStyleError
from ctstyle.transfer.apply import Pairs, pair, stylise
from ctstyle.transfer.decoder import Decoder
from ctstyle.transfer.generator import Generator, WrongGenerator, read_metadata


@pytest.fixture(scope="module")
def generator() -> Generator:
    encoder = build("vgg16", random("vgg16", seed=0).state)
    decoder = Decoder(stride=4, channels=256)
    he_initialise(decoder, seed=1)
    with torch.no_grad():
        decoder.layers[-1].weight *= 0.1
        decoder.layers[-1].bias += 0.5
    return Generator(encoder, decoder, adain_tap="relu3_1", scale=0.8).eval()


def slices(count: int, seed: int) -> torch.Tensor:
    images = torch.rand(count, 1, 32, 32, generator=torch.Generator().manual_seed(seed))
    return images * torch.linspace(0.2, 1, count)[:, None, None, None]


@torch.no_grad()
def test_alpha_goes_from_the_contents_own_style_to_the_target(generator):
    content, style = slices(3, 0), slices(3, 1).flip(0)
    own = generator.decode(generator.encode(content))
    full = generator.generate(content, style)
    torch.testing.assert_close(generator.generate(content, style, 0.0), own)
    torch.testing.assert_close(generator.generate(content, content), own, rtol=1e-3, atol=1e-3)
    assert (full - own).abs().mean() > 1e-3
    half = generator.generate(content, style, 0.5)
    assert (half - own).abs().mean() < (full - own).abs().mean()
    assert full.shape == content.shape and full.min() >= 0 and full.max() <= 1
    with pytest.raises(CTStyleError, match="alpha"):
        generator.generate(content, style, 1.5)


@torch.no_grad()
def test_blend_of_one_is_that_one_and_weights_are_relative(generator):
    content, one, two = slices(2, 2), slices(2, 3), slices(2, 4) * 0.3
    torch.testing.assert_close(generator.blend(content, [one, two], [3, 0]), generator.generate(content, one))
    mixed = generator.blend(content, [one, two], [1, 1])
    torch.testing.assert_close(mixed, generator.blend(content, [two, one], [0.2, 0.2]))
    assert (mixed - generator.generate(content, one)).abs().mean() > 1e-4
    for weights in ([1], [0, 0], [2, -1]):
        with pytest.raises(CTStyleError, match="weights"):
            generator.blend(content, [one, two], weights)


@torch.no_grad()
def test_stylise_is_generate_whatever_the_batch(generator):
    content, style = slices(5, 5), slices(3, 6)
    pairs = Pairs(np.array([4, 0, 0, 2]), np.array([2, 2, 0, 1]), np.array(["a", "a", "b", "b"]))
    expected = generator.generate(content[pairs.content], style[pairs.style])[:, 0]
    for batch in (1, 3, 16):
        found = stylise(generator, content[:, 0].numpy(), style[:, 0].numpy(), pairs, batch=batch)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
    identity = stylise(generator, content[:, 0].numpy(), content[:, 0].numpy())
    np.testing.assert_allclose(identity, generator.generate(content, content)[:, 0].numpy(), atol=1e-5)
    with pytest.raises(CTStyleError, match="5 and 3"):
        stylise(generator, content[:, 0].numpy(), style[:, 0].numpy())


def test_pairs_are_drawn_from_the_target_style_and_depend_on_nothing_else():
    names = ["s2"] * 4 + ["s3"] * 6
    pairs = pair(7, names, targets=["s2", "s3"], per_content=3, seed=5)
    assert len(pairs.content) == 7 * 2 * 3
    assert all(names[style] == target for style, target in zip(pairs.style, pairs.target_style))
    for content in range(7):
        for target in ("s2", "s3"):
            drawn = pairs.style[(pairs.content == content) & (pairs.target_style == target)]
            assert len(set(drawn.tolist())) == 3
    fewer = pair(3, names, targets=["s3"], per_content=3, seed=5)
    same = pairs.style[(pairs.content < 3) & (pairs.target_style == "s3")]
    assert np.array_equal(fewer.style, same)
    assert not np.array_equal(pairs.style, pair(7, names, targets=["s2", "s3"], per_content=3, seed=6).style)


def test_fixed_pairs_give_every_content_the_same_style_slices():
    pairs = pair(6, ["s2"] * 9, targets=["s2"], fixed=True, seed=1)
    assert len(set(pairs.style.tolist())) == 1
    assert len(set(pair(6, ["s2"] * 9, targets=["s2"], seed=1).style.tolist())) > 1
    with pytest.raises(CTStyleError, match=r"s9.*s2"):
        pair(6, ["s2"], targets=["s9"])


@torch.no_grad()
def test_file_gives_the_same_slices_and_refuses_another_encoder(generator, tmp_path):
    path = tmp_path / "generator.safetensors"
    generator.save(path, model="ours", seed=3)
    assert read_metadata(path)["model"] == "ours" and read_metadata(path)["stride"] == 4
    loaded = Generator.load(path, generator.encoder)
    content, style = slices(2, 7), slices(2, 8)
    assert torch.equal(loaded.generate(content, style), generator.generate(content, style))
    with pytest.raises(WrongGenerator, match=r"vgg19.*vgg16"):
        Generator.load(path, build("vgg19", random("vgg19", seed=0).state))
    (tmp_path / "no.safetensors").write_bytes(b"nothing")
    with pytest.raises(WrongGenerator, match=r"no\.safetensors"):
        read_metadata(tmp_path / "no.safetensors")
