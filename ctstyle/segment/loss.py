"""The loss of the U-Nets: cross entropy plus Dice (Milletari et al. 2016), as MONAI's DiceCELoss has it."""

from torch import Tensor
from torch.nn import functional

SMOOTH = 1e-5
"""What keeps Dice defined where neither side has a pixel."""


def dice_ce_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy of all pixels + 1 - Dice of the foreground, pooled over the batch; a scalar.

    `logits` float `[B, 2, H, W]`, `labels` int64 `[B, 1, H, W]` in {0, 1}. Dice is soft: the foreground's probability
    in place of a decision.
    """
    labels = labels[:, 0]
    probability = logits.softmax(dim=1)[:, 1]
    overlap = (probability * labels).sum()
    dice = (2 * overlap + SMOOTH) / (probability.sum() + labels.sum() + SMOOTH)
    return functional.cross_entropy(logits, labels) + 1 - dice
