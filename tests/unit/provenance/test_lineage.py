"""From a table to its sources: the whole chain, and an error where the chain is broken."""

import pytest

from ctstyle.provenance.lineage import BrokenLineage, lineage_of, load_records, row_origins, short
from ctstyle.provenance.record import write_record

TABLE = "results/paper/tables/table2.csv"


def _record(rule, made, read, finished="2026-11-23T04:00:00Z", **wildcards):
    """A record of which only names and digests matter; `made` and `read` are names with their digests."""
    return {
        "subject": [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in made.items()],
        "predicate": {
            "buildDefinition": {
                "externalParameters": {"rule": rule, "wildcards": wildcards},
                "resolvedDependencies": [
                    *({"name": "input:x", "uri": name, "digest": {"sha256": sha256}} for name, sha256 in read.items()),
                    {"name": "code:ctstyle/run/fit.py", "uri": "code:ctstyle/run/fit.py", "digest": {"sha256": "0"}},
                    {"name": "git", "uri": "git:HEAD", "digest": {"gitCommit": "0"}},
                ],
            },
            "runDetails": {"metadata": {"invocationId": f"{rule}{sorted(wildcards.values())}", "finishedOn": finished}},
        },
    }


def _metric(arm, seed):
    return f"results/metrics/segmentation/{arm}-seed{seed}.tsv"


@pytest.fixture
def chain():
    """source -> slices -> metrics of two arms and two seeds -> table; and a job that has no part in it."""
    cases = [(arm, seed) for arm in ("ours", "plain") for seed in ("0", "1")]
    return [
        _record("cut_scan", {"results/a.npy": "1"}, {"source:sheet/a": "5"}, scan="a"),
        *(_record("score", {_metric(*case): "2"}, {"results/a.npy": "1"}, arm=case[0], seed=case[1]) for case in cases),
        _record("make_table2", {TABLE: "3"}, {_metric(*case): "2" for case in cases}),
        _record("draw_figure4", {"results/figure4.png": "4"}, {"results/a.npy": "1"}),
    ]


def test_all_jobs_and_sources_above_a_table_and_no_others(chain):
    told = lineage_of(TABLE, chain)
    assert (told["table"], told["sha256"], told["lineage"]) == (TABLE, "3", "make_table2[]")
    assert [job["rule"] for job in told["jobs"]] == ["cut_scan", "make_table2", *["score"] * 4]
    assert told["sources"] == [{"name": "source:sheet/a", "sha256": "5"}]


def test_each_row_names_its_own_metric_files(chain):
    rows = [{"arm": "ours"}, {"arm": "plain", "seed": 1.0, "slices": 40}, {"arm": "oracle"}]
    assert lineage_of(TABLE, chain, rows=rows)["rows"] == [
        {"row": {"arm": "ours"}, "from": [_metric("ours", 0), _metric("ours", 1)]},
        {"row": {"arm": "plain", "seed": "1", "slices": "40"}, "from": [_metric("plain", 1)]},
        {"row": {"arm": "oracle"}, "from": []},
    ]


def test_a_file_that_shares_no_label_is_no_origin_of_a_row():
    files = {"a.tsv": {"model": "ours", "seed": "0"}, "classifier.json": {"encoder": "vgg16"}}
    assert row_origins([{"model": "ours"}], files) == [{"row": {"model": "ours"}, "from": ["a.tsv"]}]


def test_a_result_made_anew_after_its_use_breaks_the_lineage(chain):
    chain[0] = _record("cut_scan", {"results/a.npy": "9"}, {"source:sheet/a": "5"}, scan="a")
    with pytest.raises(BrokenLineage, match=r"results/a\.npy: the file was made anew"):
        lineage_of(TABLE, chain)


def test_a_result_without_a_record_breaks_the_lineage(chain):
    with pytest.raises(BrokenLineage, match=r"results/a\.npy: no record made this file"):
        lineage_of(TABLE, chain[1:])
    with pytest.raises(BrokenLineage, match="table2"):
        lineage_of(TABLE, chain[:1])


def test_of_two_records_the_later_with_the_right_digest_counts(chain):
    old = _record("old_cut", {"results/a.npy": "7"}, {}, finished="2027-01-01T00:00:00Z")
    older = _record("older_cut", {"results/a.npy": "1"}, {}, finished="2020-01-01T00:00:00Z")
    assert lineage_of(TABLE, [old, older, *chain]) == lineage_of(TABLE, chain)


def test_records_are_read_by_name_and_a_damaged_one_is_told(tmp_path, chain):
    write_record(tmp_path / "cut_scan" / "a.json", chain[0])
    assert load_records(tmp_path) == {"results/provenance/records/cut_scan/a.json": chain[0]}
    (tmp_path / "cut_scan" / "b.json").write_text('{"half": ')
    with pytest.raises(BrokenLineage, match=r"b\.json"):
        load_records(tmp_path)


def test_a_record_that_goes_while_others_are_read_is_that_of_a_job_made_anew(tmp_path, chain):
    write_record(tmp_path / "cut_scan" / "a.json", chain[0])
    (tmp_path / "cut_scan" / "b.json").symlink_to(tmp_path / "gone.json")  # listed, and not there when it is opened
    assert load_records(tmp_path) == {"results/provenance/records/cut_scan/a.json": chain[0]}


def test_captions_show_twelve_digits():
    assert short("0123456789abcdef" * 4) == "0123456789ab"
