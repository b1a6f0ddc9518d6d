"""Names, codes and label maps against the dictionaries of DICOM and the ways people write vertebrae."""

import numpy as np
import pytest
from pydicom.sr._snomed_dict import mapping
from pydicom.sr.codedict import codes

from ctstyle.ct.anatomy import SEGMENTS as WRITTEN
from ctstyle.ct.anatomy import SNOMED_CT, SNOMED_RT, VERTEBRA_NAMES
from ctstyle.ct.labels import LabelMap, Segment, UnknownLabels, segment_label


def test_codes_are_those_of_the_standard():
    vertebrae = {code.value: code.meaning.split()[0] for code in codes.cid7603.concepts.values()}
    vertebrae |= {codes.SCT.C1Vertebra.value: "C1", codes.SCT.Sacrum.value: "sacrum"}
    assert len(vertebrae) == 25
    assert vertebrae == SNOMED_CT
    assert {mapping["SRT"][code]: level for code, level in SNOMED_RT.items()} == vertebrae


def test_segments_are_written_with_codes_of_their_own():
    assert set(WRITTEN) == {"", *VERTEBRA_NAMES.values()}
    assert {code for _, code, _ in WRITTEN.values()} == {*SNOMED_CT, "51282000", "65985001"}
    assert {mapping["SRT"].get(code) for code in ("T-11510",)} == {WRITTEN[""][1]}
    for name in set(WRITTEN) - {"", "S1", "sacrum"}:
        assert WRITTEN[name][2] == getattr(codes.SCT, f"{name}Vertebra").meaning


LEVELS = {
    "T12": "T12 vertebra|Twelfth thoracic vertebra|vertebrae_T12|Thoracic vertebra 12|Th12|TH 12|BWK12|12th thoracic "
    "vertebra|D12|Twelfth thoracic vertebra (T12)|VertebraT12|t012|Structure of twelfth thoracic vertebra|T13",
    "L3": "L3|Lumbar vertebra 3|third lumbar vertebra|3rd lumbar vertebra|lwk 3|vertebra L3 body|L-3|seg_L3|Vertebra: "
    "L3",
    "C1": "Atlas|C1 (atlas)|first cervical vertebra|HWK 1",
    "C2": "Axis vertebra|C2",
    "sacrum": "Sacrum|sacral bone|S3|Sacrum bone structure",
    "S1": "S1|first sacral vertebra|vertebrae_S1",
    "L5": "L5|L6",
    "": "L|Lung L|rib_left_5|Rib L5|T12-L1|L3/L4 disc|Intervertebral disc structure of third lumbar vertebra|PTV_L3|L3 "
    "metastasis|Lumbar spine|L9|C8|T1 T2|L3 2|segment 3|Segment_1|vertebra|12|L3 nerve root|S6||T" + 9 * "9",
}


@pytest.mark.parametrize(
    ("name", "level"), [(name, level) for level, names in LEVELS.items() for name in names.split("|")]
)
def test_names_people_write(name, level):
    assert VERTEBRA_NAMES.get(segment_label(name), "") == level


def test_a_name_that_was_chosen_may_hold_other_words():
    mentioned = {"PTV_L3": "L3", "L3 metastasis 2": "L3", "T12-L1": "", "Vértebra L2": "L2"}
    for name, level in mentioned.items():
        assert VERTEBRA_NAMES.get(segment_label(name, among_other_words=True), "") == level
        assert segment_label(name) == 0


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("id:1-3", {1, 2, 3}), ("id:3,5,7-9", {3, 5, 7, 8, 9}), (" id: 4 , 6-6", {4, 6}), ("id:9", {9})],
)
def test_lists_of_numbers(text, numbers):
    label_map = LabelMap.parse(text)
    assert label_map.numbers == numbers
    assert np.flatnonzero(label_map.number_table()).tolist() == sorted(numbers)
    assert LabelMap.parse(str(label_map)) == label_map


@pytest.mark.parametrize(
    ("text", "words"),
    [
        *((text, "malformed label_map .*found id.*id:1-24") for text in ("id:", "id:a", "id:3-1", "id:0", "id:1,,2")),
        *((text, "malformed label_map .*found id") for text in ("id:1-", "id:-3", "id:1.5", "id:65536", "id:1;2")),
        *((text, r"malformed label_map .*name:vertebra\*") for text in ("name:", "name:  ", "name")),
        *(
            (text, "unknown label_map .*name:PATTERN or id:NUMBERS")
            for text in ("", "verze", "Name:L*", "verse:1", "L*")
        ),
    ],
)
def test_malformed_maps(text, words):
    with pytest.raises(UnknownLabels, match=words) as caught:
        LabelMap.parse(text, where="sheet.tsv")
    assert str(caught.value).startswith("sheet.tsv: ")


SEGMENTS = [
    Segment(1, ("vertebra a", "Vertebra")),
    Segment(2, ("Vertebra L2 lytic",)),
    Segment(3, ("Left one",), coded=50),
    Segment(4, ("liver", "Liver")),
]


@pytest.mark.parametrize(
    ("label_map", "labels"),
    [
        ("totalsegmentator", {3: 50}),
        ("verse", {3: 50}),
        ("vertebrae", {1: 255, 2: 255, 3: 255, 4: 255}),
        ("name:VERTEBRA*", {1: 255, 2: 30}),
        ("name:*", {1: 255, 2: 30, 3: 50, 4: 255}),
        ("name:l[ei]*", {3: 50, 4: 255}),
        ("id:2-3,9", {2: 255, 3: 255}),
    ],
)
def test_what_maps_make_of_segments(label_map, labels):
    assert LabelMap.parse(label_map).segment_labels(SEGMENTS, where="seg", told_by="SegmentLabel") == labels


def test_maps_that_match_nothing_say_what_there_is():
    with pytest.raises(UnknownLabels, match=r"found vertebra a / Vertebra, .*, liver / Liver, expected .*name:PATTERN"):
        LabelMap.parse("name:bone*").segment_labels(SEGMENTS, where="seg", told_by="SegmentLabel")
    with pytest.raises(UnknownLabels, match=r"found 1, 2, 3, 4, expected .*id:7,8"):
        LabelMap.parse("id:7-8").segment_labels(SEGMENTS, where="seg", told_by="SegmentLabel")
    with pytest.raises(UnknownLabels, match="found no segment"):
        LabelMap.parse("vertebrae").segment_labels([], where="seg", told_by="SegmentLabel")


def test_names_and_codes_that_contradict_each_other():
    twice = [Segment(1, ("L2 vertebra", "L1 vertebra"), coded=31)]
    with pytest.raises(UnknownLabels, match=r"segment 1 is called one vertebra .*L2 vertebra / L1 vertebra: L2, L1"):
        LabelMap.parse("verse").segment_labels(twice, where="seg", told_by="SegmentLabel")
    assert LabelMap.parse("name:*").segment_labels(twice, where="seg", told_by="SegmentLabel") == {1: 30}
    sacrum = [Segment(1, ("S1", "Sacrum"), coded=25)]
    assert LabelMap.parse("verse").segment_labels(sacrum, where="seg", told_by="SegmentLabel") == {1: 26}
    with pytest.raises(UnknownLabels, match="two segments share one number"):
        LabelMap.parse("verse").segment_labels(sacrum * 2, where="seg", told_by="SegmentLabel")


def test_a_segment_with_a_level_that_is_passed_over_is_logged(caplog):
    LabelMap.parse("totalsegmentator").segment_labels(SEGMENTS, where="seg.dcm", told_by="SegmentLabel")
    assert [record.message for record in caplog.records] == [
        "seg.dcm: segment Vertebra L2 lytic is not taken as a vertebra"
    ]
