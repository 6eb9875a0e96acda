"""A user's cluster file, good and bad."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshwright.errors import ClusterError, FileError
from meshwright.planner.clusters import read_cluster
from meshwright.planner.clusters.file import MAX_BYTES

DOCS = Path(__file__).parents[3] / "docs" / "reference" / "cluster-file.md"


def described() -> dict[str, Any]:
    """A sound file, for tests to spoil."""
    nvlink = {"name": "nvlink", "extent": 8, "bandwidth": "450 GB/s", "latency": "1 us"}
    network = {"name": "ib", "extent": "all", "bandwidth": "400 Gb/s", "latency": "3 us"}
    pool = {"accelerator": "h100-80gb", "nodes": 2, "devices_per_node": 8, "levels": [nvlink, network]}
    return {"name": "mine", "pools": [pool]}


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(folder: Path, file: Any) -> tuple[str, ...]:
    with pytest.raises(ClusterError) as caught:
        read_cluster(written(folder, yaml.safe_dump(file)))
    return caught.value.problems


def test_the_example_of_the_documentation_is_read(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    lab, old = read_cluster(written(tmp_path, example))
    assert (lab.name, lab.num_devices, lab.accelerator.name) == ("lab/0", 128, "h100-80gb")
    assert [level.bandwidth_bytes_per_s for level in lab.levels] == [450e9, 50e9, 25e9]
    assert [tier.capacity_bytes for tier in lab.tiers] == [250e9, 64e9, 3.75e12]
    assert (old.name, old.num_devices, old.levels[-1].bandwidth_bytes_per_s) == ("lab/old", 8, 6.25e9)
    assert old.accelerator.peak_flops_at("bf16") == 312e12
    assert old.sources == {"nic": "Data sheet of the network adapter"}


def test_a_path_may_be_text_and_the_file_names_the_cluster(tmp_path: Path) -> None:
    file = described()
    del file["name"]
    (cluster,) = read_cluster(str(written(tmp_path, yaml.safe_dump(file))), num_nodes=4)
    assert (cluster.name, cluster.num_devices) == ("mine", 32)


def test_links_without_a_switch_are_read_from_the_smallest_group_on(tmp_path: Path) -> None:
    """What few devices get, in the order that collectives look it up."""
    file = described()
    file["pools"][0]["levels"][0]["partial"] = {4: "100 GB/s", 2: "25 GB/s"}
    (cluster,) = read_cluster(written(tmp_path, yaml.safe_dump(file)))
    assert [level.partial_bandwidths for level in cluster.levels] == [((2, 25e9), (4, 100e9)), ()]
    file["pools"][0]["levels"][0]["partial"] = {2: "25 GB"}
    (problem,) = problems_of(tmp_path, file)
    assert "pools[0].levels[0].partial[2]: '25 GB' has the unknown unit 'GB'" in problem


def test_a_file_with_several_pools_is_resized_in_the_file(tmp_path: Path) -> None:
    file = described()
    file["pools"] *= 2
    path = written(tmp_path, yaml.safe_dump(file))
    assert len(read_cluster(path)) == 2
    with pytest.raises(ClusterError, match=r"several pools \(16 \+ 16 GPUs\)"):
        read_cluster(path, num_devices=64)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"nowhere.yaml can't be read: No such file"):
        read_cluster(tmp_path / "nowhere.yaml")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="can't be read: Is a directory"):
        read_cluster(tmp_path)


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    with path.open("wb") as file:
        file.truncate(10 * 2**30)  # sparse: takes no disk
    with pytest.raises(FileError, match=rf"10240.0 MiB; a cluster file has at most {MAX_BYTES // 2**20} MiB"):
        read_cluster(path)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileError, match="UTF-8"):
        read_cluster(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: a\npools: [1\nfoo: 2", "line 3: not valid YAML"),
        ("name: a\nname: b", "line 2: not valid YAML: the key 'name' is there twice"),
        ("[" * 100_000, "not valid YAML: .*recursion"),
        ("name: 2024-13-45", "not valid YAML: month"),
        ("!!python/object:os.system {}", "not valid YAML: could not determine a constructor"),
    ],
)
def test_broken_yaml_is_one_error_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ClusterError, match=said):
        read_cluster(written(tmp_path, text))


@pytest.mark.parametrize("file", [None, [1], "text", 3])
def test_a_file_must_be_a_mapping(tmp_path: Path, file: Any) -> None:
    (problem,) = problems_of(tmp_path, file)
    assert "the file: a mapping is needed" in problem


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (
            "accelerator",
            "h10",
            "pools[0].accelerator: no accelerator is called 'h10': did you mean h100-80gb",
        ),
        ("accelerator", 3, "pools[0].accelerator: Input should be a valid string, but got 3"),
        ("nodes", 0, "pools[0].nodes: Input should be greater than 0, but got 0"),
        ("nodes", -2, "pools[0].nodes"),
        ("nodes", 1.5, "pools[0].nodes"),
        ("nodes", float("nan"), "pools[0].nodes"),
        ("devices_per_node", True, "pools[0].devices_per_node"),
        ("levels", [], "pools[0].levels: List should have at least 1 item"),
        (
            "node_power",
            "10",
            "pools[0].node_power: '10' isn't a number with a unit; units of power are W, kW",
        ),
        ("speed", 3, "pools[0].speed: there is no such key"),
        ("tiers", [{"name": "tape"}], "pools[0].tiers[0].name: Input should be 'host', 'cxl' or 'nvme'"),
    ],
)
def test_a_bad_value_of_a_pool_is_named_with_its_place(tmp_path: Path, place: str, value: Any, said: str) -> None:
    file = described()
    file["pools"][0][place] = value
    assert any(said in problem for problem in problems_of(tmp_path, file))


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("bandwidth", "0 GB/s", "'0 GB/s' must be positive"),
        ("bandwidth", "-1 GB/s", "must be positive"),
        ("bandwidth", float("nan"), "'nan' isn't a number with a unit"),
        ("bandwidth", float("inf"), "'inf' isn't a number with a unit"),
        ("bandwidth", 400, "'400' isn't a number with a unit; units of bandwidth are B/s"),
        ("bandwidth", "400 gbit", "unknown unit 'gbit'; units of bandwidth are"),
        ("latency", "3 us/s", "unknown unit 'us/s'; units of time are s, ms, us"),
        ("extent", 0, "greater than 0"),
        ("extent", "most", "valid integer"),
        ("shared", "perhaps", "valid boolean"),
    ],
)
def test_a_bad_value_of_a_link_level_is_named_with_its_place(tmp_path: Path, place: str, value: Any, said: str) -> None:
    file = described()
    file["pools"][0]["levels"][1][place] = value
    (problem,) = problems_of(tmp_path, file)
    assert f"pools[0].levels[1].{place}: " in problem
    assert said in problem


@pytest.mark.parametrize(
    ("extents", "said"),
    [
        (
            (8, 12),
            "'ib' (extent 12) must hold several whole domains of the one before it, 'nvlink' (extent 8)",
        ),
        ((8, 4), "'ib' (extent 4) must hold several"),
        ((8, 8), "'ib' (extent 8) must hold several"),
        (("all", 8), "before it, 'nvlink' (extent all)"),
    ],
)
def test_link_levels_must_be_nested(tmp_path: Path, extents: tuple[Any, Any], said: str) -> None:
    file = described()
    for level, extent in zip(file["pools"][0]["levels"], extents, strict=True):
        level["extent"] = extent
    (problem,) = problems_of(tmp_path, file)
    assert said in problem


def test_the_last_link_level_must_reach_all_devices(tmp_path: Path) -> None:
    file = described()
    file["pools"][0]["levels"].pop()
    (problem,) = problems_of(tmp_path, file)
    assert "'nvlink', joins 8 devices, but 2 nodes of 8 have 16: add a level with `extent: all`" in problem


def test_an_accelerator_described_in_place_is_checked_too(tmp_path: Path) -> None:
    file = described()
    file["pools"][0]["accelerator"] = {"name": "mine", "memory": "80 GX", "peak_flops": {"bf16": "1 TFLOP/s"}}
    unit, missing = problems_of(tmp_path, file)
    assert "pools[0].accelerator.memory: '80 GX' has the unknown unit 'GX'" in unit
    assert "pools[0].accelerator.memory_bandwidth: this key is missing" in missing


def test_all_problems_of_a_file_are_reported_at_once(tmp_path: Path) -> None:
    file = described()
    pool = file["pools"][0]
    pool["nodes"], pool["color"], pool["levels"][0]["latency"] = 0, "red", "soon"
    file["pools"].append(3)
    assert len(problems_of(tmp_path, file)) == 4


def test_aliases_that_grow_without_end_are_answered_briefly(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60)), "pools: *a59"]
    with pytest.raises(ClusterError) as caught:
        read_cluster(written(tmp_path, "\n".join(lines)))
    assert max(len(problem) for problem in caught.value.problems) < 1000
