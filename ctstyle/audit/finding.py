"""What an audit says: one fault, one warning, or one thing that could not be looked at."""

from dataclasses import dataclass

BROKEN, WARNING, UNVERIFIED = "broken", "warning", "not verified"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """`check` that spoke, `file` it speaks of, `what` is wrong, both sides of it and `fix`, the way out.

    `severity` is BROKEN (the results do not hold), WARNING (they hold, but look) or UNVERIFIED (nobody could look).
    """

    check: str
    file: str
    what: str
    found: str = ""
    expected: str = ""
    fix: str = ""
    severity: str = BROKEN

    def line(self) -> str:
        """All of it on one line."""
        sides = [f"{name} {text}" for name, text in (("found", self.found), ("expected", self.expected)) if text]
        told = f"{self.severity}: {self.check}: {self.file}: {self.what}" + (f" ({', '.join(sides)})" if sides else "")
        return f"{told}. {self.fix}" if self.fix else told


def short(digest: str | None) -> str:
    """The first 12 digits of a digest, as captions print it."""
    return "nothing" if digest is None else digest[:12]


def some(names: list[str], *, most: int = 5) -> str:
    """The first names of a list and how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
