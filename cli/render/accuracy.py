"""How close predictions come to published runs: time, ranking, memory, fit, and what couldn't be priced."""

from collections import Counter
from collections.abc import Iterator, Mapping

from rich.console import Group, RenderableType
from rich.table import Table

from meshwright.cli.render import numbers
from meshwright.cli.render.bars import grid
from meshwright.cli.render.parts import facts, heading, notes
from meshwright.planner.validation import ErrorStatistics, FitScore, ValidationReport
from meshwright.planner.validation.errors import MacroError

MOST_REASONS = 5


def validation(report: ValidationReport, *, verbose: bool = False) -> Group:
    """Errors by source and accelerator (with `verbose` by family and framework too), ranking and fit."""
    return Group(*_parts(report, verbose=verbose))


def _parts(report: ValidationReport, *, verbose: bool) -> Iterator[RenderableType]:
    scorable = numbers.count(report.num_scorable)
    priced = f"{numbers.count(report.num_priced)} of {scorable} with a step time to compare"
    yield facts({"calibration": report.calibration, "runs": numbers.count(report.num_runs), "priced": priced})
    for key in report.time if verbose else ("source", "accelerator"):
        yield from heading(f"Step time by {key}", "prediction over measurement, minus 1")
        yield _errors(report.time[key], report.time_macro if key == "source" else None)
    yield from _ranking(report)
    yield from heading("Peak memory by source")
    yield _errors(report.memory, report.memory_macro)
    yield from heading("Does it fit?")
    yield _fit({"confirmed failures": report.fit_confirmed, "other failures": report.fit_unconfirmed})
    yield from _unpriced(report, verbose=verbose)


def _errors(groups: Mapping[str, ErrorStatistics], macro: MacroError | None) -> Table:
    table = grid("left", "right", "right", "right", "right", "right", "left")
    table.add_row("", "rows", "mean", "median", "bias", "90 % below", "", style="label")
    for name, errors in sorted(groups.items(), key=lambda item: -item[1].num_rows):
        missing = f"{errors.num_missing} unpriced" if errors.num_missing else ""
        shares = (errors.mape, errors.median_ape, errors.bias, errors.p90_ape)
        table.add_row(f"  {name}", str(errors.num_rows), *(numbers.percent(share) for share in shares), missing)
    if macro is not None:
        shares = (macro.mape, macro.median_ape, macro.bias, macro.p90_ape)
        said = f"over {macro.num_groups} sources"
        table.add_row("  mean", "", *(numbers.percent(share) for share in shares), said, style="bold")
    return table


def _ranking(report: ValidationReport) -> Iterator[RenderableType]:
    if not report.ranking:
        return
    yield from heading("Ranking by source", "tau 1: the measured order; regret: what choosing by it costs")
    table = grid("left", "right", "right", "right")
    table.add_row("", "groups", "tau", "regret", style="label")
    scores = dict(report.ranking) | ({"mean over sources": report.ranking_macro} if report.ranking_macro else {})
    for name, score in scores.items():
        table.add_row(f"  {name}", str(score.num_groups), f"{score.tau:.2f}", numbers.percent(score.regret))
    yield table


def _fit(scores: Mapping[str, FitScore]) -> Table:
    table = grid("left", "left")
    for name, score in scores.items():
        table.add_row(
            f"  {name}",
            f"{score.num_said_to_fit} of {score.num_failed} said to fit;"
            f" {score.num_said_not_to_fit} of {score.num_finished} finished runs said not to",
        )
    return table


def _unpriced(report: ValidationReport, *, verbose: bool) -> Iterator[RenderableType]:
    if not report.unpriced:
        return
    reasons = Counter(prediction.reason for prediction in report.unpriced)
    yield from heading("Not priced", f"{len(report.unpriced)} runs")
    if verbose:
        yield notes(f"{prediction.run_id}: {prediction.reason}" for prediction in report.unpriced)
    else:
        yield notes(f"{number} runs: {reason}" for reason, number in reasons.most_common(MOST_REASONS))
