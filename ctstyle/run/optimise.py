"""torch's Adam and AdamW in one pass over the weights, and without torch._dynamo.

Fused, a step takes a quarter of the default's time on a CPU. And torch marks the methods of its optimisers as not to be
compiled when they are first called, and imports its compiler to say so, which takes longer than importing torch. No
training here compiles an optimiser, and most last a minute or less.
"""

import inspect
from functools import partialmethod

import torch
from torch.optim import Optimizer

MARKED = ("add_param_group", "state_dict", "load_state_dict", "zero_grad")


def lean(kind: type[Optimizer]) -> type[Optimizer]:
    """The optimiser class, `fused`, with the methods that torch wraps its marks around; same arithmetic and state."""
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in MARKED}
    step = torch.no_grad()(inspect.unwrap(kind.step))
    start = partialmethod(kind.__init__, fused=True)
    return type(kind.__name__, (kind,), {**methods, "__init__": start, "step": step, "__doc__": kind.__doc__})


Adam = lean(torch.optim.Adam)
AdamW = lean(torch.optim.AdamW)
