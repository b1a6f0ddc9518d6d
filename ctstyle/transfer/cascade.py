"""The sizes of a cascade that doubles, known before anything runs; knows no torch."""

from ctstyle.errors import CTStyleError


def module_sizes(size_px: tuple[int, int], smallest_px: int) -> tuple[tuple[int, int], ...]:
    """Height and width of each module, coarse to fine, for slices of `size_px` (height, width).

    Both sides are halved while they are even and neither half is below `smallest_px`. Raises CTStyleError where the
    shorter side then still is above 4 * `smallest_px`, since the coarsest module would not see the whole slice.
    """
    sizes = [tuple(size_px)]
    while all(side % 2 == 0 and side // 2 >= smallest_px for side in sizes[0]):
        sizes.insert(0, tuple(side // 2 for side in sizes[0]))
    shorter = min(sizes[0])
    if not smallest_px <= shorter <= 4 * smallest_px:
        raise CTStyleError(
            "a cascade that doubles cannot reach this size",
            where=f"slices of {size_px[0]} x {size_px[1]} px",
            found=f"a coarsest module of {sizes[0][0]} x {sizes[0][1]} px",
            expected=f"a shorter side of {smallest_px} to {4 * smallest_px} px, doubled some times",
            fix="Set `slices: size_px` to a multiple of 16 up to 256, or leave `contextual` out of `transfer: models`.",
        )
    return tuple(sizes)
