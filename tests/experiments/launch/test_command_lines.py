"""A command that is printed works when it is pasted, whatever folders are called."""

import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from experiments.launch.command_lines import command_line, literal
from tests.experiments.launch.test_entry import Start, start

__all__ = ["start"]
NAMES = (
    *(
        "outputs/train/2026-11-30_18-00-00-123456",
        "/tmp/a-1/b",
        "/tmp",
        "a b",
        "it's",
        'say "so"',
        "$HOME",
        "$(id)",
        "`id`",
        "a;b",
        "a&b|c",
    ),
    *("a,b", "[a]", "{a: b}", "a=b", "=", "(a)", "null", "true", "007", "1e3", "nan", "~", "-m", "--help", "+a", "a:b"),
    *(
        "${seed}",
        "a/${seed}",
        r"\${seed}",
        r"\\${seed}",
        "${",
        "back\\slash",
        "end\\",
        "'\\'",
        "\\'",
        "秒杀 618",
        "*?",
        "#",
    ),
    *("a  b ", " a", "!x", "^", "%", "@", "glob(*)", "range(0,3)", "choice(a,b)", "x" * 200),
)


@pytest.mark.parametrize("name", NAMES)
def test_a_path_comes_through_the_shell_and_hydra_as_it_is(name: str) -> None:
    line = command_line("experiments.train", resume=name)
    said = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True).stdout
    *program, argument = said.decode().rstrip("\0").split("\0")
    assert program == ["python", "-m", "experiments.train"]
    given = OverridesParser.create().parse_override(argument)
    assert OmegaConf.create({"seed": 3, given.key_or_group: given.value()}).resume == name


def test_a_plain_path_is_printed_plainly() -> None:
    line = command_line("experiments.train", resume="outputs/train/2026-11-30_18-00-00-123456")
    assert line == "python -m experiments.train resume=outputs/train/2026-11-30_18-00-00-123456"


@pytest.mark.parametrize("name", NAMES)
def test_text_of_a_file_refers_to_nothing(name: str) -> None:
    assert OmegaConf.create(literal({"seed": 3, "names": [name]})).names[0] == name


@pytest.mark.parametrize("name", ["it's out, [1]=$x", "${seed} 秒杀"])
def test_a_program_writes_where_the_line_says(start: Start, tmp_path: Path, name: str) -> None:
    *_, argument = shlex.split(command_line("toy", output=name))
    assert start(argument, "seed=3") == (0, "")
    config = yaml.safe_load((tmp_path / name / "config.yaml").read_text())
    assert config["output"] == name
