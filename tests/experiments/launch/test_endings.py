"""How a program ends when it is told to stop, when the disk is full, and when its settings make no sense."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from experiments.launch.entry import one_line
from tests.experiments.launch.test_entry import Start, runs, start

__all__ = ["start"]
ROOT = Path(__file__).resolve().parents[3]


def process(folder: Path, *arguments: str, through: Sequence[str] = ()) -> subprocess.Popen[str]:
    """Start the toy program in ``folder``, ``through`` a command that runs it."""
    command = [*through, sys.executable, "-W", "error", "-m", "tests.experiments.toy_program", *arguments]
    environment = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def helper_of(running: subprocess.Popen[str], told: Path) -> int:
    """The helper process of a program, which tells it in a file."""
    while not told.exists() and running.poll() is None:
        time.sleep(0.1)
    return int(told.read_text())


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")]
)
def test_a_signal_ends_a_program_and_its_helpers(tmp_path: Path, number: int, code: int, word: str) -> None:
    listening = ("env", "--default-signal=INT")  # shells ignore it for what they run behind
    running = process(tmp_path, "then=wait with a helper", "output=here", through=listening)
    helper = helper_of(running, tmp_path / "here" / "helper.txt")
    asked = time.monotonic()
    running.send_signal(number)
    _, stderr = running.communicate(timeout=60)
    assert (running.returncode, stderr) == (code, f"cleaned up\n{word}\n")
    assert time.monotonic() - asked < 20.0
    with pytest.raises(ProcessLookupError):
        os.kill(helper, 0)


def test_a_helper_that_the_system_ends_is_one_sentence(tmp_path: Path) -> None:
    with process(tmp_path, "then=wait with a helper", "output=here") as running:
        os.kill(helper_of(running, tmp_path / "here" / "helper.txt"), signal.SIGKILL)
        _, stderr = running.communicate(timeout=60)
    assert running.returncode == 2
    assert stderr.startswith("error: the system ended a process that worked for this one")
    assert stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("then", "words"),
    [
        ("lose the folder", "error: the output folder here was moved or removed while the program ran\n"),
        ("close the folder", "error: cannot write here/closed/elsewhere.bin: Is a directory; choose a folder"),
    ],
)
def test_an_output_folder_that_goes_is_one_sentence(tmp_path: Path, then: str, words: str) -> None:
    with process(tmp_path, f"then={then}", "output=here") as running:
        _, stderr = running.communicate(timeout=60)
    assert running.returncode == 2
    assert stderr.startswith(words)
    assert stderr.count("\n") == 1


def test_a_full_disk_is_one_sentence_wherever_it_is_met(tmp_path: Path) -> None:
    small_files = ("sh", "-c", 'ulimit -f 40; exec "$@"', "sh")  # blocks of 512 bytes
    for then, name in (("write much", "much.csv"), ("write much elsewhere", "elsewhere.bin")):
        running = process(tmp_path, f"then={then}", "output=here", through=small_files)
        stdout, stderr = running.communicate(timeout=60)
        assert (running.returncode, stdout) == (2, "")
        assert stderr.startswith("error: cannot write ")
        assert "the file would be larger than this system allows" in stderr
        assert stderr.count("\n") == 1
        assert name in stderr or "all results" in stderr
    assert not [name for name in runs(tmp_path) if "much.csv" in name]


def test_an_output_that_is_a_pipe_or_a_link_to_nowhere_is_refused_and_kept(start: Start, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("nowhere")
    for target, what in (("pipe", "a pipe"), ("link", "a link")):
        before = os.lstat(tmp_path / target)[:2]  # kind and number
        code, stderr = start(f"output={target}")
        assert code == 2
        assert f"{what} has that name" in stderr
        assert start("-m", "seed=1,2", f"output={target}").code == 2
        assert os.lstat(tmp_path / target)[:2] == before


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("scenario.menu=[[]]", "scenario.menu[0] must be a number, got a list of 0"),
        ("scenario.menu=[[0.1]]", "scenario.menu"),
        ("scenario.menu=${output}", "scenario.menu must be a list, each item a number, got"),
        ("scenario=${agent}", "scenario"),
        ("scenario.stock=${agent.gamma}", "scenario.stock must be a whole number"),
        ("seed=${limit}", "seed must be a whole number, got null"),
        ("limit=inf", "limit must be a finite number"),
        ("limit=nan", "limit must be a number"),
        ("limit=1e300", "limit must be a number within 1e+15"),
        ("limit=" + "9" * 400, "the number is too large"),
        ("seed=" + "9" * 5000, "digits"),
        ("seed=true", "seed must be a whole number, got true"),
        ("agent.gamma=false", "agent.gamma must be a number, got false"),
        ("agent={gamma:true}", "agent.gamma must be a number, got true"),
        ("scenario.menu=[0,true]", "scenario.menu[1] must be a number, got true"),
        ("is_quick=5", "is_quick must be true or false, got 5"),
        ("is_quick=0.0", "is_quick must be true or false, got 0.0"),
        ("then='" + "\udcff" + "'", "then"),
        ("then=" + "x" * 30_000, "characters; write it shorter"),
        ("scenario.menu=" + "[" * 3000 + "]" * 3000, "nested"),
        ("output=" + "x" * 300, "File name too long"),
        ("output='a\0b'", ""),
    ],
)
def test_a_value_that_makes_no_sense_is_one_sentence(start: Start, tmp_path: Path, argument: str, words: str) -> None:
    code, stderr = start(argument)
    assert code == 2
    assert words in stderr
    assert stderr.count("\n") == 1
    assert len(stderr) < 2_500
    assert list(tmp_path.iterdir()) == []


def test_what_is_printed_holds_no_control_characters(tmp_path: Path) -> None:
    stdout, stderr = process(tmp_path, "then=print", "output=here").communicate(timeout=60)
    assert (stdout, stderr) == ("evil \\x1b[2J\\u202e\tname\n", "")
    assert one_line("a\x1b[2J\n b") == "a\\x1b[2J b"


@pytest.mark.parametrize("program", ["train", "run", "calibrate"])
def test_an_interrupt_while_a_program_is_imported_prints_nothing(tmp_path: Path, program: str) -> None:
    command = ["env", "--default-signal=INT", sys.executable, "-v", "-m", f"experiments.{program}", "output=here"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        for line in running.stderr:  # -v tells each import
            if "import 'numpy'" in line:
                break
        running.send_signal(signal.SIGINT)
        assert "Traceback" not in running.stderr.read()
    assert running.returncode in (-signal.SIGINT, 130)
    assert list(tmp_path.iterdir()) == []


def unheard(folder: Path, *arguments: str, through: Sequence[str] = ()) -> tuple[str, int]:
    """Standard error and exit code of the toy program whose standard output nobody reads."""
    with process(folder, *arguments, through=through) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        told = running.stderr.read()
    return told, running.returncode


@pytest.mark.parametrize("through", [("env", "PYTHONUNBUFFERED=1"), ()])  # at once, or when the buffer is emptied
def test_a_pipe_that_nobody_reads_ends_a_program_quietly(tmp_path: Path, through: Sequence[str]) -> None:
    for arguments in (["--help"], ["then=print", "output=here"]):
        assert unheard(tmp_path, *arguments, through=through) == ("", 141)
    assert ("here/config.txt" in runs(tmp_path)) == (not through)


@pytest.mark.parametrize(
    ("stream", "told"), [("1", "error: cannot print to standard output: No space left"), ("2", "")]
)
def test_a_stream_that_is_full_is_one_sentence(tmp_path: Path, stream: str, told: str) -> None:
    onto = ("sh", "-c", f'exec "$@" {stream}>/dev/full', "sh")
    running = process(tmp_path, "then=print", "output=here", through=onto)
    _, stderr = running.communicate(timeout=60)
    assert running.returncode == (2 if told else 0)
    assert stderr.startswith(told)
    assert stderr.count("\n") == (1 if told else 0)
    assert "here/config.txt" in runs(tmp_path)


@pytest.mark.parametrize("streams", ["1>&-", "2>&-", "1>&- 2>&-"])
def test_a_program_works_without_streams(tmp_path: Path, streams: str) -> None:
    running = process(tmp_path, "then=print", "output=here", through=("sh", "-c", f'exec "$@" {streams}', "sh"))
    _, stderr = running.communicate(timeout=60)
    assert (running.returncode, stderr) == (0, "")
    assert "here/config.txt" in runs(tmp_path)
