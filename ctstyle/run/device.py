"""Which device a job computes on, and how many threads it may use."""

import os

import torch

from ctstyle.errors import CTStyleError


class NoGPU(CTStyleError):
    """A job was promised a GPU and sees none; it never falls back to the CPU in silence."""


def select_device(gpus: int) -> torch.device:
    """The device of a job that was given `gpus` cards by the scheduler (0: the CPU)."""
    if gpus <= 0:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise NoGPU(
            "a GPU was asked for and CUDA sees none",
            where=f"resources gpu={gpus}",
            found=f"CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES', '(not set)')}",
            expected="a CUDA device",
            fix="Run with `--resources gpu=0` to compute on the CPU, or on a machine with a GPU.",
        )
    return torch.device("cuda")


def configure_torch(threads: int, device: torch.device) -> None:
    """Fix the number of threads (it changes rounding) and ask for deterministic kernels.

    On CUDA a few backward kernels (reflection padding, nearest up-sampling) exist only in a non-deterministic form;
    torch then warns and the results may differ in the last bits between runs. They are asked for by their debug mode:
    `use_deterministic_algorithms` does the same, but imports torch's compiler to tell it too, which takes as long as
    importing torch.
    """
    torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_deterministic_debug_mode("warn" if device.type == "cuda" else "error")
    torch.backends.cudnn.benchmark = False


def place(network: torch.nn.Module, device: torch.device) -> torch.nn.Module:
    """`network` on `device`, in the order in memory that convolutions are fast in there.

    With channels last on CUDA, as its tensor cores read them, and on a CPU with AVX-512, where a step of the transfer
    takes a twelfth less time. With AVX2 alone gradients of weights take a tenth more in that order.
    """
    last = device.type == "cuda" or torch.backends.cpu.get_cpu_capability() == "AVX512"
    return network.to(device, memory_format=torch.channels_last) if last else network.to(device)


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 for matrix products on CUDA; float32 everywhere on the CPU."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")
