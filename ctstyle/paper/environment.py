"""On what a run was made: packages, Python, processor, card, commit, and the config."""

import html
import os
import platform
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import yaml

from ctstyle.provenance.machine import cards, commit_of, processor

STYLE = (
    "body{font-family:sans-serif;margin:1.5em;max-width:60em}table{border-collapse:collapse}"
    "td{padding:.15em 1em .15em 0;border-bottom:1px solid #ddd;vertical-align:top}pre{background:#f4f4f4;padding:1em}"
)


def environment(config: Mapping[str, Any]) -> dict[str, Mapping[str, str] | str]:
    """The facts by heading: machine, code, packages, and the config (`schema.public`) as YAML. No host or user name is
    among them."""
    written = yaml.safe_dump(dict(config), sort_keys=False, default_flow_style=None, width=110)
    commit, changed = commit_of(Path(__file__).parents[2])
    packages = {one.metadata["Name"]: one.version for one in distributions()}
    return {
        "Machine": {
            "system": f"{platform.system()} {platform.release()}",
            "processor": processor(),
            "cores": str(os.cpu_count()),
            "graphics cards": cards()[0],
        },
        "Code": {"python": platform.python_version(), "git commit": commit + (", with changes" if changed else "")},
        "Packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
        "Config": written,
    }


def to_html(facts: Mapping[str, Mapping[str, str] | str]) -> str:
    """One page without scripts or links."""
    parts = ["<!DOCTYPE html>", '<html lang="en"><head><meta charset="utf-8"><title>Environment and config</title>']
    parts.append(f"<style>{STYLE}</style></head><body>")
    for heading, content in facts.items():
        parts.append(f"<h2>{html.escape(heading)}</h2>")
        if isinstance(content, str):
            parts.append(f"<pre>{html.escape(content)}</pre>")
        else:
            rows = (f"<tr><td>{html.escape(k)}</td><td>{html.escape(v)}</td></tr>" for k, v in content.items())
            parts.append(f"<table>{''.join(rows)}</table>")
    return "\n".join([*parts, "</body></html>"]) + "\n"
