"""Which rates a calibration gives to which device."""

from meshwright.cost_models.calibration import Calibration
from meshwright.cost_models.cluster import Accelerator, Cluster, LinkLevel
from meshwright.cost_models.collectives import CollectiveRates
from meshwright.cost_models.kernels import KernelRates, spec_sheet_rates
from meshwright.cost_models.training_rates import TrainingRates

DEVICE = Accelerator("h100-80gb", {"bf16": 1e15}, 80e9, 3e12, kind="nvidia-hopper")
CLUSTER = Cluster("node", DEVICE, 8, 8, (LinkLevel("nvlink", 8, 4e11, 1e-6),))


def rates(launch_s):
    return KernelRates(launch_s=launch_s)


def test_name_comes_before_kind_before_default():
    """The most particular rates win."""
    every = {"default": rates(1.0), "nvidia-hopper": rates(2.0), "h100-80gb": rates(3.0)}
    for key, launch_s in (("h100-80gb", 3.0), ("nvidia-hopper", 2.0), ("default", 1.0)):
        assert Calibration("c", kernels=every).kernel_rates(DEVICE).launch_s == launch_s
        every.pop(key)
    assert Calibration("c", kernels=every).kernel_rates(DEVICE) == spec_sheet_rates(DEVICE)


def test_an_unmeasured_device_loses_in_training_what_measured_ones_lose_and_no_more():
    """The constant for training that data sheets need is not multiplied by the one that measured steps gave."""
    measured = Calibration("c", kernels={"other": rates(1.0)}, training=TrainingRates(sustained_fraction=0.8))
    assert measured.kernel_rates(DEVICE) == KernelRates(sustained_fraction=0.8)


def test_collectives_follow_the_accelerator():
    """Collectives are found by the same keys, and without training steps nothing changes them."""
    particular = CollectiveRates(launch_s=1.0, bandwidth_fraction=0.5)
    for table, expected in (({"nvidia-hopper": particular}, particular), ({}, CollectiveRates())):
        found = Calibration("c", collectives=table).collective_rates(CLUSTER)
        assert found.launch_s == expected.launch_s
        assert found.bandwidth_fractions == {"nvlink": expected.bandwidth_fraction}


def test_spec_sheet_knows_no_device():
    """Spec-sheet mode holds nothing fitted on one device."""
    spec_sheet = Calibration.spec_sheet()
    assert not spec_sheet.kernels
    assert not spec_sheet.collectives
