"""One scan of a cohort, without the table of them: jobs that draw and scan patients need no pandas."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Scan:
    """One scan; every field a string, empty where unknown.

    `scan` (unique) and `patient` are pseudonyms; `cohort` the source; `series` the folder, zip or volume file of the
    CT, and `series_uid` which of several series there (empty: the only one); `mask` the place of the vertebra labels
    (empty: none), `mask_uid` the SOP instance among several there, and `label_map` their meaning (as
    `dicom.labels.LabelMap.parse` reads it); `style_hint` what is known of the grey scale; `split_hint` "", "train",
    "val" or "test"; `licence`; `source_digest` the digest of what was downloaded or "".
    """

    scan: str
    patient: str
    cohort: str = ""
    series: str
    series_uid: str = ""
    mask: str = ""
    mask_uid: str = ""
    label_map: str = ""
    style_hint: str = ""
    split_hint: str = ""
    licence: str = ""
    source_digest: str = ""
