"""On what a run was made: packages, Python, processor, card, commit, and the whole config."""

import html
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import yaml

STYLE = (
    "body{font-family:sans-serif;margin:1.5em;max-width:60em}table{border-collapse:collapse}"
    "td{padding:.15em 1em .15em 0;border-bottom:1px solid #ddd;vertical-align:top}pre{background:#f4f4f4;padding:1em}"
)


def environment(config: Mapping[str, Any]) -> dict[str, Mapping[str, str] | str]:
    """The facts by heading: machine, code, packages, and the config as YAML. No host or user name is among them.

    Paths of the config under the home folder begin with `~`.
    """
    written = yaml.safe_dump(dict(config), sort_keys=False, default_flow_style=None, width=110)
    home = re.compile(rf"(?<![\w.-]){re.escape(str(Path.home()))}(?![\w.-])")
    packages = {one.metadata["Name"]: one.version for one in distributions()}
    return {
        "Machine": {
            "system": f"{platform.system()} {platform.release()}",
            "processor": _processor(),
            "cores": str(os.cpu_count()),
            "graphics card": _card(),
        },
        "Code": {"python": platform.python_version(), "git commit": _commit(Path(__file__).parent)},
        "Packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
        "Config": home.sub("~", written) if len(Path.home().parts) > 1 else written,
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


def _processor() -> str:
    """The processor's name where the system tells it, else its architecture."""
    told = Path("/proc/cpuinfo")
    names = (
        [line.partition(":")[2].strip() for line in told.read_text().splitlines() if line.startswith("model name")]
        if told.is_file()
        else []
    )
    return names[0] if names else platform.machine()


def _card() -> str:
    """The graphics cards that the driver names; "none" without a driver."""
    try:
        asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        return ", ".join(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split("\n")[:-1])
    except (OSError, subprocess.CalledProcessError):
        return "none"


def _commit(folder: Path) -> str:
    """The commit of the code, with a word if files were changed since; "unknown" outside a clone."""
    try:
        ask = ["git", "-C", str(folder)]
        commit = subprocess.run([*ask, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*ask, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + (", with changes" if changed.strip() else "")
