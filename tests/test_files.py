"""Files are whole or absent: what stays on disk after success, after failure, and where nothing can be written."""

import hashlib
import os
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pandas as pd
import pytest

from flashsim.errors import InputError
from flashsim.files import read_json, replace_folder, sha256, write_bytes, write_json, write_table, write_text


@pytest.fixture
def not_a_folder(tmp_path: Path) -> Path:
    """A path below a regular file: unwritable even for root, whom permissions do not stop."""
    (tmp_path / "file").write_text("kept")
    return tmp_path / "file" / "below" / "target"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_input_error_is_a_value_error_so_that_callers_of_the_library_can_catch_it() -> None:
    assert issubclass(InputError, ValueError)


def test_a_written_file_makes_its_folders_and_replaces_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "text"
    write_text(target, "old")
    write_text(target, "новое 新")
    assert target.read_bytes().decode("utf-8") == "новое 新"
    assert names(target.parent) == ["text"]


def test_a_written_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_bytes(tmp_path / "shared", b"1")
        with replace_folder(tmp_path / "folder"):
            pass
    finally:
        os.umask(old)
    assert (tmp_path / "shared").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o750


def test_writing_never_touches_the_umask_which_other_threads_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "umask", Mock(side_effect=AssertionError("the umask belongs to the whole process")))
    write_bytes(tmp_path / "file", b"1")
    with replace_folder(tmp_path / "folder"):
        pass
    assert names(tmp_path) == ["file", "folder"]


def test_equal_tables_are_equal_bytes_on_every_system(tmp_path: Path) -> None:
    write_table(tmp_path / "table.csv", pd.DataFrame({"policy": ["学习"], "mean": [0.1]}))
    assert (tmp_path / "table.csv").read_bytes() == "policy,mean\n学习,0.1\n".encode()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_in_the_middle_of_writing_keeps_the_old_file_and_leaves_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    target = tmp_path / "table.csv"
    write_text(target, "old")

    monkeypatch.setattr(Path, "replace", Mock(side_effect=error))
    with pytest.raises(InputError if isinstance(error, OSError) else KeyboardInterrupt):
        write_text(target, "new")
    assert target.read_text() == "old"
    assert names(tmp_path) == ["table.csv"]


def test_an_unwritable_place_is_one_sentence_with_the_path_and_what_to_do(not_a_folder: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .*target: .*; choose a folder that you can write to$"):
        write_text(not_a_folder, "text")
    assert not_a_folder.parents[1].read_text() == "kept"


def test_json_comes_back_equal_with_its_keys_sorted(tmp_path: Path) -> None:
    value: dict[str, Any] = {"b": [1, 2.5, None], "a": {"名": "折扣"}}
    write_json(tmp_path / "value.json", value)
    assert read_json(tmp_path / "value.json") == value
    text = (tmp_path / "value.json").read_text(encoding="utf-8")
    assert text.index('"a"') < text.index('"b"')
    assert "折扣" in text


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_json_refuses_what_is_no_number_and_keeps_the_old_file(tmp_path: Path, number: float) -> None:
    write_json(tmp_path / "value.json", 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "value.json", {"score": number})
    assert read_json(tmp_path / "value.json") == 1


@pytest.mark.parametrize("content", [b'{"cut": ', b"\xff\xfe\x00", b""])
def test_a_broken_json_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "card.json").write_bytes(content)
    with pytest.raises(InputError, match=r"card\.json is not valid JSON"):
        read_json(tmp_path / "card.json")


@pytest.mark.parametrize("read", [read_json, sha256])
def test_a_missing_file_or_a_folder_in_its_place_is_named(tmp_path: Path, read: Any) -> None:
    with pytest.raises(InputError, match=r"cannot read .*absent\.json: .*; check the path"):
        read(tmp_path / "absent.json")
    with pytest.raises(InputError, match="cannot read"):
        read(tmp_path)


def test_a_checksum_is_the_sha256_of_the_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    write_bytes(tmp_path / "data", data)
    assert sha256(tmp_path / "data") == hashlib.sha256(data).hexdigest()


def test_a_folder_takes_the_place_of_the_old_one_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    for name in ("old", "new"):
        with replace_folder(target, ours=("*",)) as folder:
            (folder / name).write_text(name)
            assert folder.parent == target.parent
    assert names(target) == ["new"]
    assert names(tmp_path) == ["bundle"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_while_filling_a_folder_keeps_the_old_one_and_leaves_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    target = tmp_path / "bundle"
    with replace_folder(target, ours=("*",)) as folder:
        (folder / "old").write_text("old")

    def fill() -> None:
        with replace_folder(target, ours=("*",)) as folder:
            (folder / "half").write_text("half")
            raise error

    with pytest.raises(error):
        fill()
    assert names(target) == ["old"]
    assert names(tmp_path) == ["bundle"]


def test_the_old_folder_comes_back_when_the_new_one_cannot_take_its_place(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    with replace_folder(target, ours=("*",)) as folder:
        (folder / "old").write_text("old")

    def lose_the_new_folder() -> None:
        with replace_folder(target, ours=("*",)) as folder:
            folder.rmdir()

    with pytest.raises(FileNotFoundError):
        lose_the_new_folder()
    assert names(target) == ["old"]
    assert names(tmp_path) == ["bundle"]


def test_a_file_is_never_replaced_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "bundle").write_text("kept")

    def fill() -> None:
        with replace_folder(tmp_path / "bundle"):
            raise AssertionError("the body must not run")

    with pytest.raises(InputError, match="a file has that name"):
        fill()
    assert (tmp_path / "bundle").read_text() == "kept"


def test_a_folder_in_an_unwritable_place_is_one_sentence(not_a_folder: Path) -> None:
    def fill() -> None:
        with replace_folder(not_a_folder):
            raise AssertionError("the body must not run")

    with pytest.raises(InputError, match=r"cannot write .*target: .*; choose a folder that you can write to$"):
        fill()
