"""Whether predictions put plans of one job into the right order, and what choosing by them would cost."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meshwright.planner.runs import Run

MIN_PLANS = 4
"""Distinct plans that a group must have to be ranked."""


@dataclass(frozen=True, slots=True)
class RankGroup:
    """Plans of one job, in predicted against measured order.

    Attributes:
        name: The table's `rank_group`.
        source: Where it was published.
        num_plans: Distinct plans; repeats are averaged.
        tau: Kendall's τ-b.
        regret: Measured time of the plan predicted fastest over that of the fastest, less 1.
    """

    name: str
    source: str
    num_plans: int
    tau: float
    regret: float


@dataclass(frozen=True, slots=True)
class RankScore:
    """Means over groups, or over sources' means."""

    num_groups: int
    num_plans: int
    tau: float
    regret: float
    median_regret: float


def kendall_tau_b(predicted: Sequence[float], measured: Sequence[float]) -> float:
    """Rank correlation with ties (Kendall's τ-b): (concordant - discordant) / √(untied x · untied y)."""
    signs = [_pair_signs(np.asarray(values, dtype=np.float64)) for values in (predicted, measured)]
    untied = np.sqrt(np.prod([np.count_nonzero(sign) for sign in signs], dtype=np.float64))
    return float((signs[0] * signs[1]).sum() / untied) if untied else 0.0


def _pair_signs(values: NDArray[np.float64]) -> NDArray[np.float64]:
    first, second = np.triu_indices(len(values), 1)
    with np.errstate(invalid="ignore"):  # two missing predictions (∞) tie
        difference = values[first] - values[second]
    return np.sign(np.nan_to_num(difference, nan=0.0, posinf=1.0, neginf=-1.0))


def top_1_regret(predicted: Sequence[float], measured: Sequence[float]) -> float:
    """How much slower than the best plan the one predicted fastest was; ties for it are averaged."""
    guess, truth = np.asarray(predicted, dtype=np.float64), np.asarray(measured, dtype=np.float64)
    chosen = guess <= guess.min() * (1 + 1e-9)
    return float(truth[chosen].mean() / truth.min() - 1.0)


def rank_groups(rows: Iterable[tuple[Run, float, float | None]]) -> tuple[RankGroup, ...]:
    """Scores every `rank_group` of (run, measured, predicted) rows; a missing prediction ranks last."""
    groups: dict[str, dict[tuple[object, ...], list[tuple[float, float | None]]]] = defaultdict(dict)
    sources: dict[str, str] = {}
    for run, measured, predicted in rows:
        if run.rank_group:
            sources[run.rank_group] = run.source
            groups[run.rank_group].setdefault(run.plan, []).append((measured, predicted))
    return tuple(
        _scored(name, sources[name], list(plans.values())) for name, plans in groups.items() if len(plans) >= MIN_PLANS
    )


def _scored(name: str, source: str, plans: Sequence[Sequence[tuple[float, float | None]]]) -> RankGroup:
    measured = [float(np.mean([m for m, _ in repeats])) for repeats in plans]
    known = [[p for _, p in repeats if p is not None] for repeats in plans]
    predicted = [float(np.mean(repeats)) if repeats else float("inf") for repeats in known]
    tau = kendall_tau_b(predicted, measured) if any(known) else 0.0
    return RankGroup(name, source, len(plans), tau, top_1_regret(predicted, measured))


def mean_rank(groups: Sequence[RankGroup]) -> RankScore | None:
    """Mean over groups; None if there are none."""
    if not groups:
        return None
    tau, regret = (np.array([getattr(group, name) for group in groups]) for name in ("tau", "regret"))
    plans = sum(group.num_plans for group in groups)
    return RankScore(len(groups), plans, float(tau.mean()), float(regret.mean()), float(np.median(regret)))


def rank_by_source(groups: Sequence[RankGroup]) -> dict[str, RankScore]:
    """Mean over the groups of every source, sources sorted."""
    by_source: dict[str, list[RankGroup]] = defaultdict(list)
    for group in groups:
        by_source[group.source].append(group)
    scores = {source: mean_rank(members) for source, members in sorted(by_source.items())}
    return {source: score for source, score in scores.items() if score is not None}


def macro_rank(sources: dict[str, RankScore]) -> RankScore | None:
    """Mean over sources' means; None if there are none."""
    if not sources:
        return None
    scores = list(sources.values())

    def mean(name: str) -> float:
        return float(np.mean([getattr(score, name) for score in scores]))

    groups, plans = sum(score.num_groups for score in scores), sum(score.num_plans for score in scores)
    return RankScore(groups, plans, mean("tau"), mean("regret"), mean("median_regret"))
