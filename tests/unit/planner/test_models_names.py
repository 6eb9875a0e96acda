"""What a model's name or path leads to."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from meshwright.errors import FileError, ModelError
from meshwright.planner.models import list_models, read_model

REQUIRED = (
    "llama-3-8b",
    "llama-3-70b",
    "llama-3.1-405b",
    "llama-2-13b",
    "deepseek-v3",
    "qwen3-235b-a22b",
    "mixtral-8x7b",
)


def test_catalog_has_at_least_sixty_models_with_source() -> None:
    models = list_models()
    assert len(models) >= 60
    assert all(model.source and model.total_parameters >= model.active_parameters > 0 for model in models)
    assert all((model.published_parameters is None) == (model.parameters_source is None) for model in models)


def test_catalog_file_names_are_the_models_names() -> None:
    """The name inside a file is the file's, lower-case with dashes, and finds that model."""
    folder = Path(__file__).parents[3] / "datasets" / "models"
    for file in folder.glob("*.json"):
        assert json.loads(file.read_text())["_meshwright"]["name"] == file.stem == file.stem.lower()
        assert read_model(file.stem).name == file.stem


def test_every_alias_finds_its_model() -> None:
    """No two models share an alias, with or without its owner."""
    for model in list_models():
        for alias in model.aliases:
            assert read_model(alias).name == model.name
            assert read_model(alias.rpartition("/")[2]).name == model.name


@pytest.mark.parametrize("name", REQUIRED)
def test_required_names_are_there(name: str) -> None:
    assert read_model(name).name == name


@pytest.mark.parametrize(
    "spelling",
    [
        "llama-3-70b",
        "Llama3-70B",
        "llama_3_70b",
        "LLAMA 3 70B",
        "meta-llama/Meta-Llama-3-70B",
        "Meta-Llama-3-70B",
    ],
)
def test_spelling_does_not_matter(spelling: str) -> None:
    assert read_model(spelling).name == "llama-3-70b"


def test_digits_are_never_joined() -> None:
    """gemma-22b is no model, and must not be taken for gemma-2-2b."""
    with pytest.raises(ModelError, match="gemma-2-2b"):
        read_model("gemma-22b")


def test_unknown_name_shows_the_nearest_and_a_way_on() -> None:
    with pytest.raises(ModelError, match=r"'lama-3-70'.*llama-3-70b.*meshwright catalog models"):
        read_model("lama-3-70")


@pytest.mark.parametrize("name", ["", "   ", "x" * 5000, "a\0b"])
def test_odd_names_are_unknown_models(name: str) -> None:
    with pytest.raises(ModelError, match="no model is called"):
        read_model(name)


@pytest.mark.parametrize("name", ["nowhere/config.json", "model.json", "model.yaml", "meta-llama/Llama-99B"])
def test_missing_file_is_a_file_error(name: str) -> None:
    with pytest.raises(FileError, match="no such file"):
        read_model(name)


def test_architecture_passes_through() -> None:
    architecture = read_model("gpt2")
    assert read_model(architecture) is architecture


def test_path_that_exists_wins_over_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("gpt2").mkdir()
    Path("gpt2/config.json").write_text(json.dumps(_config(num_hidden_layers=3)))
    assert read_model("gpt2").num_layers == 3
    assert read_model("gpt2").name == "gpt2"
    assert read_model(tmp_path / "gpt2") == read_model("gpt2/config.json")


def test_file_is_called_by_its_own_name(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(_config()))
    assert read_model(file).name == "mine"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1,\n "b": }', "line 2, column 7"),
        (b"", "line 1, column 1"),
        (b"\xff\xfe", "isn't text in UTF-8"),
        (b"[" * 100_000, "broken JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "broken JSON"),
    ],
)
def test_broken_json_is_a_file_error(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "config.json"
    file.write_bytes(content)
    with pytest.raises(FileError, match=message):
        read_model(file)


@pytest.mark.parametrize("suffix", ["json", "yaml", "safetensors"])
def test_ten_gigabytes_are_refused_before_reading(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"weights.{suffix}"
    file.touch()
    os.truncate(file, 10 * 2**30)
    with pytest.raises(FileError, match=r"10,240 MiB.*at most"):
        read_model(file)


def test_empty_folder_and_device_are_file_errors(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"config\.json"):
        read_model(tmp_path)
    with pytest.raises(FileError, match="neither a regular file"):
        read_model("/dev/zero")


def test_catalog_names_load_neither_yaml_nor_pydantic() -> None:
    code = "import sys; from meshwright.planner.models import read_model; read_model('llama-3-70b'); "
    code += "sys.exit(bool({'yaml', 'pydantic', 'scipy', 'rich', 'ortools'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603


def _config(**changes: object) -> dict[str, object]:
    keys = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    return {**keys, "num_attention_heads": 4, "vocab_size": 100, **changes}
