"""Frames of JPEG lossless (T.81, annex H) by libjpeg-turbo, and whether it can be trusted.

libjpeg-turbo is fast and lets other threads run, but keeps silent where the data ends too early or goes on too long.
The length of the data is known from the pixels, though: the codes of their differences in the frame's Huffman table.
"""

import numpy as np

from ctstyle.ct.codestream import END_OF_IMAGE, HUFFMAN_TABLES, START_OF_SCAN, jpeg_segments

_START_OF_LOSSLESS_FRAME = 0xC3
_RESTART_INTERVAL = 0xDD
_FROM_THE_LEFT = 1
_BLOCK = 64
"""Rows of which the differences are looked at together: they stay near the processor."""
_CATEGORIES = 17
"""Differences of 0 to 16 bits; one of 16 bits (32,768) has no bits beside its code (T.81, H.1.2.2)."""


def decode(frame: bytes) -> np.ndarray | None:
    """The pixels of a grey frame, uint8 or uint16 `[rows, columns]` as stored.

    None where the frame is damaged, or stored in one of the rarer ways: other predictors, several Huffman tables,
    restart intervals, shifted values. Raises ValueError where it is cut off.
    """
    import imagecodecs

    said = _coding(frame)
    if said is None:
        return None
    bits, code_lengths, data = said
    try:
        pixels = imagecodecs.jpeg8_decode(frame)
    except imagecodecs.Jpeg8Error:
        return None
    # in the data a byte FF is followed by a 0 that means nothing (T.81, B.1.1.5)
    stuffed = np.flatnonzero(data == 0xFF) + 1
    if pixels.ndim != 2 or (stuffed == data.size).any() or data[stuffed].any():
        return None
    held, needed = data.size - stuffed.size, -(-_data_bits(pixels, bits, code_lengths) // 8)
    if held < needed:
        raise ValueError(f"{held} bytes of coded pixels, which would take {needed}")
    return pixels if held == needed else None


def _coding(frame: bytes) -> tuple[int, np.ndarray, np.ndarray] | None:
    """Bits of a sample, lengths of the codes of the categories, and the coded bytes of a frame of the usual kind."""
    bits, lengths = None, None
    for marker, start, end in jpeg_segments(frame):
        if marker == _START_OF_LOSSLESS_FRAME:
            bits = frame[start]
        elif marker == HUFFMAN_TABLES:
            if lengths is not None:
                return None
            lengths = _code_lengths(frame[start:end])
        elif marker == _RESTART_INTERVAL and any(frame[start:end]):
            return None
        elif marker == START_OF_SCAN:
            # one component; predictor, and shift of the values
            usual = end - start == 6 and (frame[start], frame[start + 3], frame[start + 5]) == (1, _FROM_THE_LEFT, 0)
            stop = frame.rfind(END_OF_IMAGE)
            if not usual or bits is None or lengths is None or stop < end:
                return None
            return bits, lengths, np.frombuffer(frame, np.uint8, stop - end, end)
    return None


def _code_lengths(table: bytes) -> np.ndarray | None:
    """The bits of the code of each category; 0 where it has none. None where it is not one table of lossless codes."""
    counts, categories = table[1:17], table[17:]
    if len(counts) < 16 or sum(counts) != len(categories) or any(one >= _CATEGORIES for one in categories):
        return None
    lengths = np.zeros(_CATEGORIES, int)
    lengths[list(categories)] = np.repeat(np.arange(1, 17), list(counts))
    return lengths


def _data_bits(pixels: np.ndarray, bits: int, code_lengths: np.ndarray) -> int:
    """How many bits the differences of the pixels take (T.81, H.1.1 and H.1.2)."""
    pixels = pixels.astype(np.uint16, copy=False)
    reach = _reach(np.diff(pixels[:, 0], prepend=np.uint16(1 << (bits - 1))))
    for top in range(0, len(pixels), _BLOCK):
        rows = pixels[top : top + _BLOCK]
        reach += _reach(rows[:, 1:] - rows[:, :-1])
    beside_code = np.arange(_CATEGORIES)
    beside_code[16] = 0
    return int(-np.diff(reach, append=0) @ (code_lengths + beside_code))


def _reach(differences: np.ndarray) -> np.ndarray:
    """How many of the differences uint16 are in each category or one above."""
    magnitudes = abs(differences.view(np.int16)).view(np.uint16)
    above = [np.count_nonzero(magnitudes >= 1 << bit) for bit in range(int(magnitudes.max(initial=0)).bit_length())]
    return np.array([magnitudes.size, *above, *[0] * (_CATEGORIES - 1 - len(above))])
