"""Files that somebody made to do harm: pipes, devices, links, bombs. Each is refused at once, in one sentence."""

import json
import os
import socket
import struct
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save

from flashsim.errors import InputError
from flashsim.files import read_json, replace_folder, sha256, write_bytes, write_page, write_table, write_text
from flashsim.scenarios.files import read_scenario_file
from flashsim.settings import nearest
from flashsim.shown import brief, harmless, visible
from flashsim.tensor_files import read_tensor_file
from flashsim.yaml_file import read_yaml


def pipe(path: Path) -> None:
    os.mkfifo(path)


def bound_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(path.parent)  # the name of a socket is short
        try:
            server.bind(path.name)
        finally:
            os.chdir(here)


def dangling_link(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere")


def link_to_a_file(path: Path) -> None:
    (path.parent / "kept").write_text("kept")
    path.symlink_to(path.parent / "kept")


@pytest.mark.parametrize("make", [pipe, bound_socket, dangling_link, link_to_a_file])
def test_what_is_neither_file_nor_folder_is_never_replaced(tmp_path: Path, make: Callable[[Path], None]) -> None:
    target = tmp_path / "target"
    make(target)
    before = os.lstat(target)
    with pytest.raises(InputError, match="has that name; choose another"):
        write_bytes(target, b"new")

    def fill() -> None:
        with replace_folder(target, ours=("*",)):
            raise AssertionError("the body must not run")

    with pytest.raises(InputError, match="has that name; choose another"):
        fill()
    assert os.lstat(target) == before
    assert {path.name for path in tmp_path.iterdir()} <= {"target", "kept"}


def test_a_folder_with_other_files_is_never_replaced(tmp_path: Path) -> None:
    for name, ours in (("thesis.txt", ("*.csv",)), ("thesis.csv", ())):
        folder = tmp_path / name.replace(".", "_")
        folder.mkdir()
        (folder / name).write_text("years")
        with pytest.raises(InputError, match="it holds 'thesis"), replace_folder(folder, ours=ours):
            raise AssertionError("the body must not run")
        assert (folder / name).read_text() == "years"


def test_a_link_to_a_folder_stands_for_the_folder(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    with replace_folder(tmp_path / "link") as folder:
        (folder / "new").write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "disk" / "new").read_text() == "new"


def test_the_folder_that_one_is_in_is_never_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for target in (Path(), tmp_path, tmp_path.parent, Path()):
        with pytest.raises(InputError, match="you are in it"), replace_folder(target, ours=("*",)):
            raise AssertionError("the body must not run")


@pytest.mark.parametrize("exists", [False, True])
def test_of_two_writers_of_one_new_folder_one_succeeds(tmp_path: Path, exists: bool) -> None:
    def write(target: Path, start: threading.Barrier) -> bool:
        start.wait()
        try:
            with replace_folder(target) as folder:
                (folder / "run.json").write_text(str(threading.get_ident()))
        except InputError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        for number in range(60):
            target = tmp_path / str(number)
            if exists:
                target.mkdir()
            start = threading.Barrier(2)
            ends = [pool.submit(write, target, start) for _ in range(2)]
            assert sorted(end.result() for end in ends) == [False, True]
            assert [path.name for path in target.iterdir()] == ["run.json"]
    assert len(list(tmp_path.iterdir())) == 60


@pytest.mark.parametrize("name", ["x" * 300, "zero\0byte", "x/" * 3000])
def test_a_name_that_no_system_takes_is_one_sentence(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    uses: list[Callable[[Path], object]] = [
        read_json,
        sha256,
        read_yaml,
        lambda path: write_text(path, "text"),
        lambda path: replace_folder(path).__enter__(),
        lambda path: read_tensor_file(path, what="a rollout", advice="make it again"),
    ]
    for use in uses:
        with pytest.raises(InputError) as refused:
            use(path)
        assert len(str(refused.value)) < 500
        assert "\0" not in str(refused.value)


def test_a_long_name_that_the_system_takes_is_written(tmp_path: Path) -> None:
    write_text(tmp_path / ("价" * 80), "text")
    assert (tmp_path / ("价" * 80)).read_text() == "text"


@pytest.mark.parametrize("use", [read_json, sha256, read_yaml])
def test_a_pipe_is_not_waited_for_and_a_device_is_not_read(tmp_path: Path, use: Callable[[Path], object]) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    for name, words in (("pipe", "it is a pipe"), ("endless", "it is a device")):
        with pytest.raises(InputError, match=words):
            use(tmp_path / name)


def test_a_file_of_a_terabyte_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "huge.json").open("wb") as stream:
        stream.truncate(2**40)
    with pytest.raises(InputError, match="at most"):
        read_json(tmp_path / "huge.json")
    with pytest.raises(InputError, match="at most"):
        read_yaml(tmp_path / "huge.json")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 10**6, "nested deeper"),
        ('{"a":' * 10**6, "nested deeper"),
        ("[" * 100 + "]" * 100, "nested deeper"),
        ('{"name": "\\ud800"}', "half a character"),
        ('{"\\udfff": 1}', "half a character"),
        ("[" + "9" * 400 + "]", "more than 39 digits"),
        ("[" + "9" * 5000 + "]", "not valid JSON"),
    ],
)
def test_json_that_no_program_of_ours_wrote_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "card.json").write_text(text)
    with pytest.raises(InputError, match=words) as refused:
        read_json(tmp_path / "card.json")
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 10**5, "nested too deeply"),
        ("a: [" + "[" * 90 + "]" * 90 + "]", "nested deeper"),
        ("a: &a [1, 1]\nb: [*a, *a]", r"refers to another place \(\*\), line 2"),
        ("a: " + "9" * 400, "digits"),
        ("a: 9999-99-99", "month"),
        ('a: "\\ud800"', "half a character"),
        ("a: 1\na: 2", "given twice"),
        ("? [1]\n: 2", "unhashable"),
    ],
)
def test_yaml_that_nobody_meant_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "scenario.yaml").write_text(text)
    with pytest.raises(InputError, match=words):
        read_yaml(tmp_path / "scenario.yaml")
    with pytest.raises(InputError):
        read_scenario_file(tmp_path / "scenario.yaml")


def test_a_refused_yaml_file_is_not_told_to_whoever_reads_the_error(tmp_path: Path) -> None:
    for secret in ("root:x:0:0:secret:/root:/bin/sh\n", "!secret x", "*secret", "%secret", "a: secret: b", "'secret"):
        (tmp_path / "passwd.yaml").write_text(secret)
        with pytest.raises(InputError) as refused:
            read_scenario_file(tmp_path / "passwd.yaml")
        assert "secret" not in str(refused.value)


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3", "F8_E5M2", "F4", "C64", "", None, ["F32"]])
def test_tensors_of_a_type_that_numpy_does_not_have_are_refused(tmp_path: Path, dtype: object) -> None:
    header = json.dumps({"x": {"dtype": dtype, "shape": [2], "data_offsets": [0, 4]}}).encode()
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(InputError, match=r"is not a rollout \(.*; make it again"):
        read_tensor_file(tmp_path / "x.safetensors", what="a rollout", advice="make it again")


@pytest.mark.parametrize(
    "header", [b"", b"[]", b'{"x": 5}', b'{"x": ' + b"[" * 10**5, b"\xff", b'{"__metadata__": 3}', b"9" * 5000]
)
def test_a_header_of_tensors_that_makes_no_sense_is_refused(tmp_path: Path, header: bytes) -> None:
    for size in (len(header), 2**63, 0):
        (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", size) + header)
        with pytest.raises(InputError, match="is not a rollout"):
            read_tensor_file(tmp_path / "x.safetensors", what="a rollout", advice="make it again")


def test_every_type_of_ours_is_read(tmp_path: Path) -> None:
    arrays = {kind: np.ones(3, kind) for kind in ("bool", "uint8", "int64", "uint64", "float16", "float32", "float64")}
    write_bytes(tmp_path / "x", save(arrays, metadata={"told": "1"}))
    read = read_tensor_file(tmp_path / "x", what="a rollout", advice="make it again")
    assert read.metadata == {"told": "1"}
    assert all(np.array_equal(read.arrays[name], array) for name, array in arrays.items())


def test_a_name_that_is_half_a_character_is_one_sentence_when_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not text; correct the name"):
        write_text(tmp_path / "text", "name: \udcff")
    assert not list(tmp_path.iterdir())


FORMULAS = ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "＝1+1", "-", '=HYPERLINK("http://x")']


@pytest.mark.parametrize("text", FORMULAS)
def test_no_table_holds_a_formula_in_cells_or_names_of_columns(tmp_path: Path, text: str) -> None:
    table = pd.DataFrame({"name": [text, "plain"], text: [-1.5, 2.0]})
    write_table(tmp_path / "table.csv", table)
    read = pd.read_csv(tmp_path / "table.csv")
    assert read["name"].tolist() == [f"'{text}", "plain"]
    assert read.columns.tolist() == ["name", f"'{text}"]
    assert read.iloc[:, 1].tolist() == [-1.5, 2.0]
    assert table["name"].tolist() == [text, "plain"]  # the caller's own


def test_a_lone_carriage_return_begins_no_row_of_a_table(tmp_path: Path) -> None:
    write_table(tmp_path / "table.csv", pd.DataFrame({"name": ["a\r=1+1", "\r=1"]}))
    assert (tmp_path / "table.csv").read_bytes() == b"name\na\\x0d=1+1\n\\x0d=1\n"


def test_harmless_tables_keep_their_bytes(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "f32": np.array([0.1, -2.5e-7], np.float32),
            "number": [-0.1, -np.inf],
            "mixed": ["-3.5", None],
            "object": np.array([1, 2.5], object),
            "when": pd.to_datetime(["2026-01-01", "2026-01-02"]),
            "kind": pd.Categorical(["a", "b"]),
            "−": ["− 3 %", "a,b"],
        }
    )
    write_table(tmp_path / "table.csv", table)
    assert (tmp_path / "table.csv").read_text() == table.to_csv(index=False, lineterminator="\n")
    assert harmless(-3) == -3


def test_characters_that_play_tricks_are_shown_as_escapes(tmp_path: Path) -> None:
    assert visible("price \x1b[2J\u202egnp\x9b \ud800 的\t") == "price \\x1b[2J\\u202egnp\\x9b \\ud800 的\\x09"
    assert visible("a\nb\tc", keep="\n\t") == "a\nb\tc"
    write_page(tmp_path / "report.html", "<p>\u202eevil\x07</p>\n")
    assert (tmp_path / "report.html").read_text() == "<p>\\u202eevil\\x07</p>\n"


def test_a_value_in_a_sentence_is_short() -> None:
    for value in ("x" * 10**6, 10**5000, -(10**5000), {"a": 1}, [[1]], "\x1b[2J", None, 1.5):
        assert len(brief(value)) <= 62
        assert "\x1b" not in brief(value)


@pytest.mark.parametrize("word", ["zzz", "", "profit margin of the whole shop", "x" * 10**6])
def test_a_name_that_is_not_near_is_not_suggested(word: str) -> None:
    assert nearest(word, ["profit", "revenue", "grocery_evening"]) is None
