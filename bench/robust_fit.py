"""Robust fits of log(predicted/measured), with a fifth of the shapes held out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import kernel_tables
import numpy as np
import pandas as pd
from scipy.optimize import least_squares

from meshwright.cost_models.calibration import Residual
from meshwright.cost_models.candidates import FloatColumn

MAX_ROWS = 6000
"""Rows that a fit sees, drawn evenly: more change no parameter in the third digit."""

Parameters = dict[str, float]
Predict = Callable[[Parameters, pd.DataFrame], FloatColumn]


@dataclass(frozen=True, slots=True)
class Fit:
    """A fit's parameters, and its residuals on fitted and on held-out rows."""

    parameters: Parameters
    residual: Residual


def fit(
    subject: str,
    kind: str,
    rows: pd.DataFrame,
    keys: list[str],
    predict: Predict,
    start: Mapping[str, tuple[float, float, float]],
) -> Fit:
    """Fits parameters from (lowest, start, highest); rows carry `time_s` and may carry a `weight`."""
    held = kernel_tables.held_out(rows, keys)
    seen = rows[~held]
    seen = seen.sample(min(MAX_ROWS, len(seen)), random_state=0)
    scale = np.array([start[name][1] for name in start])
    weight = np.sqrt(seen.weight) if "weight" in seen else 1.0

    def parameters(x: FloatColumn) -> Parameters:
        return dict(zip(start, (x * scale).tolist(), strict=True))

    def misfit(x: FloatColumn) -> FloatColumn:
        return weight * np.log(predict(parameters(x), seen) / seen.time_s.to_numpy())

    bounds = ([start[n][0] / start[n][1] for n in start], [start[n][2] / start[n][1] for n in start])
    options = {"loss": "soft_l1", "f_scale": 0.1, "diff_step": 1e-3}
    found = parameters(least_squares(misfit, np.ones(len(start)), bounds=bounds, **options).x)
    return Fit(found, residual(subject, kind, rows, held, predict(found, rows)))


def residual(subject: str, kind: str, rows: pd.DataFrame, held: pd.Series, predicted: FloatColumn) -> Residual:
    """Median and 90th percentile of the relative error, as exp|log ratio| - 1."""
    error = np.log(predicted / rows.time_s.to_numpy())
    inside, outside = error[~held.to_numpy()], error[held.to_numpy()]

    def at(errors: FloatColumn, quantile: float) -> float:
        return round(float(np.expm1(np.quantile(np.abs(errors), quantile))), 4) if len(errors) else 0.0

    return Residual(
        subject=subject,
        device=kind,
        fitted_rows=len(inside),
        fitted_median=at(inside, 0.5),
        fitted_p90=at(inside, 0.9),
        held_out_rows=len(outside),
        held_out_median=at(outside, 0.5),
        held_out_p90=at(outside, 0.9),
        held_out_bias=round(float(np.expm1(np.median(outside))), 4) if len(outside) else 0.0,
    )


def print_residuals(residuals: Sequence[Residual]) -> None:
    """The table of residuals, in percent."""
    head = "  ".join(f"{name:>7}" for name in ("rows", "median", "p90", "held", "median", "p90", "bias"))
    print(f"{'subject':36} {'device':18} {head}")
    for r in residuals:
        fitted = f"{r.fitted_rows:7d}  {r.fitted_median:7.1%}  {r.fitted_p90:7.1%}"
        held = f"{r.held_out_rows:7d}  {r.held_out_median:7.1%}  {r.held_out_p90:7.1%}  {r.held_out_bias:+7.1%}"
        print(f"{r.subject:36} {r.device:18} {fitted}  {held}")
