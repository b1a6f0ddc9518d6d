"""Validate a crate with roc-validator without a network: `python validate.py <folder>`, in the validator's environment.

The two contexts come from the files beside this one; every other address is answered as missing. Prints one line per
broken REQUIRED check, and the number of checks that were made.
"""

import sys
from pathlib import Path

import requests
from rocrate_validator import models, services
from rocrate_validator.utils.http import HttpRequester

HERE = Path(__file__).parent
CONTEXTS = {
    "https://w3id.org/ro/crate/1.1/context": HERE / "ro-crate-1.1.json",
    "https://w3id.org/ro/terms/workflow-run/context": HERE / "workflow-run.json",
}


def served(self: HttpRequester, url: str, **options: object) -> requests.Response:
    """The answer to a request: a local context, or 404."""
    response = requests.Response()
    response.url, response.status_code = url, 200 if url in CONTEXTS else 404
    response.headers["Content-Type"] = "application/ld+json"
    response._content = CONTEXTS[url].read_bytes() if url in CONTEXTS else b""
    return response


def main(folder: str) -> int:
    """1 if a REQUIRED check of Provenance Run Crate 0.5, or of a profile that it builds on, is broken."""
    HttpRequester.get = HttpRequester.fetch_fresh = served
    settings = services.ValidationSettings(
        rocrate_uri=folder,
        profile_identifier="provenance-run-crate-0.5",
        requirement_severity=models.Severity.REQUIRED,
        no_cache=True,
    )
    result = services.validate(settings)
    for issue in result.get_issues(models.Severity.REQUIRED):
        print(issue.check.identifier, issue.message)
    print(f"{len(result.executed_checks)} checks")
    return 0 if result.passed(models.Severity.REQUIRED) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
