"""Relative errors and their statistics, by any key of a run, and their mean over keys."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from meshwright.planner.runs import Run

MIN_ROWS = 5
"""Rows that a source must have to count in a macro mean."""


@dataclass(frozen=True, slots=True)
class ErrorStatistics:
    """Relative errors e = (predicted - measured) / measured of one group of rows.

    Attributes:
        num_rows: Rows with a measurement.
        num_missing: Of those, rows without a prediction; they count in `mape_with_missing` alone.
        mape: Mean |e|.
        median_ape: Median |e|.
        bias: Mean e.
        p90_ape: 90th percentile of |e|.
        mape_with_missing: Mean |e| where a missing prediction counts as 1.
    """

    num_rows: int
    num_missing: int
    mape: float
    median_ape: float
    bias: float
    p90_ape: float
    mape_with_missing: float


@dataclass(frozen=True, slots=True)
class MacroError:
    """Unweighted means over groups with at least `MIN_ROWS` rows.

    Attributes:
        num_groups: Groups that counted.
        mape: Mean of their `mape`; the others likewise.
        abs_bias: Mean of their |bias|.
    """

    num_groups: int
    mape: float
    median_ape: float
    bias: float
    p90_ape: float
    abs_bias: float
    mape_with_missing: float


def error_statistics(measured: Sequence[float], predicted: Sequence[float | None]) -> ErrorStatistics:
    """Statistics of predictions against measurements; None is a missing prediction."""
    pairs = [(p - m) / m for m, p in zip(measured, predicted, strict=True) if p is not None]
    missing = len(measured) - len(pairs)
    if not pairs:
        nan = float("nan")
        return ErrorStatistics(len(measured), missing, nan, nan, nan, nan, 1.0)
    errors = np.asarray(pairs)
    size = np.abs(errors)
    return ErrorStatistics(
        num_rows=len(measured),
        num_missing=missing,
        mape=float(size.mean()),
        median_ape=float(np.median(size)),
        bias=float(errors.mean()),
        p90_ape=float(np.percentile(size, 90)),
        mape_with_missing=float((size.sum() + missing) / len(measured)),
    )


def errors_by(rows: Iterable[tuple[Run, float, float | None]], key: Callable[[Run], str]) -> dict[str, ErrorStatistics]:
    """Statistics of (run, measured, predicted) rows by a key of the run, keys sorted."""
    groups: dict[str, list[tuple[float, float | None]]] = defaultdict(list)
    for run, measured, predicted in rows:
        groups[key(run)].append((measured, predicted))
    return {
        name: error_statistics([m for m, _ in group], [p for _, p in group]) for name, group in sorted(groups.items())
    }


def macro_error(groups: Mapping[str, ErrorStatistics]) -> MacroError | None:
    """Mean over the groups that are large enough; None if there are none."""
    large = [group for group in groups.values() if group.num_rows >= MIN_ROWS]
    predicted = [group for group in large if group.num_missing < group.num_rows]
    if not predicted:
        return None

    def mean(name: str) -> float:
        return float(np.mean([getattr(group, name) for group in predicted]))

    return MacroError(
        num_groups=len(large),
        mape=mean("mape"),
        median_ape=mean("median_ape"),
        bias=mean("bias"),
        p90_ape=mean("p90_ape"),
        abs_bias=float(np.mean([abs(group.bias) for group in predicted])),
        mape_with_missing=float(np.mean([group.mape_with_missing for group in large])),
    )
