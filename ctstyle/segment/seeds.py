"""Seeds of the U-Nets: those of the generators first, and more where U-Nets are trained with more."""

from collections.abc import Sequence

from ctstyle.errors import CTStyleError


class SeedError(CTStyleError):
    """The seeds of the U-Nets do not begin with those of the run."""


def unet_seeds(asked: Sequence[int] | None, seeds: Sequence[int]) -> list[int]:
    """The seeds of the U-Nets: `asked`, or the run's `seeds` where nothing is asked for.

    Every generator is judged with the oracle U-Net of its own seed, so `asked` begins with `seeds`; else SeedError.
    """
    if asked is None:
        return list(seeds)
    if list(asked[: len(seeds)]) != list(seeds):
        raise SeedError(
            "the seeds of the U-Nets do not begin with those of the run",
            where="segment: seeds",
            found=list(asked),
            expected=f"a list that begins with {list(seeds)} (seeds)",
            fix="Put the run's seeds first, or set `segment: {seeds: null}` for one U-Net per generator.",
        )
    return list(asked)


def lending_seed(seed: int, unet: Sequence[int], seeds: Sequence[int]) -> int:
    """The seed whose augmented slices the U-Net of `seed` takes: its own, or the run's `seeds` in turn."""
    return seeds[list(unet).index(seed) % len(seeds)]
