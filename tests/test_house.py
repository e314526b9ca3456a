"""The house rules that no linter knows: the length of files and functions, and pins for all that is installed."""

import ast
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(
    path.relative_to(ROOT)
    for folder in ("flashsim", "agents", "experiments", "tests")
    for path in ROOT.glob(f"{folder}/**/*.py")
)


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


def test_every_package_that_an_install_brings_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = {canonicalize_name(line.partition("==")[0]) for line in lines if line and not line.startswith("#")}
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
    assert sorted(needed - pins) == []
