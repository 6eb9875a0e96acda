"""Every way in which input can't be used: exit code 2, one clear block on stderr, nothing on stdout, no traceback."""

import json
from pathlib import Path

import pytest
import yaml

CONFIG = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "intermediate_size": 14336,
    "num_attention_heads": 32, "num_key_value_heads": 8, "num_hidden_layers": 32, "vocab_size": 128256,
    "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "tie_word_embeddings": False, "hidden_act": "silu",
}  # fmt: skip
CLUSTER = {
    "pools": [
        {
            "accelerator": "h100-80gb", "nodes": 4, "devices_per_node": 8,
            "levels": [
                {"name": "nvlink", "extent": 8, "bandwidth": "450 GB/s", "latency": "1 us"},
                {"name": "infiniband", "extent": "all", "bandwidth": "50 GB/s", "latency": "3 us"},
            ],
        }
    ]
}  # fmt: skip


@pytest.fixture
def refused(meshwright):
    """Runs a command line that must be refused, and gives what stderr says."""

    def run(*words: str) -> str:
        result = meshwright(*words)
        assert result.exit_code == 2, result.output
        assert result.stdout == ""
        assert result.stderr.startswith(("error: ", "Usage: "))
        assert "Traceback" not in result.stderr
        return result.stderr

    return run


@pytest.fixture
def plan_refused(refused):
    """Runs `plan` for a model and a cluster, with more words."""

    def run(*words: str, model: object = "llama-3-8b", cluster: object = "dgx-h100") -> str:
        return refused("plan", str(model), "--cluster", str(cluster), *words)

    return run


def model_file(folder: Path, text: str) -> Path:
    path = folder / "config.json"
    path.write_text(text)
    return path


def cluster_file(folder: Path, text: str) -> Path:
    path = folder / "cluster.yaml"
    path.write_text(text)
    return path


def test_the_files_that_these_tests_break_are_sound(meshwright, tmp_path):
    """Otherwise the tests below would prove nothing."""
    model = model_file(tmp_path, json.dumps(CONFIG))
    cluster = cluster_file(tmp_path, yaml.safe_dump(CLUSTER))
    assert meshwright("plan", str(model), "--cluster", str(cluster), "--json", "-").exit_code == 0


def test_a_missing_file(plan_refused, tmp_path):
    assert "no such file" in plan_refused(model=tmp_path / "config.json")
    assert "No such file" in plan_refused(cluster=tmp_path / "cluster.yaml")


def test_broken_json(plan_refused, tmp_path):
    said = plan_refused(model=model_file(tmp_path, '{"model_type": "llama",\n "hidden_size": }'))
    assert "broken JSON at line 2" in said


def test_broken_yaml(plan_refused, tmp_path):
    assert "not valid YAML" in plan_refused(cluster=cluster_file(tmp_path, "pools:\n  - nodes: [4\nx: y"))


def test_a_config_without_needed_keys_names_all_of_them(plan_refused, tmp_path):
    keys = {name: value for name, value in CONFIG.items() if name not in ("hidden_size", "num_hidden_layers")}
    said = plan_refused(model=model_file(tmp_path, json.dumps(keys)))
    assert "hidden_size is missing" in said
    assert "num_hidden_layers is missing" in said


@pytest.mark.parametrize("size", [0, -8])
def test_sizes_that_are_zero_or_negative(plan_refused, tmp_path, size):
    assert "hidden_size" in plan_refused(model=model_file(tmp_path, json.dumps(CONFIG | {"hidden_size": size})))
    assert f"global_batch={size}" in plan_refused("--global-batch", str(size))
    assert f"seq_len={size}" in plan_refused("--seq-len", str(size))
    assert str(size) in plan_refused("--gpus", str(size))
    assert str(size) in plan_refused("--nodes", str(size))
    assert f"top={size}" in plan_refused("--top", str(size))
    assert f"tp={size}" in plan_refused("--fix", f"tp={size}")


def test_a_global_batch_that_no_plan_divides(plan_refused):
    said = plan_refused("--gpus", "8", "--global-batch", "7", "--fix", "dp=2")
    assert "global_batch=7" in said


def test_gpus_that_do_not_make_whole_nodes(plan_refused):
    said = plan_refused("--gpus", "12")
    assert "12 GPUs don't make whole nodes" in said
    assert "ask for 8 or 16" in said


def test_unknown_names_bring_the_nearest(plan_refused, refused):
    assert "did you mean llama-3-70b" in plan_refused(model="lama-3-70b")
    assert "dgx-h100" in plan_refused(cluster="dgx-h10")
    assert "megatron-core" in plan_refused("--framework", "megatron-cor")
    assert "h100-80gb" in refused("catalog", "accelerators", "h100-80")
    assert "models, clusters" in refused("catalog", "gpus")


def test_unknown_axes_and_values(plan_refused):
    assert "unknown axis 'pt'" in plan_refused("--fix", "pt=8")
    assert "zero3" in plan_refused("--fix", "sharding=zero4")
    assert "whole number" in plan_refused("--fix", "tp=eight")
    assert "such as pp<=8" in plan_refused("--limit", "pp")


def test_contradictory_demands(plan_refused):
    assert "these can't hold together: tp=8 and tp=4" in plan_refused("--fix", "tp=8", "--fix", "tp=4")
    assert "can't hold together" in plan_refused("--fix", "tp=8", "--limit", "tp<=4")
    assert "nodes" in plan_refused("--gpus", "16", "--nodes", "4")


def test_a_cluster_with_a_cut_off_link_level(plan_refused, tmp_path):
    pool = CLUSTER["pools"][0]
    cut = {"pools": [{**pool, "levels": pool["levels"][:1]}]}
    said = plan_refused(cluster=cluster_file(tmp_path, yaml.safe_dump(cut)))
    assert "joins 8 devices, but 4 nodes of 8 have 32" in said


def test_not_a_number(plan_refused, tmp_path):
    broken = json.dumps(CONFIG | {"hidden_size": float("nan")})
    assert "NaN" in plan_refused(model=model_file(tmp_path, broken)) or "nan" in plan_refused(
        model=tmp_path / "config.json"
    )
    text = yaml.safe_dump(CLUSTER).replace("450 GB/s", ".nan")
    assert "bandwidth" in plan_refused(cluster=cluster_file(tmp_path, text))
    assert "memory_margin=nan" in plan_refused("--memory-margin", "nan")


@pytest.mark.parametrize("name", ["config.json", "model.yaml"])
def test_a_file_of_10_gigabytes_is_refused_without_reading_it(plan_refused, tmp_path, name):
    """Sparse, so that it takes no space."""
    path = tmp_path / name
    with path.open("wb") as file:
        file.truncate(10 * 10**9)
    assert "MiB" in plan_refused(model=path)
    cluster = tmp_path / "cluster.yaml"
    path.rename(cluster)
    assert "MiB" in plan_refused(cluster=cluster)


def test_an_unwritable_output_path_leaves_nothing_behind(plan_refused, tmp_path):
    for target in (tmp_path / "missing" / "plan.json", tmp_path):
        assert f"{target} can't be written" in plan_refused("--json", str(target))
    assert list(tmp_path.iterdir()) == []


def test_plans_that_cannot_be_read(refused, tmp_path):
    job = ("evaluate", "llama-3-8b", "--cluster", "dgx-h100", "--plan")
    broken, empty, huge = tmp_path / "broken.json", tmp_path / "list.json", tmp_path / "huge.json"
    broken.write_text("{")
    empty.write_text("[]")
    with huge.open("wb") as file:
        file.truncate(10 * 10**9)
    assert "isn't" in refused(*job, str(broken))
    assert "none of them" in refused(*job, str(empty))
    assert "MiB" in refused(*job, str(huge))
    assert "no such file" in refused(*job, str(tmp_path / "absent.json"))
    assert "a plan is written as axes" in refused(*job, "fast please")
    assert "tp is given twice" in refused(*job, "tp=2 tp=4")


def test_a_plan_that_is_no_mesh_of_the_devices(refused):
    said = refused("evaluate", "llama-3-8b", "--cluster", "dgx-h100", "--gpus", "8", "--plan", "tp=3")
    assert "dp·tp·pp·cp = devices" in said


def test_a_precision_that_the_accelerator_lacks(plan_refused):
    assert "fp8" in plan_refused("--precision", "fp8", cluster="dgx-a100")
    assert "bf17" in plan_refused("--precision", "bf17")


def test_all_problems_are_told_at_once(plan_refused):
    said = plan_refused("--fix", "tp=0", "--framework", "nope", "--memory-margin", "2", model="nope", cluster="nope")
    assert said.count("error: ") == 5


@pytest.mark.parametrize(
    "words", [("plan",), ("plan", "llama-3-8b"), ("plan", "x", "--gpus", "many"), ("nope",), ("--nope",)]
)
def test_wrong_usage_exits_with_2_as_well(refused, words):
    assert "Usage: " in refused(*words)


def test_a_table_of_runs_that_is_none(refused, tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("a,b\n1,2\n")
    refused("validate", str(path))
    refused("validate", str(tmp_path / "absent.csv"))
    refused("validate", "--predictions", str(tmp_path / "absent" / "out.csv"))


def test_a_wrong_number_is_shown(refused):
    """Whatever release of Typer reads it."""
    assert "many" in refused("plan", "llama-3-8b", "--cluster", "dgx-h100", "--gpus", "many")
    assert "99999" in refused("serve", "--port", "99999")


@pytest.mark.parametrize("rank", ["-1", "0", "99"])
@pytest.mark.parametrize("command", [("export", "--to", "torchtitan"), ("simulate",), ("report",)], ids=lambda c: c[0])
def test_a_rank_that_a_plan_set_lacks(refused, an_answer, a_plan, tmp_path, command, rank):
    path = tmp_path / "plans.json"
    path.write_text(an_answer([a_plan()]).to_json())
    assert "--rank must be 1 to 1" in refused(*command, str(path), "--rank", rank)


def test_a_file_that_holds_its_question_is_asked_no_other(refused, an_answer, a_plan, tmp_path):
    path = tmp_path / "plans.json"
    path.write_text(an_answer([a_plan()]).to_json())
    assert "--gpus, --offload can't change" in refused("simulate", str(path), "--gpus", "16", "--offload", "none")


def test_stdout_takes_one_text(refused, tmp_path):
    assert "one thing at a time" in refused("simulate", "plans.json", "--svg", "-", "--json", "-")
    assert "one thing at a time" in refused("validate", "--svg", "-", "--json", "-")
    for words in (("calibrate", "runs.csv", "-o", "-"), ("validate", "--predictions", "-")):
        assert "file's name is needed" in refused(*words)


def test_fit_needs_a_cluster_by_name(refused):
    assert "','" in refused("fit", "llama-3-8b", "--cluster", ",")


def test_a_cluster_file_by_another_name(plan_refused, tmp_path, monkeypatch):
    """A word without .yaml is a name; where a file has it, the way to that file is told."""
    monkeypatch.chdir(tmp_path)
    Path("cluster.json").write_text("{}")
    assert "./cluster.json" in plan_refused(cluster="cluster.json")
    assert "pools" in plan_refused(cluster="./cluster.json")


def test_a_plan_that_is_a_folder(refused, tmp_path):
    said = refused("evaluate", "llama-3-8b", "--cluster", "dgx-h100", "--plan", str(tmp_path))
    assert "no regular file" in said


def test_an_axis_beyond_all_devices(refused):
    assert "tp <= 2^31" in refused("evaluate", "llama-3-8b", "--cluster", "dgx-h100", "--plan", "tp=99999999999")


def test_a_near_name_is_offered_and_all_names_otherwise(refused, plan_refused, an_answer, a_plan, tmp_path):
    path = tmp_path / "plans.json"
    path.write_text(an_answer([a_plan()]).to_json())
    assert "did you mean slurm?" in refused("export", str(path), "--to", "slurrm")
    assert "known are" in refused("export", str(path), "--to", "zzz")
    assert "known are" in plan_refused("--framework", "zzz")
    asked = ("evaluate", "run.sh", "--cluster", "dgx-h100", "--from", "slurm")
    assert "slurm starts jobs; known are megatron-lm" in refused(*asked)


def test_a_comparison_says_which_plan_is_wrong(refused) -> None:
    """Of several plans, the one that can't be used is named by its place."""
    said = refused("compare", "llama-3-8b", "-c", "dgx-h100", "--gpus", "8", "-p", "tp=8", "-p", "tp=3")
    assert said.startswith("error: plan 2: ")


def test_a_stage_that_its_heads_forbid_has_no_operations(refused) -> None:
    """`tensors` obeys the rules that plans obey."""
    assert "tp=3, heads=32" in refused("tensors", "llama-3-8b", "-c", "dgx-h100", "--tp", "3")


def test_files_may_begin_with_a_byte_order_mark(meshwright, tmp_path: Path) -> None:
    """Editors on Windows write one."""
    model = tmp_path / "config.json"
    model.write_text(json.dumps(CONFIG), encoding="utf-8-sig")
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text(yaml.safe_dump(CLUSTER), encoding="utf-8-sig")
    asked = ("evaluate", str(model), "-c", str(cluster), "--gpus", "8", "-p", "tp=8")
    assert meshwright(*asked).exit_code in (0, 1)
