"""torch's Adam and AdamW without torch._dynamo, whose import takes longer than that of torch itself.

torch marks the methods of its optimisers as not to be compiled when they are first called, and imports its compiler
to say so. No training here compiles an optimiser, and most last a minute or less.
"""

import inspect

import torch
from torch.optim import Optimizer

MARKED = ("add_param_group", "state_dict", "load_state_dict", "zero_grad")


def uncompiled(kind: type[Optimizer]) -> type[Optimizer]:
    """The optimiser class with the methods that torch's marks are wrapped around; same arithmetic, same state."""
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in MARKED}
    step = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), {**methods, "step": step, "__doc__": kind.__doc__})


Adam = uncompiled(torch.optim.Adam)
AdamW = uncompiled(torch.optim.AdamW)
