"""What the codes of a segment or ROI mean: the vertebra, if they mean one."""

from ctstyle.ct.items import Item
from ctstyle.ct.labels import NAMED_LEVELS, Segment

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
UNSPECIFIC = frozenset(
    {"3138006", "272673000", "T-D016E", "51282000", "T-11510", "421060004", "T-D04FF"}
    | {"85756007", "T-D0050", "91723000", "T-D0005", "123037004", "T-D000A"}
)
"""Bone, vertebra, spine, tissue, anatomical and body structure: the anatomic region says which one."""


def described(number: int, item: Item, names: list[str], types: str) -> Segment:
    """A segment whose sequence `types` says what it is; its AnatomicRegionSequence counts where that is unspecific."""
    codes = item.items(types)
    if all(_value(code) in UNSPECIFIC for code in codes):
        codes = codes + item.items("AnatomicRegionSequence")
    coded = next(filter(None, (_vertebra(code) for code in codes)), 0)
    meanings = [code.text("CodeMeaning") for code in codes]
    return Segment(number, tuple(name for name in (*names, *meanings) if name), coded)


def _vertebra(code: Item) -> int:
    scheme, value = code.text("CodingSchemeDesignator"), _value(code)
    known = SNOMED_CT if scheme == "SCT" else SNOMED_RT if scheme in ("SRT", "SNM3", "99SDM") else {}
    return NAMED_LEVELS.get(known.get(value, ""), 0)


def _value(code: Item) -> str:
    return code.text("CodeValue") or code.text("LongCodeValue")
