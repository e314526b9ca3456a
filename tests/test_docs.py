"""Documentation that is made from code, runs as code, or names code that must exist."""

import re
import tomllib
from pathlib import Path

import pytest

from flashsim.evaluation.kpis import kpi_markdown

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/*.md")
    for path in ROOT.glob(pattern)
    if path.name != "upgrading.md"  # it names what is gone
)
FOLDERS = ("flashsim", "agents", "experiments", "conf", "tests", "docs", "examples", "notebooks", ".ci")
ARCHITECTURE = ROOT / "docs" / "architecture.md"


def code_in(page: str) -> list[str]:
    """Everything that stands between single backticks in ``page``."""
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.findall(r"`([^`\n]+)`", text)


def test_the_kpi_page_is_made_from_the_list_in_code() -> None:
    assert kpi_markdown() in (ROOT / "docs" / "kpis.md").read_text(encoding="utf-8")


def test_examples_of_the_readme_run() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})


@pytest.mark.parametrize("page", PAGES)
def test_every_path_that_a_page_names_exists(page: str) -> None:
    """A path begins with a folder of ours and ends with / or a suffix, or is a file beside the README."""
    ours = re.compile(rf"({'|'.join(map(re.escape, FOLDERS))})/([\w./-]*(/|\.\w+))?|[\w-]+\.(md|toml|txt|cff)")
    paths = [code for code in code_in(page) if ours.fullmatch(code)]
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_to_a_file(page: str) -> None:
    links = re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text(encoding="utf-8"))
    ours = [link for link in links if not link.startswith("https://")]
    assert [link for link in ours if not ((ROOT / page).parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_program_that_a_page_names_exists(page: str) -> None:
    names = re.findall(r"python -m ((?:experiments|tests)[\w.]*\w)", (ROOT / page).read_text(encoding="utf-8"))
    files = {name: ROOT / name.replace(".", "/") for name in names}
    assert [name for name, file in files.items() if not (file.is_dir() or file.with_suffix(".py").exists())] == []


def test_the_architecture_names_every_room_and_every_wall() -> None:
    text = " ".join(ARCHITECTURE.read_text(encoding="utf-8").split())
    rooms = [
        f"`{path.parent.relative_to(ROOT).as_posix()}/`"
        for folder in ("flashsim", "agents", "experiments")
        for path in ROOT.glob(f"{folder}/**/__init__.py")
    ]
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    walls = [f"*{contract['name']}*" for contract in contracts]
    assert [name for name in rooms + walls if name not in text] == []


def test_the_architecture_names_functions_and_classes_where_they_are() -> None:
    """After a file, ``name`` is defined in it."""
    named = re.findall(r"`([\w/]+\.py)`: `(\w+)`", ARCHITECTURE.read_text(encoding="utf-8"))
    assert len(named) > 15
    for file, name in named:
        defined = rf"^(class {name}\b|def {name}\b|{name}\b.* = )"
        assert re.search(defined, (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), f"{file} has no {name}"
