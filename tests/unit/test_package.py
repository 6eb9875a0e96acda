"""The package as it is installed: its names, its links, its data, and how little an import loads."""

import ast
import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import meshwright as mw

ROOT = Path(__file__).parents[2]
FOLDERS = ("planner", "cost_models", "solvers", "cli", "datasets")
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = SETTINGS["tool"]["setuptools"]
SOURCES = sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))


def module_name(file: Path) -> str:
    parts = ("meshwright", *file.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def loaded_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after running some code."""
    script = f"{code}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")  # noqa: S603 - our own code
    return set(result.stdout.split())


@pytest.mark.parametrize("folder", FOLDERS)
def test_links_point_home(folder: str) -> None:
    """Type checkers and editors follow five relative links."""
    link = ROOT / "meshwright" / folder
    assert link.is_symlink()
    assert link.readlink() == Path("..") / folder


def test_every_source_file_imports_under_its_public_name() -> None:
    """No file has two identities, and none is left behind."""
    for file in SOURCES:
        module = importlib.import_module(module_name(file))
        assert Path(str(module.__file__)).resolve() == file, module.__name__


def test_no_folder_is_a_top_level_package() -> None:
    """Nothing called `cli` or `datasets` may land among other people's modules."""
    names = " ".join(f"import {module_name(file)};" for file in SOURCES)
    assert not loaded_after(names) & set(FOLDERS)


def test_every_package_is_listed() -> None:
    """A nested package that isn't listed is silently missing from the wheel."""
    packages = {module_name(file) for file in SOURCES if file.name == "__init__.py"}
    assert set(SETUPTOOLS["packages"]) == packages | {"meshwright"}
    assert {file.parent for file in SOURCES} == {file.parent for file in SOURCES if file.name == "__init__.py"}


def test_every_data_file_is_shipped() -> None:
    """All of `datasets/` matches a pattern of the package data, but for the package itself."""
    folder = ROOT / "datasets"
    shipped = {file for pattern in SETUPTOOLS["package-data"]["meshwright.datasets"] for file in folder.glob(pattern)}
    files = {file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts}
    assert files - shipped == {folder / "__init__.py"}


def test_the_version_has_one_source() -> None:
    assert "version" not in SETTINGS["project"]
    assert SETUPTOOLS["dynamic"]["version"] == {"attr": "meshwright.__version__"}
    assert mw.__version__.count(".") == 2


def test_all_public_names_are_public() -> None:
    """`__all__`, `dir` and what can be had are the same, and each name comes from where type checkers are told."""
    assert sorted(mw.__all__) == dir(mw)
    tree = ast.parse((ROOT / "meshwright" / "__init__.py").read_text())
    told = {
        alias.name: f"{node.module}"
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(told) | {"errors"} == set(mw.__all__)
    for name, home in told.items():
        assert getattr(mw, name) is getattr(importlib.import_module(home), name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nope'"):
        _ = mw.nope


def test_importing_costs_next_to_nothing() -> None:
    """No array library, no validation, no rendering, no solver."""
    heavy = {"numpy", "pydantic", "yaml", "rich", "typer", "networkx", "ortools", "pulp", "scipy", "pandas"}
    assert not loaded_after("import meshwright") & heavy


def test_cost_models_load_nothing_but_numpy() -> None:
    files = [file for file in SOURCES if file.is_relative_to(ROOT / "cost_models")]
    loaded = loaded_after(" ".join(f"import {module_name(file)};" for file in files))
    installed = {"pydantic", "yaml", "rich", "typer", "networkx", "ortools", "pulp", "scipy", "pandas"}
    assert "numpy" in loaded
    assert not loaded & installed


def test_planning_loads_no_solver_back_end_and_no_rendering() -> None:
    """A scheduler that calls `plan` pays for NumPy and the readers only."""
    code = "import meshwright as mw; mw.plan('llama-3-8b', 'dgx-h100', gpus=16, global_batch=64, seq_len=2048)"
    assert not loaded_after(code) & {"ortools", "pulp", "rich", "typer", "scipy", "pandas"}
