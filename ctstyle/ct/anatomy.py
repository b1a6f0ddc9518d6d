"""The anatomy that masks mark: names, ids and codes of the vertebrae, as data.

Label maps, the DICOM-SEG reader and writer, exports and sheets take them from here.
"""

STRUCTURE, STRUCTURES = "vertebra", "vertebrae"
"""What a label marks, as texts that people read call it."""
SPINE = {"vert", "verts", "vertebra", "vertebrae", "vertebral", "spine"}
"""Words in the name of a file or segment that speak of it."""
FILE_OF_ONE = r"vertebrae_(C\d|T\d\d?|L\d|S1)\."
"""TotalSegmentator's names where each has a file of its own."""
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
NAMED_LEVELS: dict[str, int] = {
    **VERTEBRA_IDS,
    **{f"S{level}": VERTEBRA_IDS["sacrum"] for level in range(2, 6)},
    "L6": VERTEBRA_IDS["L5"],
    "T13": VERTEBRA_IDS["T12"],
}
"""Levels as names tell them; those without an id of their own count as in VerSe."""
SNOMED_CT: dict[str, str] = {
    **{"14806007": "C1", "39976000": "C2", "113205007": "C3", "5329002": "C4", "36978003": "C5", "36054005": "C6"},
    **{"87391001": "C7", "64864005": "T1", "53733008": "T2", "1626008": "T3", "73071006": "T4", "56401006": "T5"},
    **{"45296009": "T6", "62487009": "T7", "11068009": "T8", "82687006": "T9", "7610001": "T10", "12989004": "T11"},
    **{"23215003": "T12", "66794005": "L1", "14293000": "L2", "36470004": "L3", "11994002": "L4", "49668003": "L5"},
    "54735007": "sacrum",
}
"""Single vertebrae in SNOMED CT (DICOM PS3.16, CID 7603 and CID 4031)."""
SNOMED_RT: dict[str, str] = {
    **{f"T-116{level}0": f"C{level}" for level in range(1, 8)},
    **{f"T-117{level:X}0": f"T{level}" for level in range(1, 13)},
    **{f"T-119{level}0": f"L{level}" for level in range(1, 6)},
    "T-11AD0": "sacrum",
}
"""The same in SNOMED RT, as older files write them (DICOM PS3.16, annex L; scheme SRT, SNM3 or 99SDM)."""
SEGMENTS: dict[str, tuple[str, str, str]] = {
    "": ("vertebra", "51282000", "Vertebra"),
    "sacrum": ("sacrum", "54735007", "Sacrum"),
    "S1": ("S1 vertebra", "65985001", "First sacral vertebra"),
    **{name: (f"{name} vertebra", code, f"{name} vertebra") for code, name in SNOMED_CT.items() if name != "sacrum"},
}
"""What a DICOM-SEG says of each name: label, code in SNOMED CT and its meaning. "" is a vertebra of no known level."""
UNSPECIFIC = frozenset(
    {"3138006", "272673000", "T-D016E", "51282000", "T-11510", "421060004", "T-D04FF"}
    | {"85756007", "T-D0050", "91723000", "T-D0005", "123037004", "T-D000A"}
)
"""Bone, vertebra, spine, tissue, anatomical and body structure: the anatomic region says which one."""
ORDINALS = [
    *("first", "second", "third", "fourth", "fifth", "sixth"),
    *("seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth"),
]
REGIONS = {"cervical": "C", "thoracic": "T", "dorsal": "T", "lumbar": "L", "sacral": "S"}
SHORT_REGIONS = {"c": "C", "hwk": "C", "t": "T", "th": "T", "d": "T", "bwk": "T", "l": "L", "lwk": "L", "s": "S"}
"""Short forms count only with a number right behind them: "Lung L" and "rib 3 L" tell no level."""
OWN_NAMES = {"atlas": "C1", "axis": "C2"}
PLAIN_WORDS = {
    *("vertebra", "vertebrae", "vertebral", "body", "bone", "structure", "spine", "level", "entire", "of", "the"),
    *("segment", "seg", "label", "mask", "roi", "ct"),
}
"""Words that may stand beside a level. Others ("disc", "rib", "PTV", "metastasis") make it something else."""
