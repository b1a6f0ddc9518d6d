"""The one shape of every error a user can cause: where, what, found, expected, and the way out."""


class CTStyleError(Exception):
    """An error that a user can cause and mend.

    `where` is the file or config key, `what` the fault in a few words, `found` and `expected` the two sides of it and
    `fix` the way out. The message holds all of them on one line, so that it can be read in a cluster's log.
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
        message = f"{where}: {what}" if where is not None else what
        details = [f"{name} {value}" for name, value in (("found", found), ("expected", expected)) if value is not None]
        if details:
            message += f" ({', '.join(details)})"
        super().__init__(f"{message}. {fix}" if fix else message)
