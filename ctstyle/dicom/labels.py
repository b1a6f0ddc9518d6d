"""Vertebra labels: one numbering for the whole project (TotalSegmentator's), and the way from others to it."""

import re

import numpy as np

UNNAMED_VERTEBRA = 255
"""A vertebra whose level is not known."""
VERTEBRA_NAMES: dict[int, str] = {
    25: "sacrum",
    26: "S1",
    **{32 - level: f"L{level}" for level in range(1, 6)},
    **{44 - level: f"T{level}" for level in range(1, 13)},
    **{51 - level: f"C{level}" for level in range(1, 8)},
}
"""TotalSegmentator v2 ids: 25 sacrum, 26 S1, 27..31 L5..L1, 32..43 T12..T1, 44..50 C7..C1."""
VERTEBRA_IDS = {name: label for label, name in VERTEBRA_NAMES.items()}
VERSE_IDS: dict[int, int] = {
    **{level: VERTEBRA_IDS[f"C{level}"] for level in range(1, 8)},
    **{7 + level: VERTEBRA_IDS[f"T{level}"] for level in range(1, 13)},
    **{19 + level: VERTEBRA_IDS[f"L{level}"] for level in range(1, 6)},
    25: VERTEBRA_IDS["L5"],
    26: VERTEBRA_IDS["sacrum"],
    28: VERTEBRA_IDS["T12"],
}
"""VerSe's ids; a supernumerary L6 (25) counts as L5 and T13 (28) as T12, for which TotalSegmentator has no id."""
LABEL_MAPS = ("totalsegmentator", "verse", "vertebrae")


def lookup_table(label_map: str) -> np.ndarray:
    """A uint8 table of 256 entries from the numbers of a mask file to labels; whatever is no vertebra becomes 0."""
    table = np.zeros(256, np.uint8)
    if label_map == "vertebrae":
        table[1:] = UNNAMED_VERTEBRA
    else:
        known = VERSE_IDS if label_map == "verse" else dict.fromkeys(VERTEBRA_NAMES)
        for number, label in known.items():
            table[number] = label or number
    return table


def segment_label(name: str) -> int:
    """The label a segment's name means: "T12 vertebra", "vertebrae_T12", "Twelfth thoracic vertebra (T12)"; else 0."""
    words = re.findall(r"[A-Za-z]+\d*", name.replace("_", " "))
    for word in words:
        key = "sacrum" if word.lower() in ("sacrum", "sacral") else word.upper()
        if key in VERTEBRA_IDS:
            return VERTEBRA_IDS[key]
    return 0
