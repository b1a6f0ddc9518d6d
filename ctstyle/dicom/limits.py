"""What no CT can be: sizes that are refused before memory is taken for them."""

from ctstyle.errors import CTStyleError, Fact

LARGEST_SIDE = 8192
"""Rows or columns of a slice; clinical CT has 512 to 2,048."""
LARGEST_FRAMES = 65_536
"""Frames of one multi-frame file."""
LARGEST_VOLUME_VOXELS = 2 << 30
"""Voxels of a volume: 4 GB of int16, 8,192 slices of 512 x 512."""
LARGEST_MEMBER_BYTES = 4 << 30
"""One file inside a zip."""
LARGEST_HEADER_BYTES = 512 << 20
"""Everything before the pixel data of a DICOM file, and the whole of a deflated one."""
LARGEST_RATIO = 1100
"""Bytes that one compressed byte may stand for; deflate cannot reach more than 1,032 (zlib's technical details)."""
USUAL_RATIO = 100
"""The same for members of a zip larger than `LARGE_MEMBER_BYTES`: a true CT holds noise and hardly reaches 10."""
LARGE_MEMBER_BYTES = 64 << 20


class AbsurdSize(CTStyleError):
    """A file claims a size that no CT has, or that it cannot hold."""


def absurd_size(what: str, *, where: object, found: object, expected: object) -> AbsurdSize:
    """The error for a claim that is not followed."""
    return AbsurdSize(
        what,
        where=where,
        found=found,
        expected=expected,
        fix="The file is damaged or made to exhaust memory; export the series again.",
    )


def check_voxels(shape: tuple[int, ...], *, where: object) -> None:
    """Raise AbsurdSize where a volume of this shape has more than `LARGEST_VOLUME_VOXELS`."""
    voxels = 1
    for size in shape:
        voxels *= int(size)
    if voxels > LARGEST_VOLUME_VOXELS:
        raise absurd_size(
            "a volume larger than any CT",
            where=where,
            found=Fact(f"{' x '.join(str(int(size)) for size in shape)} voxels"),
            expected=f"at most {LARGEST_VOLUME_VOXELS} (4 GB of int16)",
        )
