"""The page on what a run was made: true versions, the whole config, and nothing that names a machine or a person."""

import getpass
import html
import platform
import re
import socket
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from ctstyle.paper.environment import environment, to_html

CONFIG = {
    "cohorts": ["phantom", "lidc0001"],
    "slices": {"window_hu": [-250, 750], "spacing_mm": 2.0, "orientation": "axial"},
    "encoders": {"file": {"path": None, "sha256": None}, "main": {"name": "vgg19"}},
    "empty": {},
    "note": "grey < white & 'black' " + "is a long text " * 20,
    "alphas": [0, 0.25, 1],
    "on": True,
}


class Words(HTMLParser):
    """The text of a page, and the names of its tags."""

    def __init__(self, page: str):
        super().__init__()
        self.words, self.tags = [], []
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)


def test_installed_packages_are_named_with_their_versions():
    packages = environment(CONFIG)["Packages"]
    for name in ("torch", "torchvision", "numpy", "pandas", "snakemake", "matplotlib"):
        assert packages[name] == version(name)
    assert list(packages) == sorted(packages, key=str.lower)


def test_python_and_system_are_those_that_run():
    facts = environment(CONFIG)
    assert facts["Code"]["python"] == ".".join(platform.python_version_tuple())
    assert facts["Machine"]["system"].startswith(platform.system())
    assert re.fullmatch(r"[0-9a-f]{40}(, with changes)?|unknown", facts["Code"]["git commit"])


def test_the_config_reads_back_equal_in_its_own_order():
    back = yaml.safe_load(environment(CONFIG)["Config"])
    assert back == CONFIG and list(back) == list(CONFIG)


def test_the_quick_runs_config_reads_back_equal(root):
    config = yaml.safe_load((root / "config" / "config.yaml").read_text())
    assert yaml.safe_load(environment(config)["Config"]) == config


@pytest.fixture
def elsewhere(monkeypatch):
    """As seen by a user, a machine and a home folder whose names cannot stand in the page by chance."""
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(variable, "annaqvist")
    monkeypatch.setenv("HOME", "/clinic/annaqvist")
    monkeypatch.setenv("HOSTNAME", "ct-archive-17")
    known = platform.uname()
    monkeypatch.setattr(platform, "uname", lambda: known._replace(node="ct-archive-17"))
    monkeypatch.setattr(socket, "gethostname", lambda: "ct-archive-17")
    assert (platform.node(), getpass.getuser(), str(Path.home())) == (
        "ct-archive-17", "annaqvist", "/clinic/annaqvist",
    )  # fmt: skip


@pytest.mark.usefixtures("elsewhere")
def test_neither_host_nor_user_nor_a_path_is_on_the_page(root):
    page = to_html(environment(CONFIG))
    assert "ct-archive-17" not in page and "annaqvist" not in page and str(root) not in page


def test_the_page_escapes_what_html_would_read():
    page = to_html({"<b>Title</b>": {"<i>": "a < b & c"}, "Config": "x: <script>alert(1)</script>"})
    read = Words(page)
    assert {"b", "i", "script"}.isdisjoint(read.tags)
    assert {"<b>Title</b>", "<i>", "a < b & c", "x: <script>alert(1)</script>"} <= set(read.words)
    assert html.escape("a < b & c") in page


def test_the_page_shows_every_fact_and_links_to_nothing():
    facts = environment(CONFIG)
    read = Words(to_html(facts))
    assert {*facts, *facts["Machine"], facts["Config"], *facts["Packages"]} <= set(read.words)
    assert {"a", "script", "link", "img"}.isdisjoint(read.tags)
