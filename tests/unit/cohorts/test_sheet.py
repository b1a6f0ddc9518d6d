"""The sheet of scans: what is written is read, and every fault names its row."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctstyle.cohorts.catalogue import list_scans
from ctstyle.cohorts.sheet import COLUMNS, BadSheet, Scan, read_sheet, sheet_frame

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,12}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters='"'), max_size=6)
scans = st.builds(
    Scan,
    scan=names,
    patient=names,
    cohort=st.just("") | names,
    series=texts.filter(bool),
    series_uid=st.sampled_from(["", "1.2.840.1"]),
    mask=st.just("") | st.just("m.nii.gz"),
    label_map=st.sampled_from(["totalsegmentator", "verse", "vertebrae", "name:vert*", "id:1-24,30"]),
    style_hint=texts,
    split_hint=st.sampled_from(["", "train", "val", "test"]),
    licence=st.sampled_from(["CC BY 3.0", "", "NA", "null"]),
)


@settings(max_examples=25)
@given(st.lists(scans, min_size=1, max_size=5, unique_by=lambda scan: scan.scan))
def test_round_trip(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("sheet") / "scans.tsv"
    sheet_frame(rows).to_csv(path, sep="\t", index=False)
    assert read_sheet(path) == rows


def test_the_frame_has_the_columns_of_the_design():
    named = "scan patient cohort series series_uid mask mask_uid label_map style_hint split_hint licence source_digest"
    assert " ".join(sheet_frame([]).columns) == named == " ".join(COLUMNS)


HEAD = "scan\tpatient\tseries\tmask\tlabel_map\tsplit_hint\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("scan\tpatient\n a\tb\n", "wrong columns"),
        ("scan\tpatient\tseries\tcolour\na\tb\tc\td\n", "wrong columns"),
        (HEAD, "no scan in it"),
        ("", "not a tab-separated table"),
        (HEAD + "a\tp\ts\t\t\t\na\tp\ts\t\t\t\n", r"scan 2: a scan is given twice \(found a"),
        (HEAD + "a b\tp\ts\t\t\t\n", "not a name .found scan 1: scan 'a b'"),
        (HEAD + "../a\tp\ts\t\t\t\n", "not a name .found scan 1: scan"),
        (HEAD + "a\t\ts\t\t\t\n", "not a name .found scan 1: patient ''"),
        (HEAD + "a\tp\t\t\t\t\n", "series is empty"),
        (HEAD + "a\tp\ts\tm\t\t\n", "a mask without its label_map"),
        (HEAD + "a\tp\ts\tm\tverze\t\n", "unknown label_map .found verze"),
        (HEAD + "a\tp\ts\tm\tid:5-2\t\n", "scan 1: malformed label_map .found id:5-2, expected id: and whole numbers"),
        (
            HEAD + "a\tp\ts\tm\tverse\t\nb\tp\ts\tm\tname:\t\n",
            "scan 2: malformed label_map .found name:, expected name:",
        ),
        (HEAD + "a\tp\ts\t\t\tTEST\n", "unknown split_hint"),
    ],
)
def test_faults_name_their_place(tmp_path, text, words):
    path = tmp_path / "scans.tsv"
    path.write_text(text)
    with pytest.raises(BadSheet, match=words) as caught:
        read_sheet(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "odd", ["DOE JOHN", "a/b", "../a", "-a", "a:b", "a\x1b[2Kb", "ä", "<slices>", "a" * 65, "{a}", ".a"]
)
def test_unusual_names_of_scans_patients_and_cohorts_are_told_together(tmp_path, odd):
    path = tmp_path / "scans.tsv"
    path.write_text(f"scan\tpatient\tcohort\tseries\na\tp\t{odd}\ts\n{odd}\tp\t\ts\n{'c' * 64}\t{odd}\t\ts\n")
    with pytest.raises(BadSheet) as caught:
        read_sheet(path)
    assert caught.value.found == f"scan 1: cohort {odd!r}, scan 2: scan {odd!r}, scan 3: patient {odd!r}"
    assert "\x1b" not in str(caught.value)


def test_comments_and_missing_optional_columns(tmp_path):
    path = tmp_path / "scans.tsv"
    path.write_text("# my scans\nscan\tpatient\tseries\na\tp\t/data/a\n")
    assert read_sheet(path) == [Scan(scan="a", patient="p", series="/data/a")]
    with pytest.raises(BadSheet, match="no such sheet"):
        read_sheet(tmp_path / "none.tsv")


def test_scans_without_a_cohort_belong_to_the_sheet(tmp_path):
    path = tmp_path / "scans.tsv"
    path.write_text("scan\tpatient\tcohort\tseries\na\tp\t\ts\nb\tq\tmine\ts\n")
    assert list_scans({"cohorts": ["sheet"], "sheet": str(path)}, "", tmp_path)["cohort"].tolist() == ["sheet", "mine"]
