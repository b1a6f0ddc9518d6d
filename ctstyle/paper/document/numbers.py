"""Which numbers a text says, and which of them come from nowhere.

The paper's prose may say no number of its own: each is a value of the config, a fact of the run, a constant of the code
or a cell of a table. Exempt are digits inside names (VGG19, relu4_1, LIDC-IDRI-0001), DOIs, the numbers of figures,
tables, sections, equations and errata, formulas, and the list of references.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

REFERENCES = ("// references", "// end of references")
"""The lines between which the bibliography stands."""

_DOI = re.compile(r"10\.\d{4,9}/\S+")
_COUNTED = r"(?:Fig(?:ure)?s?|Tables?|Sections?|[Ee]quations?|[Ee]rratum|[Ee]rrata)"
_REFERENCE = re.compile(rf"\b{_COUNTED}[ ~]\d+(?:(?:, | to | and )\d+)*")
_NUMBER = re.compile(r"(?<![\w.])(?<![A-Za-z]-)[-−+]?\d+(?:\.\d+)?(?:e[-+−]?\d+)?(?!\w)")
_UNSEEN = (
    re.compile(rf"^{REFERENCES[0]}$.*?^{REFERENCES[1]}$", re.DOTALL | re.MULTILINE),
    re.compile(r"^\s*//.*$", re.MULTILINE),
    re.compile(r"(?<!\\)\$.*?(?<!\\)\$", re.DOTALL),
)


def numbers_in(text: str) -> tuple[str, ...]:
    """The numbers a reader of `text` sees, in order, with `-` as the sign of negative ones."""
    text = _REFERENCE.sub(" ", _DOI.sub(" ", text))
    return tuple(found.replace("−", "-") for found in _NUMBER.findall(text))


def prose(source: str) -> str:
    """What a Typst text says, without comments, formulas and references, its escapes undone."""
    text = source
    for unseen in _UNSEEN:
        text = unseen.sub(" ", text)
    return re.sub(r"\\([^A-Za-z0-9\s])", r"\1", text)


def typed_numbers(template: str) -> tuple[str, ...]:
    """The numbers typed into a Jinja text source: those outside its placeholders. There should be none."""
    return numbers_in(prose(re.sub(r"{{.*?}}|{%.*?%}|{#.*?#}", " ", template, flags=re.DOTALL)))


def unexplained_numbers(source: str, *origins: Any) -> tuple[str, ...]:
    """The numbers of a Typst text that no value and no string of `origins` (nested as you like) holds."""
    known = {_value(number) for origin in origins for number in _said(origin)}
    return tuple(number for number in numbers_in(prose(source)) if _value(number) not in known)


def _value(number: str) -> float:
    return float(number)


def _said(origin: Any) -> Iterable[str]:
    """All numbers in a nested value: leaves, keys, and numbers inside strings."""
    if isinstance(origin, Mapping):
        for key, value in origin.items():
            yield from _said(str(key))
            yield from _said(value)
    elif isinstance(origin, str):
        yield from numbers_in(origin)
    elif isinstance(origin, int | float) and not isinstance(origin, bool):
        yield repr(origin)
    elif isinstance(origin, Iterable):
        for value in origin:
            yield from _said(value)
