"""What a pipeline costs: its bubble, and the activations that it holds."""

import pytest
import samples

import meshwright as mw
from meshwright.cost_models.candidates import Schedule
from meshwright.cost_models.price import StepTerm, price

# Wide layers and a vocabulary of almost nothing: all stages take the same time.
EQUAL_STAGES = samples.dense(layers=16, hidden=8192, heads=64, kv_heads=64, vocab=128)


def bubble_fraction(pp: int, vpp: int, micro_batches: int, schedule: Schedule) -> float:
    """Bubble over the time that the stages compute."""
    job = samples.job(EQUAL_STAGES, devices=pp, global_batch=micro_batches, seq_len=4096)
    costs = price(job, samples.plan(pp=pp, vpp=vpp, schedule=schedule))
    return float(costs.terms[StepTerm.BUBBLE, 0] / costs.terms[: StepTerm.RECOMPUTE, 0].sum())


@pytest.mark.parametrize("schedule", [Schedule.GPIPE, Schedule.ONE_F_ONE_B])
@pytest.mark.parametrize(("pp", "micro_batches"), [(2, 8), (4, 8), (8, 64)])
def test_bubble_of_equal_stages(schedule: Schedule, pp: int, micro_batches: int) -> None:
    """(p-1)/m of the compute (arXiv:2104.04473, section 2.2.1)."""
    assert bubble_fraction(pp, 1, micro_batches, schedule) == pytest.approx((pp - 1) / micro_batches, rel=0.01)


@pytest.mark.parametrize(("pp", "vpp", "micro_batches"), [(2, 4, 8), (4, 2, 8), (8, 2, 64)])
def test_interleaving_divides_the_bubble(pp: int, vpp: int, micro_batches: int) -> None:
    """(p-1)/(m·v) of the compute (arXiv:2104.04473, section 2.2.2)."""
    fraction = bubble_fraction(pp, vpp, micro_batches, Schedule.INTERLEAVED)
    assert fraction == pytest.approx((pp - 1) / (micro_batches * vpp), rel=0.01)


def kept_by_stage(plan: str) -> list[float]:
    """Activation bytes that each of four stages holds at its peak, in micro-batches of an inner stage."""

    def kept(text: str) -> list[float]:
        priced = mw.evaluate(
            samples.dense(layers=16), samples.cluster(4), global_batch=32, seq_len=2048, plan=text
        ).plan
        return [stage.memory.activations for stage in priced.stages]

    one = kept("pp=4 schedule=1f1b")[0] / 4
    return [number / one for number in kept(plan)]


def test_one_f_one_b_holds_p_minus_i_micro_batches() -> None:
    """Stage i of p starts p-i micro-batches before the first comes back (arXiv:2104.04473, section 2.2.1)."""
    first, second, _, last = kept_by_stage("pp=4 schedule=1f1b")
    assert second / first == pytest.approx(3 / 4)
    assert last / first == pytest.approx(1 / 4, rel=0.05)  # beside what the output layer keeps


def test_gpipe_holds_all_micro_batches() -> None:
    """All m of them, on every stage (arXiv:1811.06965)."""
    assert kept_by_stage("pp=4 schedule=gpipe")[:3] == pytest.approx([32] * 3)


@pytest.mark.parametrize("vpp", [2, 4])
def test_interleaving_holds_more_on_the_first_stage(vpp: int) -> None:
    """p·(1 + (p-1)/(p·v)) micro-batches (arXiv:2205.05198, section 4.2.3)."""
    held = kept_by_stage(f"pp=4 vpp={vpp} schedule=interleaved")
    assert held[0] == pytest.approx(4 * (1 + 3 / (4 * vpp)))
    assert held == sorted(held, reverse=True)


def test_fewer_micro_batches_than_stages_hold_no_more_than_there_are() -> None:
    """A step of two micro-batches can't have four in flight."""
    two, many = (
        price(samples.job(samples.dense(layers=16), devices=4, global_batch=batch), samples.plan(pp=4))
        for batch in (2, 32)
    )
    assert two.num_micro_batches[0] == 2
    assert two.memory.activations.max() == pytest.approx(many.memory.activations.max() / 2)
