"""The licence of a public cohort: said in the log, and stored beside the data."""

import logging
from dataclasses import dataclass

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Licence:
    """Name and address of a licence, who is to be named, and what was done to the files."""

    name: str
    url: str
    attribution: str
    changes: str = "none, the files are those of the publisher."

    def announce(self, address: str) -> bytes:
        """Say what is fetched from `address` and under which terms; the bytes of LICENCE.txt, whatever the address."""
        log.info("%s, %s (%s), from %s", self.attribution, self.name, self.url, address)
        return f"{self.attribution}\nLicence: {self.name}, {self.url}\nChanges: {self.changes}\n".encode()
