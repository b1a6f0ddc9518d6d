"""What a reader cites: the software and the paper whose method it rebuilds."""

import tomllib

import yaml


def test_citation_names_software_and_paper(root):
    citation = yaml.safe_load((root / "CITATION.cff").read_text())
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert citation["cff-version"] == "1.2.0"
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    (paper,) = citation["references"]
    assert paper["doi"] == "10.1186/s13673-020-00251-9"
    assert [author["family-names"] for author in paper["authors"]] == ["Xu", "Li", "Shin"]


def test_licence_is_mit(root):
    text = (root / "LICENSE").read_text()
    assert text.startswith("MIT License") and "The ctstyle developers" in text
