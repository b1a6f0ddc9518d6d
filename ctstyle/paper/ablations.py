"""The table of the ablations: what each point scores, and how far its seeds lie apart."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from ctstyle.measures.segmentation import pooled_scores
from ctstyle.paper.domains import IN_STYLE, OUT_OF_STYLE
from ctstyle.paper.measures import PaperInputError
from ctstyle.paper.tables import Table
from ctstyle.study.ablations import ARM, BASE, QUESTIONS

PLAIN = "plain"
CHAIN = ["arm", "point", "seed"]
"""What tells two chains apart."""
STRUCTURE = ("gradient_ssim", "hu_error_target", "wasserstein_generated_hu")
"""Structure kept, distance to the true target, style reached."""
MEASURED = ("iou_out_of_style", "foreground_iou_gain", "iou_in_style", *STRUCTURE)
REFERENCE = "Reference"
DOMAINS = (OUT_OF_STYLE, IN_STYLE)


def by_seed(
    segmentation: Iterable[pd.DataFrame], structure: Iterable[pd.DataFrame], painted: Iterable[pd.DataFrame]
) -> pd.DataFrame:
    """One row per chain (`CHAIN`): `MEASURED`, test `patients`, and how many slices were `painted` and `accepted`.

    The frames are those of rule measure_ablation. Foreground IoU in percent from pixel counts pooled over the scans of
    a domain, the gain in points over the plain U-Net of the same seed; the structure measures are means over slices
    within a patient, then over patients. Where no test scan is of a domain its scores are NaN, and `patients` are those
    tested out of style. Raises PaperInputError without a plain U-Net.
    """
    counts = pd.concat(segmentation, ignore_index=True)
    scores = pooled_scores(counts, [*CHAIN, "domain"]).pivot(index=CHAIN, columns="domain", values="foreground_iou")
    if PLAIN not in scores.index.get_level_values("arm"):
        raise PaperInputError(
            "the ablations need the plain U-Net",
            where="ablations",
            found=f"arms {sorted(set(counts['arm']))}",
            expected="plain among the arms",
        )
    frame = pd.DataFrame({f"iou_{domain}": 100 * scores.get(domain, np.nan) for domain in DOMAINS}, index=scores.index)
    plain = frame["iou_out_of_style"].xs((PLAIN, BASE), level=("arm", "point"))
    frame["foreground_iou_gain"] = (
        frame["iou_out_of_style"] - plain.loc[frame.index.get_level_values("seed")].to_numpy()
    )
    tested = counts[counts["domain"] == OUT_OF_STYLE].groupby(CHAIN)["patient"].nunique()
    frame["patients"] = tested.reindex(frame.index, fill_value=0)
    of_patients = pd.concat(structure, ignore_index=True).groupby([*CHAIN, "patient"])[list(STRUCTURE)].mean()
    frame = frame.join(of_patients.groupby(CHAIN).mean())
    rows = pd.concat(painted, ignore_index=True)
    accepted = rows["accepted"].astype(float).groupby([rows[name] for name in CHAIN])
    made = pd.DataFrame({"painted": accepted.size(), "accepted": accepted.sum()}).astype(float)
    return frame.join(made).fillna({"painted": 0.0, "accepted": 0.0}).reset_index()


def of_question(chains: pd.DataFrame, asked: pd.DataFrame, question: str) -> pd.DataFrame:
    """The chains of one question, in the order of its values: those of `by_seed` with `label` and `place` (0, 1, ..).

    `asked` is the frame of `transfer.ablations.Plan`.
    """
    values = asked[asked["question"] == question].reset_index(drop=True)
    values = values.assign(place=values.index)[["point", "value", "label", "place"]]
    return values.merge(chains[chains["arm"] == ARM], on="point", how="left").sort_values(["place", "seed"])


def table(chains: pd.DataFrame, asked: pd.DataFrame) -> Table:
    """The table of all points: the plain U-Net, then each question's values; means over seeds, gains of each seed.

    `chains` is `by_seed`, `asked` the frame of `transfer.ablations.Plan`. There is no interval and no best row: the
    scale is small, and what seeds show among themselves stands beside each mean.
    """
    if asked.empty:
        raise PaperInputError("no question is asked", where="ablations", found="no value", expected="at least one")
    rows = [_row(REFERENCE, "no augmentation", chains[chains["arm"] == PLAIN])]
    for question in dict.fromkeys(asked["question"]):
        for (_, label), of_value in of_question(chains, asked, question).groupby(["place", "label"], sort=True):
            own = " (as the run)" if (of_value["point"] == BASE).all() else ""
            rows.append(_row(QUESTIONS[question].title, label.replace("\n", " ") + own, of_value))
    return Table(
        frame=pd.DataFrame(rows),
        row="value",
        group="question",
        printed=("iou_out_of_style", "foreground_iou_gain", "iou_in_style", "gradient_ssim", "hu_error_target"),
        counts=("accepted", "painted", "gain_of_each_seed"),
        contest=False,
    )


def _row(question: str, value: str, chains: pd.DataFrame) -> dict[str, object]:
    plain = (chains["arm"] == PLAIN).all()
    means = chains[list(MEASURED)].mean().to_dict()
    return {
        "question": question,
        "value": value,
        "seeds": chains["seed"].nunique(),
        "patients": int(chains["patients"].max()),
        "painted": round(chains["painted"].mean()),
        "accepted": round(chains["accepted"].mean()),
        "gain_of_each_seed": "" if plain else _gains(chains["foreground_iou_gain"].tolist()),
        **(means | ({"foreground_iou_gain": np.nan, "gradient_ssim": np.nan} if plain else {})),
    }


def _gains(values: Sequence[float]) -> str:
    if np.isnan(values).all():
        return ""
    return ", ".join(f"{value:+.1f}".replace("-", "−") for value in values)
