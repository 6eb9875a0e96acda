"""Which rates a calibration gives to which device."""

from dataclasses import replace

from meshwright.cost_models.calibration import Calibration
from meshwright.cost_models.cluster import Accelerator, Cluster, LinkLevel
from meshwright.cost_models.collectives import CollectiveRates
from meshwright.cost_models.kernels import KernelRates, portable_attention_speed, spec_sheet_rates
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


def test_weaker_matrix_units_come_nearer_to_their_peak():
    """H20: a quarter of a Hopper's matrix FLOP/s for its fp32 FLOP/s, so that what products wait for is short."""
    usual = replace(DEVICE, peak_flops={"bf16": 989.4e12, "fp32": 66.9e12})
    weak = replace(DEVICE, name="h20", peak_flops={"bf16": 148e12, "fp32": 44e12})
    calibration = Calibration("c", kernels={"nvidia-hopper": KernelRates(matmul_fraction=0.8)})
    own, eased = (calibration.kernel_rates(device) for device in (usual, weak))
    assert own.matmul_fraction == 0.8
    assert 1.0 > eased.matmul_fraction > 0.9
    assert eased.attention_fraction > own.attention_fraction
    assert portable_attention_speed(weak) > portable_attention_speed(usual)


def test_devices_measured_by_name_and_other_clocks_are_left_alone():
    """An H100 PCIe has slower matrix units and slower vector units alike."""
    weak = replace(DEVICE, name="h20", peak_flops={"bf16": 148e12, "fp32": 44e12})
    named = Calibration("c", kernels={"h20": KernelRates(matmul_fraction=0.8)})
    assert named.kernel_rates(weak).matmul_fraction == 0.8
    slow = replace(DEVICE, peak_flops={"bf16": 756.5e12, "fp32": 51.2e12})
    kind = Calibration("c", kernels={"nvidia-hopper": KernelRates(matmul_fraction=0.8)})
    assert kind.kernel_rates(slow).matmul_fraction == 0.8
