"""The generator: alpha, batches, pairs, and files."""

import numpy as np
import pytest
import torch

from ctstyle.encoders.network import build
from ctstyle.encoders.weights import random
from ctstyle.errors import CTStyleError
from ctstyle.run.device import place
from ctstyle.run.fit import he_initialise
from ctstyle.slices.body import body_mask
from ctstyle.slices.window import Window
from ctstyle.transfer.apply import Encodings, load_model, stylise
from ctstyle.transfer.decoder import Decoder
from ctstyle.transfer.generator import MODEL, Generator, WrongGenerator

WINDOW = Window(-250.0, 750.0)


@pytest.fixture(scope="module")
def generator() -> Generator:
    encoder = build("vgg16", random("vgg16", seed=0).state)
    decoder = Decoder(stride=4, channels=256)
    he_initialise(decoder, seed=1)
    with torch.no_grad():
        decoder.layers[-1].weight *= 0.1
        decoder.layers[-1].bias += 0.5
    return place(Generator(encoder, decoder, adain_tap="relu3_1", scale=0.8).eval(), torch.device("cpu"))


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
def test_stylise_is_generate_whatever_the_batch(generator):
    content, style = slices(5, 5), slices(5, 6)
    expected = generator.generate(content, style, 0.5)[:, 0]
    hu, style_hu = (WINDOW.low + 1000.0 * part[:, 0].numpy() for part in (content, style))
    body = body_mask(hu, WINDOW)
    assert 0.5 < body.mean() < 1
    for batch in (1, 3, 16):
        found = stylise(generator, hu, style_hu, ["s2"] * 5, window=WINDOW, alpha=0.5, batch=batch)
        np.testing.assert_allclose(found[body], (WINDOW.low + 1000 * expected.numpy())[body], atol=0.01)
        assert np.array_equal(found[~body], hu[~body])
    with pytest.raises(CTStyleError, match="5 and 3"):
        stylise(generator, hu, style_hu[:3], ["s2"] * 5, window=WINDOW)


@pytest.mark.parametrize("limit_bytes", [1 << 20, 0])
def test_a_slice_that_was_met_before_is_not_encoded_again(generator, monkeypatch, limit_bytes):
    hu = (WINDOW.low + 1000 * slices(4, 7)[:, 0].numpy()).astype(np.int16)
    plain = stylise(generator, hu[[0, 1, 0]], hu[[2, 2, 3]], ["s2"] * 3, window=WINDOW)
    encoded, encode = [], generator.encode
    monkeypatch.setattr(generator, "encode", lambda part: encoded.append(len(part)) or encode(part))
    known = Encodings(generator, WINDOW, limit_bytes=limit_bytes)
    for _ in range(2):
        again = stylise(generator, hu[[0, 1, 0]], hu[[2, 2, 3]], ["s2"] * 3, window=WINDOW, known=known)
        np.testing.assert_allclose(again, plain, atol=0.01)
    # two contents and two styles once; without room the maps of the contents a second time, statistics never
    assert sum(encoded) == (4 if limit_bytes else 6)


@torch.no_grad()
def test_a_generator_of_bodies_needs_them_and_ignores_the_styles_air(generator):
    inside = Generator(generator.encoder, generator.decoder, adain_tap="relu3_1", scale=0.8, statistics="body").eval()
    content, style = slices(2, 9), slices(2, 10)
    body = torch.zeros(2, 32, 32, dtype=torch.bool)
    body[:, :, :16] = True
    made = inside.generate(content, style, content_body=body, style_body=body)
    airy = style.clone()
    airy[..., 28:] = 0
    assert torch.equal(made, inside.generate(content, airy, content_body=body, style_body=body))
    assert not torch.equal(generator.generate(content, style), generator.generate(content, airy))
    for missing in ({"content_body": body}, {"style_body": body}):
        with pytest.raises(CTStyleError, match="no body masks"):
            inside.generate(content, style, **missing)


@torch.no_grad()
def test_file_gives_the_same_slices_and_refuses_another_encoder(generator, tmp_path):
    path = tmp_path / "generator.safetensors"
    generator.save(path, model="ours", seed=3)
    assert MODEL.facts(path)["model"] == "ours" and MODEL.facts(path)["stride"] == 4
    loaded = load_model(path, generator.encoder)
    content, style = slices(2, 7), slices(2, 8)
    assert loaded.statistics == "slice"
    assert torch.equal(loaded.generate(content, style), generator.generate(content, style))
    with pytest.raises(WrongGenerator, match=r"vgg19.*vgg16"):
        Generator.load(path, build("vgg19", random("vgg19", seed=0).state))
    (tmp_path / "no.safetensors").write_bytes(b"nothing")
    with pytest.raises(WrongGenerator, match=r"no\.safetensors"):
        MODEL.facts(tmp_path / "no.safetensors")
