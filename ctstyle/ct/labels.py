"""Vertebra labels: one numbering for the whole project (TotalSegmentator's), and the way from others to it."""

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from ctstyle.ct.anatomy import (
    NAMED_LEVELS,
    ORDINALS,
    OWN_NAMES,
    PLAIN_WORDS,
    REGIONS,
    SHORT_REGIONS,
    SNOMED_CT,
    SNOMED_RT,
    UNNAMED_VERTEBRA,
    UNSPECIFIC,
    VERSE_IDS,
    VERTEBRA_IDS,
    VERTEBRA_NAMES,
)
from ctstyle.errors import CTStyleError, Fact

if TYPE_CHECKING:
    from ctstyle.ct.index import Tags

log = logging.getLogger(__name__)

FIXED_MAPS = ("totalsegmentator", "verse", "vertebrae")
LARGEST_NUMBER = 65535
"""Of a segment (SegmentNumber is an unsigned 16-bit value) and of a label in a file."""
EXPECTED_MAPS = f"{', '.join(FIXED_MAPS)}, name:PATTERN or id:NUMBERS"


class UnknownLabels(CTStyleError):
    """A label map that is none or finds no vertebra in the mask, or mask values that are no labels."""


@dataclass(frozen=True)
class Segment:
    """A segment of a DICOM-SEG or `.seg.nrrd`, or an ROI of an RTSTRUCT: its number, its names and what codes say.

    `names` are the label a person gave and the meanings of codes; `coded` is the label that its codes mean, 0 for none.
    """

    number: int
    names: tuple[str, ...]
    coded: int = 0

    def levels(self) -> list[int]:
        """The labels that codes and names mean; several where they contradict each other."""
        levels = {self.coded, *map(segment_label, self.names)} - {0}
        if VERTEBRA_IDS["S1"] in levels:  # the code dictionaries know the sacrum as a whole only
            levels.discard(VERTEBRA_IDS["sacrum"])
        return sorted(levels)

    def mention(self) -> int:
        """The label of the one level that a name holds, whatever else it says; else 0."""
        return next(filter(None, (segment_label(name, among_other_words=True) for name in self.names)), 0)


@dataclass(frozen=True)
class LabelMap:
    """What the numbers or names of a mask mean.

    `kind` is "totalsegmentator" or "verse" (numbers of a label file; where segments have names, these decide),
    "vertebrae" (whatever is marked is a vertebra without a name), "name" (segments whose name matches `pattern`) or
    "id" (the listed `numbers` are vertebrae without a name).
    """

    kind: str
    pattern: str = ""
    numbers: frozenset[int] = frozenset()

    @classmethod
    def parse(cls, text: str, *, where: object = None) -> "LabelMap":
        """The map a sheet of scans writes: `verse`, `name:vertebra*`, `id:3,5,7-9`. Raises UnknownLabels."""
        kind, colon, rest = text.strip().partition(":")
        rest = rest.strip()
        if kind in FIXED_MAPS and not colon:
            return cls(kind)
        if kind == "name" and rest:
            return cls(kind, pattern=rest)
        if kind == "id" and (numbers := _listed(rest)):
            return cls(kind, numbers=numbers)
        expected = {
            "name": "name: and a shell pattern, as name:vertebra*",
            "id": f"id: and whole numbers from 1 to {LARGEST_NUMBER}, as id:1-24 or id:3,5,7-9",
        }.get(kind)
        what = "malformed label_map" if expected else "unknown label_map"
        raise UnknownLabels(what, where=where, found=text, expected=expected or EXPECTED_MAPS)

    def __str__(self) -> str:
        details = self.pattern or ",".join(str(number) for number in sorted(self.numbers))
        return f"{self.kind}:{details}" if details else self.kind

    @property
    def form(self) -> str:
        """The map for messages that are written down: without the pattern, which is the user's own text."""
        return "name:PATTERN" if self.pattern else str(self)

    def number_table(self) -> np.ndarray:
        """A uint8 table of 65536 entries from the numbers of a label file to labels; what is no vertebra is 0."""
        table = np.zeros(LARGEST_NUMBER + 1, np.uint8)
        if self.kind == "vertebrae":
            table[1:] = UNNAMED_VERTEBRA
        elif self.kind == "id":
            table[list(self.numbers)] = UNNAMED_VERTEBRA
        elif self.kind == "totalsegmentator":
            table[list(VERTEBRA_NAMES)] = list(VERTEBRA_NAMES)
        elif self.kind == "verse":
            table[list(VERSE_IDS)] = list(VERSE_IDS.values())
        return table

    def segment_labels(self, segments: Sequence[Segment], *, where: object, told_by: str) -> dict[int, int]:
        """The labels of the segments that are vertebrae, by segment number; `told_by` is where their names stand.

        Raises UnknownLabels where there is none, where two segments share a number, and where name and code of a
        segment mean different vertebrae.
        """
        if len({segment.number for segment in segments}) < len(segments):
            raise UnknownLabels(
                "two segments share one number",
                where=where,
                found=Fact(shortened(str(segment.number) for segment in segments)),
                expected="a number of its own for every segment",
                fix="Export the segmentation again.",
            )
        labels = {segment.number: self._label(segment, where) for segment in segments}
        labels = {number: label for number, label in labels.items() if label}
        if labels:
            return labels
        found: str = ""
        if self.kind == "id":
            found = Fact(shortened(str(segment.number) for segment in segments))
            fix = "Correct the numbers of label_map in the sheet of scans."
        else:
            found = shortened(" / ".join(dict.fromkeys(segment.names)) for segment in segments)
            fix = "Name the vertebrae in label_map in the sheet of scans (name:PATTERN, or vertebrae for all segments)."
        raise UnknownLabels(
            f"no vertebra among the segments; {told_by}",
            where=where,
            found=found or Fact("no segment"),
            expected=f"segments that label_map {self.form} knows, as 'T12 vertebra' or 'vertebrae_T12'"
            if self.kind in FIXED_MAPS
            else f"segments that label_map {self.form} names",
            fix=fix,
        )

    def _label(self, segment: Segment, where: object) -> int:
        if self.kind == "vertebrae":
            return UNNAMED_VERTEBRA
        if self.kind == "id":
            return UNNAMED_VERTEBRA if segment.number in self.numbers else 0
        levels = segment.levels()
        if self.kind == "name":
            if not any(fnmatchcase(name.lower(), self.pattern.lower()) for name in segment.names):
                return 0
            return levels[0] if len(levels) == 1 else segment.mention() or UNNAMED_VERTEBRA
        if len(levels) > 1:
            raise UnknownLabels(
                f"segment {segment.number} is called one vertebra and coded as another",
                where=where,
                found=f"{' / '.join(segment.names)}: {', '.join(VERTEBRA_NAMES[level] for level in levels)}",
                expected="one vertebra",
                fix="Correct the name or the code of the segment; or take the name alone, label_map name:*.",
            )
        if not levels and segment.mention():
            log.warning("%s: segment %s is not taken as a vertebra", where, " / ".join(segment.names))
        return levels[0] if levels else 0


def segment_label(name: str, *, among_other_words: bool = False) -> int:
    """The label a segment's name means: "T12 vertebra", "vertebrae_T12", "Twelfth thoracic vertebra"; else 0.

    A name with words that do not belong to a vertebra ("L3/L4 disc", "PTV L3") means none, unless `among_other_words`
    asks for the one level it mentions.
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    words = re.findall(r"[^\W\d_]+|[0-9]+", re.sub(r"([0-9])(?:st|nd|rd|th)\b", r"\1", spaced))
    levels, regions, numbers, strange = set(), set(), set(), False
    for word, after in pairwise([*words, ""]):
        if word in SHORT_REGIONS and after.isdigit():
            levels.add(SHORT_REGIONS[word] + after.lstrip("0"))
        elif word in OWN_NAMES:
            levels.add(OWN_NAMES[word])
        elif word.isdigit():
            numbers.add(word.lstrip("0"))
        elif word in ORDINALS:
            numbers.add(str(ORDINALS.index(word) + 1))
        elif word in REGIONS:
            regions.add(REGIONS[word])
        elif word not in PLAIN_WORDS and word != "sacrum":
            strange = True
    if not levels:
        levels = {region + number for region in regions for number in numbers}
    if not levels and {"sacrum", "sacral"} & set(words):
        levels, regions = {"sacrum"}, regions - {"S"}
    if len(levels) != 1:
        return 0
    level = levels.pop()
    strange |= not (regions <= {level[0]} and numbers <= {level[1:]})
    return 0 if strange and not among_other_words else NAMED_LEVELS.get(level, 0)


def shortened(values: Iterable[str], most: int = 12) -> str:
    """The values for a message, the first `most` of them."""
    values = list(values)
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return ", ".join(values[:most]) + more


def _listed(text: str) -> frozenset[int]:
    """The numbers of "3,5,7-9"; none where the text is no such list."""
    if not re.fullmatch(r"[0-9]{1,5}(-[0-9]{1,5})?(,[0-9]{1,5}(-[0-9]{1,5})?)*", text.replace(" ", "")):
        return frozenset()
    numbers: set[int] = set()
    for part in text.replace(" ", "").split(","):
        low, _, high = part.partition("-")
        first, last = int(low), int(high or low)
        if not 1 <= first <= last <= LARGEST_NUMBER:
            return frozenset()
        numbers.update(range(first, last + 1))
    return frozenset(numbers)


def described(number: int, item: "Tags", names: list[str], types: str) -> Segment:
    """A segment whose sequence `types` says what it is; its AnatomicRegionSequence counts where that is unspecific."""
    codes = item.items(types)
    if all(_value(code) in UNSPECIFIC for code in codes):
        codes = codes + item.items("AnatomicRegionSequence")
    coded = next(filter(None, (_vertebra(code) for code in codes)), 0)
    meanings = [code.text("CodeMeaning") for code in codes]
    return Segment(number, tuple(name for name in (*names, *meanings) if name), coded)


def _vertebra(code: "Tags") -> int:
    scheme, value = code.text("CodingSchemeDesignator"), _value(code)
    known = SNOMED_CT if scheme == "SCT" else SNOMED_RT if scheme in ("SRT", "SNM3", "99SDM") else {}
    return NAMED_LEVELS.get(known.get(value, ""), 0)


def _value(code: "Tags") -> str:
    return code.text("CodeValue") or code.text("LongCodeValue")
