"""How far predictions can be trusted: targets, errors in every way, ranking, memory, error bars, and the worst rows."""

from collections import Counter
from collections.abc import Iterator, Mapping

from rich.console import Group, RenderableType
from rich.table import Table

from meshwright.cli.render import numbers, words
from meshwright.cli.render.bars import grid
from meshwright.cli.render.parts import facts, heading, notes
from meshwright.cost_models.price import StepTerm
from meshwright.planner.accuracy import Accuracy, Target, WorstRun
from meshwright.planner.accuracy.causes import MOST_OF_A_SOURCE
from meshwright.planner.accuracy.targets import Bound
from meshwright.planner.validation import ErrorStatistics, FitScore, ValidationReport
from meshwright.planner.validation.errors import MIN_ROWS, MacroError

MOST_REASONS = 5


def validation(accuracy: Accuracy, *, verbose: bool = False) -> Group:
    """Targets first, then everything by source; with `verbose` by accelerator, family and framework too."""
    return Group(*_parts(accuracy, verbose=verbose))


def _parts(accuracy: Accuracy, *, verbose: bool) -> Iterator[RenderableType]:
    report = accuracy.calibrated
    scorable = numbers.count(report.num_scorable)
    priced = f"{numbers.count(report.num_priced)} of {scorable} with a step time to compare"
    yield facts({"calibration": report.calibration, "runs": numbers.count(report.num_runs), "priced": priced})
    yield from heading("Must reach")
    yield _targets(accuracy.targets)
    yield from _floors(accuracy)
    yield from heading("Step time by source", "mean error; bias; share inside the 80 % error bars")
    yield _by_source(accuracy)
    for key in ("accelerator", "family", "framework") if verbose else ("accelerator",):
        yield from heading(f"Step time by {key}", accuracy.best.calibration)
        yield _errors(accuracy.best.time[key], None)
    yield from _ranking(accuracy.best)
    yield from heading("Peak memory by source")
    yield _errors(report.memory, report.memory_macro)
    yield from heading("Does it fit?")
    yield _fit(accuracy)
    yield from _causes(accuracy)
    yield from _worst(accuracy.worst)
    yield from _unpriced(report, verbose=verbose)


def _targets(targets: tuple[Target, ...]) -> Table:
    table = grid("left", "right", "right", "right", "left")
    table.add_row("", "", "must", "aim", "reached", style="label")
    for target in targets:
        state = "yes" if target.is_reached else "no" if target.is_measured else "-"
        for place, bound in enumerate(target.bounds):
            name = f"  {target.name}: {bound.name}" if place == 0 else f"    {bound.name}"
            table.add_row(name, *_bound(bound), state if place == 0 else "")
    return table


def _bound(bound: Bound) -> Iterator[str]:
    def said(value: float) -> str:
        return numbers.percent(value) if bound.is_share else f"{value:.2f}" if bound.more_is_better else f"{value:g}"

    yield "-" if bound.value is None else said(bound.value)
    sign = "≥ " if bound.more_is_better else "≤ "
    yield sign + said(bound.must) if bound.must else said(bound.must)
    yield sign + said(bound.aim) if bound.aim else "exact" if bound.must else said(bound.aim)


def _floors(accuracy: Accuracy) -> Iterator[RenderableType]:
    yield from heading("Beside the floors", "means over sources, of the same rows")
    table = grid("left", "right", "right", "right", "right", "right")
    table.add_row("", "error", "abs. bias", "90 % below", "tau", "regret", style="label")
    names = {
        "formula": f"FLOP / ({accuracy.formula_mfu:.0%} of peak), chosen here",
        "black box": "linear regression, held back",
        "uncalibrated": "data sheets, uncalibrated",
        "calibrated": f"{accuracy.calibrated.calibration}, as fitted",
        "held back": f"{accuracy.calibrated.calibration}, groups held back",
    }
    for name, report in accuracy.columns.items():
        time, ranking = report.time_macro, report.ranking_macro
        if time is not None:
            shares = (time.mape, time.abs_bias, time.p90_ape)
            rank = (f"{ranking.tau:.2f}", numbers.percent(ranking.regret)) if ranking else ("-", "-")
            table.add_row(f"  {names[name]}", *(numbers.percent(share) for share in shares), *rank)
    yield table


def _by_source(accuracy: Accuracy) -> Table:
    """The floor, uncalibrated and calibrated errors side by side, and how many steps lie within the error bars."""
    table = grid("left", "right", "right", "right", "right", "right", "right")
    table.add_row("", "rows", "formula", "uncal.", "calib.", "bias", "in bars", style="label")
    for name, own in sorted(accuracy.best.time["source"].items(), key=lambda item: -item[1].num_rows):
        others = (report.time["source"][name].mape for report in (accuracy.formula, accuracy.uncalibrated))
        shares = (numbers.percent(share) for share in (*others, own.mape, own.bias))
        table.add_row(f"  {name}", str(own.num_rows), *shares, _inside(accuracy, name))
    macros = [report.time_macro for report in (accuracy.formula, accuracy.uncalibrated, accuracy.best)]
    means = [numbers.percent(macro.mape) if macro else "-" for macro in macros]
    bars = numbers.percent(accuracy.coverage) if accuracy.coverage is not None else "-"
    table.add_row("  mean", "", *means, "", bars, style="bold")
    return table


def _inside(accuracy: Accuracy, source: str) -> str:
    inside = accuracy.coverage_by_source.get(source)
    return numbers.percent(inside[1]) if inside else "-"


def _causes(accuracy: Accuracy) -> Iterator[RenderableType]:
    yield from heading("Which term would mend it", "one term, one factor for all rows of a source; mean |log error|")
    table = grid("left", "left", "right", "right", "right")
    table.add_row("", "term", "factor", "error", "then", style="label")
    for name, cause in sorted(accuracy.causes.items(), key=lambda item: item[1].after - item[1].before):
        if accuracy.best.time["source"][name].num_rows >= MIN_ROWS:
            shares = (numbers.percent(cause.before), numbers.percent(cause.after))
            table.add_row(f"  {name}", _term(cause.term), f"{cause.factor:.2g}", *shares)
    yield table


def _term(term: StepTerm) -> str:
    return words.TERMS[term.name.lower()][0]


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


def _fit(accuracy: Accuracy) -> Table:
    risk, table = accuracy.risk, grid("left", "left")
    limit = numbers.percent(risk.max_oom_risk)
    table.add_row(
        f"  at {limit} risk",
        f"{risk.num_said_to_fit} of {risk.num_failed} confirmed failures would have been planned;"
        f" {risk.num_refused} of {risk.num_finished} finished runs of these sources would have been refused",
    )
    report = accuracy.calibrated
    named: dict[str, FitScore] = {"peak alone": report.fit_confirmed, "  other failures": report.fit_unconfirmed}
    for name, score in named.items():
        table.add_row(
            f"  {name}",
            f"{score.num_said_to_fit} of {score.num_failed} failures predicted below the device's memory;"
            f" {score.num_said_not_to_fit} of {score.num_finished} finished runs above it",
        )
    return table


def _worst(worst: tuple[WorstRun, ...]) -> Iterator[RenderableType]:
    if not worst:
        return
    yield from heading(
        f"Worst {len(worst)} rows", f"at most {MOST_OF_A_SOURCE} of a source; cause as above, on that row"
    )
    table = grid("left", "right", "right", "right", "left", "right")
    table.add_row("", "measured", "predicted", "error", "likely cause", "leaves", style="label")
    for run in worst:
        said = f"{_term(run.term)} x {run.factor:.2g}" if run.explains else "no one term"
        times = (numbers.seconds(run.measured_s), numbers.seconds(run.predicted_s), numbers.percent(run.error))
        table.add_row(f"  {run.run_id}", *times, said, numbers.percent(run.left) if run.explains else "")
    yield table


def _unpriced(report: ValidationReport, *, verbose: bool) -> Iterator[RenderableType]:
    if not report.unpriced:
        return
    reasons = Counter(prediction.reason for prediction in report.unpriced)
    yield from heading("Not priced", f"{len(report.unpriced)} runs")
    if verbose:
        yield notes(f"{prediction.run_id}: {prediction.reason}" for prediction in report.unpriced)
    else:
        yield notes(f"{number} runs: {reason}" for reason, number in reasons.most_common(MOST_REASONS))
