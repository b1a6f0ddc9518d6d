"""Networks that have seen virtual patients alone, on real CT of three makers and formats: what Table 2 says of them."""

import pandas as pd
import pytest
import yaml

from ctstyle.cohorts.sheet import Scan, sheet_frame

REAL = {
    "siemens": ("siemens_br38f_t11_t12/dicom", "siemens_br38f_t11_t12/vertebrae_mask_on_dicom_grid.nii.gz"),
    "lumbar": ("lumbar_3mm_nifti/example_ct.nii.gz", "lumbar_3mm_nifti/vertebrae_S1-T11.nii.gz"),
    "crop": ("l3_crop_nifti/sub-ct_label-22_ct.nii.gz", "l3_crop_nifti/sub-ct_seg-vert_label-22_msk.nii.gz"),
}


@pytest.mark.slow
def test_phantoms_train_and_real_scans_are_scored(workflow, root, shared_data, tmp_path):
    scans = [
        Scan(
            scan=name,
            patient=name,
            cohort="shared",
            series=str(shared_data / series),
            mask=str(shared_data / mask),
            label_map="verse" if name == "crop" else "totalsegmentator",
            split_hint="test",
        )
        for name, (series, mask) in REAL.items()
    ]
    sheet_frame(scans).to_csv(tmp_path / "scans.tsv", sep="\t", index=False)
    own = yaml.safe_load((root / "tests" / "config" / "tiny.yaml").read_text())
    own |= {"pathvars": {"results": "results/real"}, "cohorts": ["phantom", "sheet"]}
    own |= {"sheet": str(tmp_path / "scans.tsv"), "exports": {"formats": []}}
    own["transfer"]["models"] = ["ours"]
    own["segment"]["arms"] = ["plain", "ours", "transductive"]
    (tmp_path / "real.yaml").write_text(yaml.safe_dump(own))

    done = workflow.run("results/real/paper/tables/table2.csv", "--configfile", tmp_path / "real.yaml")
    assert done.returncode == 0, done.stdout[-5000:]
    results = workflow.folder / "results" / "real"
    split = pd.read_csv(results / "styles" / "split.tsv", sep="\t")
    assert set(split.loc[split["cohort"] == "shared", "side"]) == {"test"}
    assert set(split.loc[split["side"] == "train", "cohort"]) == {"phantom"}
    table = pd.read_csv(results / "paper" / "tables" / "table2.csv")
    real = table[table["domain"].str.startswith("Real scan")]
    assert set(real["arm"]) == {"plain", "ours", "transductive"} and set(real["patients"]) == {3}
    assert real["foreground_iou"].between(0, 100).all()
    # the slices that lent their style lie apart from those that are scored
    lent = pd.read_csv(results / "augmented" / "transductive" / "seed0.tsv", sep="\t")
    assert set(lent["style_scan"]) <= set(REAL) and set(lent["target_style"]) == {"shared"}
    bounds = split.set_index("scan").loc[sorted(set(lent["style_scan"]))]
    assert (bounds["scored_from_mm"] - bounds["lent_to_mm"] >= 30).all()
