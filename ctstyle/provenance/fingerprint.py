"""The digests that a record's job is known by. The audit computes them anew: the standard library alone is needed."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any


def fingerprint(
    rule: str, wildcards: Mapping[str, str], params: Mapping[str, Any], inputs: Iterable[tuple[str, str, str]]
) -> str:
    """SHA-256 over what decides a job's result: rule, wildcards, params (the code digest among them) and inputs.

    All are JSON types. `inputs` are (key of the rule, public name, SHA-256); their order does not matter. No time and
    no path of the machine enters, so the same work has the same fingerprint on every run and machine.
    """
    known = {"rule": rule, "wildcards": wildcards, "params": params, "inputs": sorted(list(one) for one in inputs)}
    return hashlib.sha256(json.dumps(known, sort_keys=True, allow_nan=False).encode()).hexdigest()


def listing_digest(files: Iterable[tuple[str, str]]) -> str:
    """SHA-256 of the listing of (name, SHA-256) of files as `sha256sum` prints it, sorted by name."""
    return hashlib.sha256("".join(f"{sha256}  {name}\n" for name, sha256 in sorted(files)).encode()).hexdigest()
