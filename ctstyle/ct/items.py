"""Values of DICOM items that may be damaged: a value of the right kind, nothing, or a named error.

pydicom parses values when they are asked for, so damage shows anywhere and as many kinds of exception.
"""

from dataclasses import dataclass

import numpy as np
import pydicom

from ctstyle.ct import header
from ctstyle.ct.geometry import tag_name
from ctstyle.ct.index import DicomFile, TruncatedFile
from ctstyle.errors import Fact

DAMAGE = (*header.DAMAGE, ArithmeticError, OSError, RuntimeError)
"""What pydicom and its decoders raise on damaged values (their sub-classes among them)."""


@dataclass(frozen=True)
class Item:
    """A data set of a file, or an item of one of its sequences."""

    file: DicomFile
    dataset: pydicom.Dataset

    def value(self, keyword: str) -> object:
        """The value of a tag, None where it is missing or empty. Raises TruncatedFile where it cannot be parsed."""
        try:
            return self.dataset.get(keyword)
        except DAMAGE as error:
            raise damaged(self.file, keyword, f"{type(error).__name__}: {error}") from error

    def items(self, keyword: str) -> list["Item"]:
        """The items of a sequence, none where it is missing."""
        value = self.value(keyword)
        if not value:
            return []
        if not isinstance(value, pydicom.Sequence):
            raise damaged(self.file, keyword, Fact("no sequence"))
        return [Item(self.file, dataset) for dataset in value]

    def text(self, keyword: str) -> str:
        """The value as text without blanks around it, "" where it is missing."""
        value = self.value(keyword)
        return "" if value is None else str(value).strip()

    def numbers(self, keyword: str, count: int) -> np.ndarray | None:
        """Exactly `count` finite float64 values, or None."""
        value = self.value(keyword)
        values = value if isinstance(value, pydicom.multival.MultiValue | list | tuple) else [value]
        try:
            array = np.array([float(entry) for entry in values])
        except (TypeError, ValueError):
            return None
        return array if array.size == count and np.isfinite(array).all() else None

    def whole(self, keyword: str) -> int | None:
        """A whole number, or None."""
        value = self.numbers(keyword, 1)
        return int(value[0]) if value is not None and value[0] == int(value[0]) else None


def damaged(file: DicomFile, keyword: str, found: str) -> TruncatedFile:
    """The error for a value that cannot be parsed."""
    return TruncatedFile(
        f"a damaged value; {tag_name(keyword)}",
        where=file.name,
        found=found,
        expected="a value as DICOM PS3.5 writes it",
        fix="Copy or export the file again.",
    )
