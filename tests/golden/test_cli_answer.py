"""The answer that `make plan` draws: its structure, not its numbers, which change as the cost models get better."""

import re
import shlex

import pytest
from typer.testing import CliRunner

import meshwright as mw
from meshwright.cli.main import app

JOB = shlex.split(
    "llama-3-70b --cluster dgx-h100 --gpus 64 --global-batch 512 --seq-len 8192 --framework megatron-core"
)
HEADINGS = ["Best plan", "Time of a step", "Memory by stage", "Why", "Search", "Assumptions"]


@pytest.fixture(scope="module")
def answer() -> mw.PlanSet:
    """What is drawn."""
    return mw.plan("llama-3-70b", "dgx-h100", gpus=64, global_batch=512, seq_len=8192, framework="megatron-core")


@pytest.fixture(params=[80, 160])
def text(request, monkeypatch) -> str:
    """The drawing at both widths."""
    monkeypatch.setenv("COLUMNS", str(request.param))
    result = CliRunner().invoke(app, ["plan", *JOB], prog_name="meshwright")
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) <= request.param
    return result.stdout


def section(text: str, heading: str) -> list[str]:
    """Lines under a heading."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(heading))
    return lines[start + 1 : lines.index("", start) if "" in lines[start:] else None]


def test_sections_come_in_their_order(text):
    places = [text.index(f"\n{heading}") for heading in HEADINGS]
    assert places == sorted(places)


def test_nothing_is_cut_off_and_no_line_ends_in_blanks(text):
    assert "…" not in text
    assert not re.search(r" $", text, re.MULTILINE)


def test_the_table_has_all_plans_in_their_order(text, answer):
    rows = [line.split() for line in text.split("\n\n")[1].splitlines() if re.match(r" *\d+ ", line)]
    assert [int(row[0]) for row in rows] == [plan.rank for plan in answer.plans]
    mesh = [tuple(map(int, row[1:6])) for row in rows]
    assert mesh == [(p.axes.tp, p.axes.pp, p.axes.vpp, p.axes.cp, p.axes.dp) for p in answer.plans]


def test_terms_and_shares_add_up(text, answer):
    rows = [re.search(r"([\d.]+) s +<?([\d.]+)%", line) for line in section(text, "Time of a step")]
    *terms, step = [(float(row[1]), float(row[2])) for row in rows if row]
    assert step == (pytest.approx(answer.best.step_time_s, rel=1e-3), 100.0)
    assert sum(seconds for seconds, _ in terms) == pytest.approx(step[0], rel=2e-3)
    assert sum(share for _, share in terms) == pytest.approx(100.0, abs=0.6)


def test_every_stage_is_shown_with_its_peak(text, answer):
    lines = [line for line in section(text, "Memory by stage") if "│" in line]
    shown = [re.search(r"stages? (\d+)(?:-(\d+))? .*│ +([\d.]+) +(\d+)%", line).groups() for line in lines]
    stages = [stage for first, last, *_ in shown for stage in range(int(first), int(last or first) + 1)]
    assert stages == list(range(len(answer.best.stages)))
    peak = max(answer.best.peak_memory_bytes) / 2**30
    assert max(float(gib) for *_, gib, _ in shown) == pytest.approx(peak, abs=0.05)


def test_the_account_adds_up(text, answer):
    fates = re.findall(r"^ *([\d,]+)  \w", "\n".join(section(text, "Search")), re.MULTILINE)
    assert sum(int(number.replace(",", "")) for number in fates) == answer.account.total


def test_the_axes_shown_can_be_asked_for(text, answer):
    """What the answer calls its best plan is a plan for `evaluate --plan`, with the same price."""
    block = text.split("\nBest plan")[1].split("runs on")[0].split("axes")[1]
    asked = {"gpus": 64, "global_batch": 512, "seq_len": 8192, "framework": "megatron-core"}
    given = mw.evaluate("llama-3-70b", "dgx-h100", plan=" ".join(block.split()), **asked)
    assert given.plan.axes == answer.best.axes
    assert given.violations == ()
