"""The contextual loss, streamed, beside the textbook form that keeps every N x N matrix.

    python -m benchmarks.contextual [ROUNDS]

Forward and backward, one thread, CPU seconds in turn; the floor is two matrix products of the same size (similarity
and gradient). Peak memory is that of a process of its own, less what it had before.
"""

import subprocess
import sys
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.side_by_side import interleave, machine, ratios, spread, table
from ctstyle.transfer.contextual_loss import contextual_loss

SIZES = ((8, 256), (16, 256), (24, 256), (32, 256), (64, 256), (96, 256), (128, 128))
"""Side of a square map and its channels."""
ROUNDS = 5


def textbook(generated: Tensor, target: Tensor, bandwidth: float = 0.5, eps: float = 1e-5) -> Tensor:
    """The formula as the public ports write it: every step a matrix that autograd keeps."""
    mean = target.mean(dim=2, keepdim=True)
    made, wanted = (torch.nn.functional.normalize(vectors, dim=1) for vectors in (generated - mean, target - mean))
    distance = (1 - torch.bmm(made.transpose(1, 2), wanted)).clamp(min=0)
    relative = distance / (distance.min(dim=2, keepdim=True)[0] + eps)
    weights = torch.exp((1 - relative) / bandwidth)
    similarity = weights / weights.sum(dim=2, keepdim=True)
    return -torch.log(similarity.max(dim=1)[0].mean(dim=1))


def pair(side: int, channels: int) -> tuple[Tensor, Tensor]:
    """Two maps `[1, C, N]` that differ as an early output does from its content: half signal, half noise."""
    generator = torch.Generator().manual_seed(side)
    target = torch.randn(1, channels, side * side, generator=generator).relu_()
    generated = (0.5 * target + 0.5 * torch.randn(target.shape, generator=generator).relu_()).requires_grad_(True)
    return generated, target


def step(loss, generated: Tensor, target: Tensor) -> None:
    """Forward and backward."""
    generated.grad = None
    loss(generated, target).sum().backward()


def products(generated: Tensor, target: Tensor) -> None:
    """The two products that any exact form must make: the similarity, and the gradient from as many numbers."""
    rows = generated.detach()[0].t().contiguous()
    columns = target[0]
    for start in range(0, rows.shape[0], 256):
        torch.mm(torch.mm(rows[start : start + 256], columns), columns.t())


def peak_mb(form: str, side: int, channels: int) -> float:
    """Memory that one step takes, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.contextual", "--child", form, str(side), str(channels)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def child(form: str, side: int, channels: int) -> None:
    """Print how much memory this process takes for one step beyond what it had, in MB; a small step comes before."""
    torch.set_num_threads(1)
    loss = {"streamed": contextual_loss, "textbook": textbook}[form]
    step(loss, *pair(24, channels))
    generated, target = pair(side, channels)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew (proc(5))
    before = status_kb("VmRSS")
    step(loss, generated, target)
    print((status_kb("VmHWM") - before) / 1024)


def status_kb(field: str) -> int:
    """A line of this process's /proc status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{field}:")))


def main(rounds: int) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print(f"{machine()}; {rounds} rounds in turn, process time; minimum / median / maximum.\n")
    rows = []
    for side, channels in SIZES:
        generated, target = pair(side, channels)
        took = interleave(
            {
                "streamed": partial(step, contextual_loss, generated, target),
                "textbook": partial(step, textbook, generated, target),
                "products": partial(products, generated, target),
            },
            rounds,
        )
        of_floor = [own / floor for own, floor in zip(took["streamed"], took["products"])]
        memory = [peak_mb(form, side, channels) for form in ("streamed", "textbook")] if side >= 64 else None
        rows.append(
            [
                f"{side} x {side} x {channels}",
                f"{sorted(took['streamed'])[rounds // 2] * 1e3:.1f}",
                spread(ratios(took, "streamed", "textbook")),
                spread((min(of_floor), sorted(of_floor)[rounds // 2], max(of_floor))),
                f"{memory[0]:.0f}" if memory else "",
                f"{memory[1] / memory[0]:.0f}" if memory else "",
            ]
        )
    header = ["map", "ms", "times as fast as the textbook", "of the two products", "MB", "times less memory"]
    print(table(header, rows))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
