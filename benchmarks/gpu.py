"""The hot paths on a graphics card, beside the public step and beside what the card can do.

    python -m benchmarks.gpu [--device cuda|cpu] [--size 256] [--rounds 20]

Needs torch, torchvision, numpy and scipy alone. `--device cpu --size 32 --rounds 1` goes through the same code without
a card, to find faults before one is lent; its numbers mean nothing. Wall time between synchronisations, contestants in
turn. What it prints goes into docs/performance.md by hand, with the card's name.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.contextual import pair, step, textbook
from benchmarks.side_by_side import spread, table
from benchmarks.transfer_step import BATCH, STYLE_TAPS, OurStep, PublicStep, vgg19_state
from ctstyle.encoders.network import build
from ctstyle.run.device import autocast
from ctstyle.slices.window import Window
from ctstyle.transfer.apply import stylise
from ctstyle.transfer.contextual_loss import contextual_loss
from ctstyle.transfer.decoder import Decoder
from ctstyle.transfer.generator import Generator

WARM_UP = 3


class Card:
    """Clock and memory of a device; on the CPU nothing waits and memory is not measured."""

    def __init__(self, name: str):
        self.device = torch.device(name)
        self.cuda = self.device.type == "cuda"

    @property
    def name(self) -> str:
        """The card's own name."""
        return torch.cuda.get_device_name(self.device) if self.cuda else "CPU (a rehearsal)"

    def seconds(self, work: Callable[[], object]) -> float:
        """Wall time of one call, from idle to idle."""
        if self.cuda:
            torch.cuda.synchronize()
        began = time.perf_counter()
        work()
        if self.cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - began

    def peak_mb(self, work: Callable[[], object]) -> float:
        """Memory of the card that one call takes beyond what is held before it."""
        if not self.cuda:
            work()
            return float("nan")
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / 2**20

    def in_turn(self, contestants: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
        """Seconds of each contestant in each round; the first `WARM_UP` rounds do not count."""
        took: dict[str, list[float]] = {name: [] for name in contestants}
        for number in range(WARM_UP + rounds):
            for name, work in contestants.items():
                seconds = self.seconds(work)
                if number >= WARM_UP:
                    took[name].append(seconds)
        return took


def matrix_rate(card: Card, rounds: int) -> float:
    """TFLOP/s of a bf16 matrix product, what the training step is held against."""
    side = 8192 if card.cuda else 256
    one, two = (torch.randn(side, side, device=card.device, dtype=torch.bfloat16) for _ in range(2))
    took = card.in_turn({"product": lambda: torch.mm(one, two)}, rounds)["product"]
    return 2 * side**3 / statistics.median(took) / 1e12


def graphed(ours: OurStep) -> Callable[[], Tensor]:
    """Our step as one CUDA graph: the shapes of the MSE loss are fixed; new targets are copied into place."""
    target, wanted = ours.material()
    held = target.clone(), {tap: tuple(part.clone() for part in pair_) for tap, pair_ in wanted.items()}
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARM_UP):
            ours.descend(*held)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = ours.descend(*held)

    def run() -> Tensor:
        """Copy this step's material into the graph's tensors and replay it."""
        target, wanted = ours.material()
        held[0].copy_(target)
        for tap, parts in wanted.items():
            for own, new in zip(held[1][tap], parts):
                own.copy_(new)
        graph.replay()
        return loss

    return run


def training_step(card: Card, size: int, rounds: int) -> str:
    """The public step in fp32 beside ours: bf16 and channels last as in the workflow, compiled, and as a CUDA graph."""
    state, rng = vgg19_state(), np.random.default_rng(size)
    content, style = (rng.random((BATCH, size, size), dtype=np.float32) for _ in range(2))
    torch.manual_seed(0)
    decoder = Decoder(stride=8, channels=512)

    def fresh() -> OurStep:
        """Our step with a decoder of its own."""
        return OurStep(state, copy.deepcopy(decoder), content, style, card.device)

    public = PublicStep(state, copy.deepcopy(decoder), content, style, card.device)
    ours = fresh()
    with FlopCounterMode(display=False) as counter:
        ours()
    work = {"public, fp32 eager": public, "ours": ours}
    if card.cuda:
        compiled = fresh()
        compiled.decoder.compile()
        compiled.encoder.compile()
        work |= {"ours, torch.compile": compiled, "ours, CUDA graph": graphed(fresh())}
    took, rate = card.in_turn(work, rounds), matrix_rate(card, rounds)
    rows = []
    for name, seconds in took.items():
        median = statistics.median(seconds)
        times = [slow / fast for slow, fast in zip(took["public, fp32 eager"], seconds)]
        share = counter.get_total_flops() / median / 1e12 / rate
        rows.append(
            [
                name,
                f"{1e3 * median:.2f}",
                spread((min(times), statistics.median(times), max(times))),
                f"{BATCH / median:.0f}",
                "" if name.startswith("public") else f"{100 * share:.0f} %",
                f"{card.peak_mb(work[name]):.0f}",
            ]
        )
    header = ["step", "ms", "times as fast as the public step", "slices/s", "of a bf16 product's rate", "MB"]
    return f"bf16 matrix product: {rate:.0f} TFLOP/s; batch {BATCH}, {size} px.\n\n{table(header, rows)}"


def profile(card: Card, size: int) -> str:
    """Where the time of one of our steps goes, kernel by kernel."""
    rng = np.random.default_rng(size)
    content, style = (rng.random((BATCH, size, size), dtype=np.float32) for _ in range(2))
    ours = OurStep(vgg19_state(), Decoder(stride=8, channels=512), content, style, card.device)
    for _ in range(WARM_UP):
        ours()
    activity = torch.profiler.ProfilerActivity
    with torch.profiler.profile(activities=[activity.CUDA if card.cuda else activity.CPU]) as found:
        ours()
    key = "self_device_time_total" if card.cuda else "self_cpu_time_total"
    events = sorted(found.key_averages(), key=lambda event: -getattr(event, key))[:10]
    whole = sum(getattr(event, key) for event in found.key_averages())
    rows = [[f"`{event.key[:70]}`", event.count, f"{100 * getattr(event, key) / whole:.0f} %"] for event in events]
    return table(["kernel", "calls", "of the time"], rows)


def contextual(card: Card, rounds: int) -> str:
    """The contextual loss beside the textbook form, and at 256 x 256 positions, where the textbook form has no room."""
    sizes = ((64, 256), (96, 256), (128, 128), (256, 256)) if card.cuda else ((24, 16), (32, 16))
    rows = []
    for side, channels in sizes:
        generated, target = (part.detach().to(card.device) for part in pair(side, channels))
        generated.requires_grad_(True)
        work = {"ours": lambda g=generated, t=target: step(contextual_loss, g, t)}
        if side <= 128:
            work["textbook"] = lambda g=generated, t=target: step(textbook, g, t)
        took = card.in_turn(work, rounds)
        times = [slow / fast for slow, fast in zip(took.get("textbook", ()), took["ours"])]
        memory = {name: card.peak_mb(one) for name, one in work.items()}
        rows.append(
            [
                f"{side} x {side} x {channels}",
                f"{1e3 * statistics.median(took['ours']):.1f}",
                spread((min(times), statistics.median(times), max(times))) if times else "no room",
                f"{memory['ours']:.0f}",
                f"{memory['textbook']:.0f}" if times else f"{4 * side**4 / 2**20:.0f} for one matrix",
            ]
        )
    return table(["map", "ms", "times as fast as the textbook", "MB", "textbook, MB"], rows)


def generation(card: Card, size: int, rounds: int) -> str:
    """Slices per second of the network alone, and of `stylise` from HU to HU with every slice new to it."""
    state = vgg19_state()
    torch.manual_seed(0)
    encoder = build("vgg19", state).to(card.device, memory_format=torch.channels_last)
    decoder = Decoder(stride=8, channels=512).to(card.device, memory_format=torch.channels_last)
    model = Generator(encoder, decoder, adain_tap=STYLE_TAPS[-1], scale=1.0, statistics="body").eval()
    window, count, rows = Window(-250, 750), 64 if card.cuda else 4, []
    rng = np.random.default_rng(0)
    hu = rng.integers(-250, 750, (count, size, size)).astype(np.int16)
    hu[:, :, : size // 8] = -1000
    images = torch.from_numpy(window.to_unit(hu))[:, None].to(card.device)
    body = torch.ones(count, size, size, dtype=torch.bool, device=card.device)

    @torch.no_grad()
    def network() -> Tensor:
        """The network alone, slices and styles on the card."""
        with autocast(card.device):
            mean, deviation = model.style_statistics(images[:1], body[:1])
            return model.generate_from_maps(model.encode(images), mean, deviation, content_body=body)

    whole = {
        "network": network,
        "stylise, HU to HU": lambda: stylise(model, hu, hu[:1].repeat(count, 0), [""] * count, window=window, batch=64),
    }
    for name, seconds in card.in_turn(whole, rounds).items():
        rows.append([name, f"{count / statistics.median(seconds):.0f}", f"{card.peak_mb(whole[name]):.0f}"])
    return table([f"{size} px", "slices/s", "MB"], rows)


def main() -> None:
    """Print all sections."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--device", default="cuda")
    asked.add_argument("--size", type=int, default=256)
    asked.add_argument("--rounds", type=int, default=20)
    options = asked.parse_args()
    card = Card(options.device)
    print(f"{card.name}, torch {torch.__version__}; {options.rounds} rounds in turn, minimum / median / maximum.\n")
    for title, text in (
        ("A training step", training_step(card, options.size, options.rounds)),
        ("What is left in it", profile(card, options.size)),
        ("Contextual loss", contextual(card, options.rounds)),
        ("Generation", generation(card, options.size, options.rounds)),
    ):
        print(f"#### {title}\n\n{text}\n", flush=True)


if __name__ == "__main__":
    main()
