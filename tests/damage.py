"""Damaged files for fuzzing: what disks, broken copies and clumsy hands make of a good one."""

import random


def mutated(data: bytes, other: bytes, draw: random.Random) -> bytes:
    """`data` with flipped bits, cut, grown, or joined with parts of itself or of `other`; rarely unchanged."""
    at, end = sorted(draw.randrange(len(data) + 1) for _ in range(2))
    change = draw.randrange(7)
    if change == 0:
        changed = bytearray(data)
        for _ in range(draw.choice((1, 1, 1, 2, 8))):
            changed[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        return bytes(changed)
    if change == 1:
        return data[:at]
    if change == 2:
        return data[:at] + draw.randbytes(end - at) + data[end:]
    if change == 3:
        return data[:at] + data[end:]
    if change == 4:
        return data[:end] + data[at:]
    if change == 5:
        return data[:at] + bytes(end - at) + data[end:]
    return data[:at] + other[at:]
