"""CIS, the conditional inception score (Huang et al. 2018; method.md, 3): how far the outputs of one input differ.

CIS is the mean over inputs x and outputs G of x of KL(p(y|G) || p(y|x)), where p(y|x) is the mean over the outputs of
that x. It is in nats and is not exponentiated. It is 0 where all outputs of an input are classified alike, and at
most ln of the number of classes and ln of the number of outputs per input. Higher means more different grey scales.
"""

from collections.abc import Callable, Hashable, Sequence

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from ctstyle.errors import CTStyleError

KEY = ["content_scan", "content_index", "patient"]
CIS_COLUMNS = [*KEY, "outputs", "cis"]
KINDS = ("generated", "floor", "ceiling")
SIGNIFICANT = 0.05
ROUNDING = 1e-12


class NotProbabilities(CTStyleError):
    """Class probabilities that are none, or that do not fit their rows."""


def cis_frame(probabilities: np.ndarray, rows: pd.DataFrame) -> pd.DataFrame:
    """CIS of every content slice: columns `content_scan, content_index, patient, outputs, cis`, ordered by them.

    `probabilities` is `[n, K]` in the order of `rows`, which has the first three columns (one row per output). The mean
    of `cis` is the CIS of all; patient-level intervals come from the column `patient`. Raises as `cis` does.
    """
    keys, outputs, values = _per_input(probabilities, list(rows[KEY].itertuples(index=False, name=None)))
    frame = pd.DataFrame(keys, columns=KEY).assign(outputs=outputs, cis=values)
    return frame.sort_values(KEY, ignore_index=True)[CIS_COLUMNS]


def score_generated(
    generated_hu: np.ndarray,
    rows: pd.DataFrame,
    *,
    lookup: Callable[[str, int], tuple[np.ndarray, np.ndarray]],
    classify: Callable[[np.ndarray], np.ndarray],
    classes: Sequence[str],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """CIS of generated test slices with its floor and ceiling, and the class probabilities of every generated slice.

    `generated_hu` is int16 `[n, H, W]` in the order of `rows` (test.tsv of the transfer); `lookup` gives HU and labels
    of a slice by scan and index, `classify` the probabilities `[n, K]` of slices in HU, in the order of `classes`.

    First frame: `kind`, the columns of `cis_frame` and `style_hit`, the share of the outputs of a slice that are
    classified as their target style; over the rows of kind `transfer`. `generated`: the generator's outputs. `floor`: X
    itself, copied once per output. `ceiling`: the same slice really scanned in each target style, where there is one.
    Second frame, all rows: `index, kind, target_style, p_<class>..., predicted`. Raises NotProbabilities.
    """
    if len(generated_hu) != len(rows):
        raise NotProbabilities(
            "generated slices and their rows differ in number", found=len(generated_hu), expected=len(rows)
        )
    rows = rows.reset_index(drop=True)
    probabilities = _checked(classify(generated_hu), len(rows))
    named = pd.DataFrame(probabilities, columns=[f"p_{name}" for name in classes])
    predicted = np.asarray(classes)[probabilities.argmax(axis=1)]
    table = pd.concat([rows[["index", "kind", "target_style"]], named], axis=1).assign(predicted=predicted)

    transfer = rows[rows["kind"] == "transfer"]
    scanned = transfer[transfer["target_index"] >= 0]
    judged = {
        "generated": (probabilities[transfer.index], transfer),
        "floor": (_of_slices(transfer, "content", lookup, classify, len(classes)), transfer),
        "ceiling": (_of_slices(scanned, "target", lookup, classify, len(classes)), scanned),
    }
    columns = ["kind", *CIS_COLUMNS, "style_hit"]
    parts = [_with_hits(*judged[kind], classes).assign(kind=kind)[columns] for kind in KINDS if len(judged[kind][1])]
    return (pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)), table


def _with_hits(probabilities: np.ndarray, rows: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """`cis_frame` with the share of each slice's outputs whose class is their target style."""
    predicted = np.asarray(classes)[np.asarray(probabilities).argmax(axis=1)]
    hits = rows[KEY].assign(style_hit=predicted == rows["target_style"].to_numpy())
    return cis_frame(probabilities, rows).merge(hits.groupby(KEY, as_index=False)["style_hit"].mean(), on=KEY)


def is_near_chance(accuracy: float, n: int, k: int) -> bool:
    """Whether a held-out accuracy is not above chance 1/k: exact one-sided binomial test, p >= 0.05. CIS is then void.

    `n` is the number of held-out patient-scans, not of slices: the slices of one scan share patient, voltage, kernel
    and noise, so they are right or wrong together, and counting them as independent would make every accuracy
    significant. `accuracy` is the share of these scans that are classified rightly. Raises CTStyleError for n < 1,
    k < 2 or an accuracy outside [0, 1].
    """
    if n < 1 or k < 2 or not 0 <= accuracy <= 1:
        raise CTStyleError(
            "chance cannot be told from this accuracy",
            where="held-out accuracy of the grey-scale classifier",
            found=f"accuracy {accuracy}, {n} scans, {k} styles",
            expected="an accuracy in [0, 1] over at least one scan and two styles",
        )
    return bool(binomtest(round(accuracy * n), n, 1 / k, alternative="greater").pvalue >= SIGNIFICANT)


def _per_input(probabilities: np.ndarray, groups: Sequence[Hashable]) -> tuple[list[Hashable], np.ndarray, np.ndarray]:
    """The inputs in the order they appear, the number of outputs of each, and its CIS in nats."""
    p = _checked(probabilities, len(groups))
    numbers: dict[Hashable, int] = {}
    of_row = np.array([numbers.setdefault(key, len(numbers)) for key in groups], dtype=int)
    outputs = np.bincount(of_row, minlength=len(numbers))
    marginal = np.zeros((len(numbers), p.shape[1]))
    np.add.at(marginal, of_row, p)
    q = (marginal / outputs[:, None])[of_row]
    # 0 log 0 = 0; where p > 0 its mean over the outputs is, too
    terms = np.zeros_like(p)
    possible = p > 0
    terms[possible] = p[possible] * np.log(p[possible] / q[possible])
    sums = np.bincount(of_row, weights=terms.sum(axis=1), minlength=len(numbers))
    values = sums / outputs
    # where all outputs are alike rounding leaves some 1e-17, of either sign
    return list(numbers), outputs, np.where(values < ROUNDING, 0.0, values)


def _checked(probabilities: np.ndarray, expected: int) -> np.ndarray:
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or len(p) != expected or p.shape[1] < 1:
        raise NotProbabilities("probabilities and rows do not fit", found=p.shape, expected=f"({expected}, classes)")
    if not np.isfinite(p).all() or (p < 0).any():
        raise NotProbabilities(
            "class probabilities cannot be negative or missing", found=p.min(), expected="values in [0, 1]"
        )
    off = np.abs(p.sum(axis=1) - 1)
    if (off > 1e-6).any():
        row = int(off.argmax())
        raise NotProbabilities(
            "class probabilities do not sum to 1", where=f"row {row}", found=p[row].sum(), expected="1 within 1e-6"
        )
    return p


def _of_slices(
    rows: pd.DataFrame,
    which: str,
    lookup: Callable[[str, int], tuple[np.ndarray, np.ndarray]],
    classify: Callable[[np.ndarray], np.ndarray],
    classes: int,
) -> np.ndarray:
    """Probabilities `[n, K]` of the slices that rows name as content or target; each slice is classified once."""
    if rows.empty:
        return np.zeros((0, classes))
    keys = list(zip(rows[f"{which}_scan"], rows[f"{which}_index"].astype(int)))
    once = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    probabilities = classify(np.stack([lookup(*key)[0] for key in once]))
    return np.asarray(probabilities)[[once[key] for key in keys]]
