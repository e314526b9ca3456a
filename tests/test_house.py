"""The house rules that no linter knows: the size of files, functions and folders, pins, and one version everywhere."""

import ast
import re
import tomllib
from collections import Counter
from importlib import metadata
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(
    path.relative_to(ROOT)
    for folder in ("flashsim", "agents", "experiments", "tests", "examples", "notebooks")
    for path in ROOT.glob(f"{folder}/**/*.py")
)
LARGE_FOLDERS = {
    "flashsim/sim": "one part of the world is one file, and they meet in one story beside them",
    "tests": "what belongs to no room: laws of the whole sale, the slow sale, the ground, the house",
    "tests/sim": "one file of tests for each part of flashsim/sim, and the queues that they are held against",
}
"""Folders of more than 14 Python files, and why."""


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {str(path): len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {path: length for path, length in lengths.items() if length > 400} == {}


def test_no_function_is_longer_than_60_lines() -> None:
    lengths = {
        f"{path}: {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in SOURCES
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    assert {name: length for name, length in lengths.items() if length > 60} == {}


def test_no_folder_holds_more_than_14_files_without_a_reason() -> None:
    files = Counter(path.parent.as_posix() for path in SOURCES if path.name != "__init__.py")
    assert {folder for folder, count in files.items() if count > 14} == set(LARGE_FOLDERS)


def test_one_version_stands_everywhere() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    dated = re.findall(
        r"^## \[(\d.*?)\] - (\d{4}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE
    )
    assert citation["version"] == version
    assert dated[0] == (version, citation["date-released"].isoformat())


def test_the_sdist_holds_all_that_its_tests_read() -> None:
    included = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["sdist"][
        "include"
    ]
    folders = {path.parts[0] for path in SOURCES} | {"conf", "docs", "locks", ".ci"}
    files = {path.name for path in ROOT.iterdir() if path.suffix in {".md", ".cff", ".txt"}} | {"LICENSE", "Makefile"}
    assert {f"/{name}" for name in folders | files} <= set(included)
    assert [name for name in included if not (ROOT / name.lstrip("/")).exists()] == []


def pins() -> dict[str, str]:
    """Name -> version of ``constraints.txt``."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def test_every_package_that_an_install_brings_is_pinned() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    waiting = [Requirement(f"flashsim[{','.join(extras)}]")]
    needed: set[str] = set()
    while waiting:
        wanted = waiting.pop()
        for requirement in map(Requirement, metadata.requires(wanted.name) or ()):
            marker = requirement.marker
            asked_for = marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *wanted.extras))
            pinned_already = str(requirement.specifier).startswith("==")  # as torch does with its CUDA packages
            if asked_for and not pinned_already and canonicalize_name(requirement.name) not in needed:
                needed.add(canonicalize_name(requirement.name))
                waiting.append(requirement)
    assert sorted(needed - set(pins())) == []


def test_locks_hold_every_pin_with_the_hashes_of_its_files_and_name_no_registry() -> None:
    locked: dict[str, dict[str, str]] = {}
    for path in (ROOT / "locks").glob("*.txt"):
        text = path.read_text()
        assert "://" not in text
        requirements = text.replace("\\\n", " ").splitlines()
        for requirement in (line for line in requirements if not line.startswith("#")):
            pin, *hashes = re.split(r" +--hash=", requirement)
            assert hashes, pin
            assert all(re.fullmatch("sha256:[0-9a-f]{64}", digest) for digest in hashes), pin
            name, version = pin.partition(";")[0].split("==")
            locked.setdefault(path.stem, {})[canonicalize_name(name)] = version.strip()
    assert set(locked) == {"build", "packages", "cuda", "torch_cpu"}
    assert locked["torch_cpu"] == {"torch": f"{pins()['torch']}+cpu"}
    assert pins().items() <= locked["packages"].items(), "run `make lock`"
    assert locked["build"].items() <= locked["packages"].items()
    assert not set(locked["cuda"]) & set(locked["packages"])
