"""Where networks are placed, and in which order in memory."""

import pytest
import torch
from torch import nn

from ctstyle.run.device import NoGPU, configure_torch, place, select_device


@pytest.mark.parametrize(("capability", "last"), [("AVX512", True), ("AVX2", False), ("DEFAULT", False)])
def test_channels_last_where_the_processor_is_faster_with_them(monkeypatch, capability, last):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    network = place(nn.Sequential(nn.Conv2d(2, 3, 3), nn.Linear(3, 4)), torch.device("cpu"))
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last) == last
    assert network[0].weight.device.type == "cpu"


@pytest.mark.parametrize(("kind", "warn_only"), [("cpu", False), ("cuda", True)])
def test_kernels_that_are_not_deterministic_are_refused_on_the_cpu_and_warned_of_on_a_card(kind, warn_only):
    threads = torch.get_num_threads()
    try:
        configure_torch(threads, torch.device(kind))
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled() == warn_only
        if not warn_only:
            with pytest.raises(RuntimeError, match="deterministic"):
                torch.empty(3).put_(torch.tensor([0, 0]), torch.ones(2))
    finally:
        torch.set_deterministic_debug_mode("default")


def test_no_card_was_asked_for():
    assert select_device(0) == torch.device("cpu")


def test_a_card_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    with pytest.raises(NoGPU, match=r"gpu=1.*CUDA_VISIBLE_DEVICES=3.*--resources gpu=0"):
        select_device(1)
