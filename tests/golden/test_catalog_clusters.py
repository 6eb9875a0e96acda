"""The catalog's figures against the public documents they come from."""

import itertools
import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
import yaml

from meshwright.cost_models.cluster import UNBOUNDED
from meshwright.planner.clusters import (
    accelerator,
    list_accelerators,
    list_clusters,
    read_cluster,
    typical_cluster,
)
from meshwright.planner.clusters.schema import AcceleratorDescription, problems_in
from meshwright.planner.clusters.units import source_of

FOLDERS = {folder: files("meshwright.datasets").joinpath(folder) for folder in ("accelerators", "clusters")}
FILES = [
    (folder, file.name.removesuffix(".yaml"))
    for folder, place in FOLDERS.items()
    for file in sorted(place.iterdir(), key=lambda file: file.name)
    if file.name.endswith(".yaml") and file.name != "aliases.yaml"
]


def parsed(folder: str, name: str) -> Any:
    return yaml.safe_load(FOLDERS[folder].joinpath(f"{name}.yaml").read_text(encoding="utf-8"))


def quantities(value: Any) -> Iterator[str]:
    """Every text of a file that starts with a number, its sources aside."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in {"sources", "title", "name", "accelerator"}:
                yield from quantities(item)
    elif isinstance(value, list):
        for item in value:
            yield from quantities(item)
    elif isinstance(value, str) and re.match(r"[\d.+-]", value):
        yield value


DENSE_TFLOPS = [
    ("h100-80gb", "bf16", 989.4, "H100 white paper v1.04: SXM5, dense BF16"),
    ("h100-80gb", "fp8", 1978.9, "H100 white paper v1.04: SXM5, dense FP8"),
    ("h100-80gb", "tf32", 494.7, "H100 white paper v1.04: SXM5, dense TF32"),
    ("h100-pcie-80gb", "bf16", 756.5, "H100 white paper v1.04: PCIe, 1513 with sparsity"),
    ("h200", "bf16", 989.4, "H200 data sheet: 1979 with sparsity"),
    ("h20", "bf16", 148.0, "H20 product brief"),
    ("a100-80gb", "bf16", 312.0, "A100 data sheet"),
    ("a100-40gb", "tf32", 156.0, "A100 data sheet"),
    ("v100-32gb", "fp16", 125.0, "V100 data sheet: SXM2 tensor performance"),
    ("v100-pcie-16gb", "fp16", 112.0, "V100 data sheet: PCIe tensor performance"),
    ("b200", "bf16", 2250.0, "Blackwell data sheet: HGX B200, 4.5 PFLOP/s with sparsity"),
    ("gb200", "bf16", 2500.0, "Blackwell data sheet: GB200, 5 PFLOP/s with sparsity"),
    ("gb200", "nvfp4", 10000.0, "Blackwell data sheet: GB200, 20 PFLOP/s with sparsity"),
    ("gb300", "fp8", 5000.0, "Blackwell Ultra data sheet: GB300 NVL72, 720 PFLOP/s with sparsity"),
    ("l4", "bf16", 121.0, "L4 data sheet: 242 with sparsity"),
    ("l40s", "bf16", 362.05, "L40S data sheet"),
    ("rtx-4090", "bf16", 165.2, "Ada white paper: FP32 accumulation"),
    ("a10g", "bf16", 70.0, "A10G data sheet"),
    ("t4", "fp16", 65.0, "T4 data sheet"),
    ("mi250x", "bf16", 191.5, "MI250X data sheet: 383 a module of two dies"),
    ("mi300x", "bf16", 1307.4, "MI300X data sheet"),
    ("mi355x", "fp8", 5033.2, "MI355X data sheet: 5.0 PFLOP/s"),
    ("tpu-v4", "bf16", 275.0, "Google Cloud documentation, TPU v4"),
    ("tpu-v5e", "bf16", 197.0, "Google Cloud documentation, TPU v5e"),
    ("tpu-v5p", "bf16", 459.0, "Google Cloud documentation, TPU v5p"),
    ("tpu-v6e", "bf16", 918.0, "Google Cloud documentation, TPU v6e"),
    ("gaudi2", "bf16", 432.0, "Gaudi 3 white paper, Gaudi 2 column"),
    ("gaudi3", "fp8", 1835.0, "Gaudi 3 white paper"),
]

MEMORY_TB_PER_S = [
    ("h100-80gb", 3.35, "H100 data sheet"),
    ("h200", 4.8, "H200 data sheet"),
    ("a100-80gb", 2.039, "A100 data sheet: SXM"),
    ("a100-pcie-80gb", 1.935, "A100 data sheet: PCIe"),
    ("a100-40gb", 1.555, "A100 white paper"),
    ("v100-16gb", 0.9, "V100 data sheet"),
    ("gb200", 8.0, "Blackwell data sheet"),
    ("mi300x", 5.3, "MI300X data sheet"),
    ("mi325x", 6.0, "MI325X data sheet"),
    ("tpu-v5p", 2.765, "Google Cloud documentation, TPU v5p"),
]

LINKS_GB_PER_S = [
    ("dgx-h100", "nvlink", 450.0, "DGX H100 User Guide: 900 GB/s both directions"),
    ("dgx-h100", "infiniband", 50.0, "DGX H100 User Guide: 8 x 400 Gb/s for 8 GPUs"),
    ("dgx-a100", "nvlink", 300.0, "DGX A100 data sheet: 600 GB/s both directions"),
    ("dgx-a100", "infiniband", 25.0, "DGX A100 data sheet: 8 x 200 Gb/s for 8 GPUs"),
    ("dgx-1v", "infiniband", 6.25, "DGX-1 User Guide: 4 x 100 Gb/s for 8 GPUs"),
    ("gb200-nvl72", "nvlink", 900.0, "GB200 NVL72 data sheet: 1.8 TB/s both directions"),
    ("hgx-h800", "nvlink", 200.0, "arXiv:2505.09343: 400 GB/s both directions"),
    ("p4d", "efa", 6.25, "EC2 documentation: 400 Gb/s for 8 GPUs"),
    ("p5", "efa", 50.0, "EC2 documentation: 3200 Gb/s for 8 GPUs"),
    ("a3-high", "ethernet", 12.5, "Google Cloud documentation: 4 x 200 Gb/s for 8 GPUs"),
    ("frontier", "slingshot", 12.5, "Frontier User Guide: 4 x 200 Gb/s for 8 dies"),
    ("jean-zay-v100", "omni-path", 12.5, "IDRIS documentation: 4 x 100 Gb/s for 4 GPUs"),
    ("jean-zay-a100", "omni-path", 6.25, "BLOOM model card: 4 Omni-Path links for 8 GPUs"),
    ("mi300x-8gpu", "infinity-fabric", 448.0, "MI300X Platform data sheet: 7 x 64 GB/s each way"),
    ("tpu-v5p-pod", "ici", 600.0, "Google Cloud documentation: 1200 GB/s both directions"),
    ("tpu-v5e-pod", "ici", 200.0, "Google Cloud documentation: 1600 Gb/s"),
]

RUN_NAMES = [
    *(
        "a100",
        "a100-40gb",
        "a100-80gb",
        "a800-80gb",
        "v100-16gb",
        "v100-32gb",
        "a10g",
        "a6000",
        "rtx4090",
        "l4",
        "l40s",
    ),
    *("h100-80gb", "h100-96gb-hbm2e", "h200", "h800", "h20", "gh200", "b200", "b300", "gb200", "gb300"),
    *("mi250x", "mi300x", "mi325x", "mi355x", "tpu-v4", "tpu-v5e", "tpu-v5p", "tpu-v6e"),
    *("ascend-910b", "ascend-910c", "trainium1", "trainium2", "gaudi2", "gaudi3"),
]


@pytest.mark.parametrize(("name", "precision", "tflops", "source"), DENSE_TFLOPS)
def test_dense_peaks_are_those_of_the_data_sheet(name: str, precision: str, tflops: float, source: str) -> None:
    assert accelerator(name).peak_flops_at(precision) == pytest.approx(tflops * 1e12, rel=1e-3), source


@pytest.mark.parametrize(("name", "tb_per_s", "source"), MEMORY_TB_PER_S)
def test_memory_bandwidths_are_those_of_the_data_sheet(name: str, tb_per_s: float, source: str) -> None:
    assert accelerator(name).memory_bandwidth_bytes_per_s == pytest.approx(tb_per_s * 1e12), source


@pytest.mark.parametrize(("name", "level", "gb_per_s", "source"), LINKS_GB_PER_S)
def test_links_are_those_of_the_documentation(name: str, level: str, gb_per_s: float, source: str) -> None:
    (cluster,) = read_cluster(name)
    (found,) = (link for link in cluster.levels if link.name == level)
    assert found.bandwidth_bytes_per_s == pytest.approx(gb_per_s * 1e9), source


@pytest.mark.parametrize(
    ("name", "mib"),
    [("h100-80gb", 81559), ("a100-80gb", 81920), ("h200", 143771), ("b200", 183359), ("gb200", 189471)],
)
def test_memory_is_a_little_less_than_nvidia_smi_shows(name: str, mib: int) -> None:
    """The driver keeps under 1.5 % of what nvidia-smi shows (figures of public logs)."""
    assert 0.985 < accelerator(name).memory_bytes / (mib * 2**20) < 1.0


@pytest.mark.parametrize("name", RUN_NAMES)
def test_names_of_published_runs_resolve(name: str) -> None:
    found = accelerator(name)
    assert max(found.peak_flops.values()) > 60e12
    (cluster,) = read_cluster(name, num_devices=2)
    assert cluster.accelerator == found


@pytest.mark.parametrize(("folder", "name"), FILES)
def test_every_value_of_the_catalog_has_a_unit_and_a_source(folder: str, name: str) -> None:
    file = parsed(folder, name)
    values = list(quantities(file))
    assert values
    used = {source_of(value) for value in values}
    assert used == set(file["sources"]), "every value names a source of the file, and every source is named"


@pytest.mark.parametrize(("folder", "name"), FILES)
def test_catalog_files_follow_the_schema_of_the_users_file(folder: str, name: str) -> None:
    file = parsed(folder, name)
    assert file["name"] == name
    if folder == "clusters":
        assert problems_in(file) == []
    else:
        AcceleratorDescription.model_validate(file)


def test_link_levels_are_nested_get_slower_and_span_any_size() -> None:
    for entry in list_clusters():
        levels = entry.cluster.levels
        assert levels[-1].extent == UNBOUNDED, entry.cluster.name
        for near, far in itertools.pairwise(levels):
            assert far.bandwidth_bytes_per_s < near.bandwidth_bytes_per_s, entry.cluster.name
            assert far.latency_s >= near.latency_s, entry.cluster.name


def test_typical_nodes_have_that_accelerator_and_that_many_devices() -> None:
    for entry in list_accelerators():
        for per_node, cluster in entry.typical_nodes.items():
            typical = typical_cluster(entry.accelerator.name, per_node, per_node * 2)
            assert (typical.name, typical.accelerator) == (cluster, entry.accelerator)
            assert typical.devices_per_node == per_node


def test_peaks_are_ordered_by_precision() -> None:
    """Fewer bits never compute more slowly, and sparsity never slipped in (fp8 is at most 2.1 times bf16)."""
    for entry in list_accelerators():
        peaks = entry.accelerator.peak_flops
        known = [peaks[p] for p in ("fp32", "tf32", "fp16", "fp8", "nvfp4") if p in peaks]
        assert known == sorted(known), entry.accelerator.name
        if "fp8" in peaks and "bf16" in peaks:
            assert peaks["fp8"] <= 2.1 * peaks["bf16"], entry.accelerator.name


def test_no_two_names_of_the_catalog_mean_different_things() -> None:
    """Names are compared without case, dashes and dots; an alias must not hide another file."""
    for folder, place in FOLDERS.items():
        names = [re.sub("[^a-z0-9]", "", name) for where, name in FILES if where == folder]
        aliases = yaml.safe_load(place.joinpath("aliases.yaml").read_text(encoding="utf-8"))
        keys = [re.sub("[^a-z0-9]", "", alias.lower()) for group in aliases.values() for alias in group]
        assert len(set(names + keys)) == len(names) + len(keys)
        assert set(aliases) <= {name for where, name in FILES if where == folder}
