"""The one shape of every error a user can cause: where, what, found, expected, and the way out."""

from numbers import Number

WITHHELD = "a value that is not written down"


class Fact(str):
    """A text of our own words and numbers, in which nothing was read from a file, a path or a config."""


class CTStyleError(Exception):
    """An error that a user can cause and mend.

    `where` is the file or config key, `what` the fault in a few words, `found` and `expected` the two sides of it and
    `fix` the way out. The message holds all of them on one line, so that it can be read in a cluster's log. Signs that
    move a terminal's cursor become question marks, as names and texts of a file may be anybody's.

    `what`, `expected` and `fix` are our own words. `where` and `found` may name a patient, so they stay on the terminal
    and in the log: what is written down takes `public`, which keeps of both numbers and Facts alone.
    """

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        found: object = None,
        expected: object = None,
        fix: str | None = None,
    ):
        self.what, self.where, self.found, self.expected, self.fix = what, where, found, expected, fix
        super().__init__(self._message(where, found))

    @property
    def public(self) -> str:
        """The message for records, reasons and reports: no path and no text of a file is in it."""
        where = self.where if _is_known(self.where) else None
        found = self.found if self.found is None or _is_known(self.found) else WITHHELD
        return self._message(where, found)

    def _message(self, where: object, found: object) -> str:
        message = f"{where}: {self.what}" if where is not None else self.what
        sides = (("found", found), ("expected", self.expected))
        details = [f"{name} {value}" for name, value in sides if value is not None]
        if details:
            message += f" ({', '.join(details)})"
        message = f"{message}. {self.fix}" if self.fix else message
        return "".join(sign if sign.isprintable() else " ?"[sign != "\n"] for sign in message)


def _is_known(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_known, value))
    return isinstance(value, Fact | Number)
