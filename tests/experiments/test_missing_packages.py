"""A program whose packages are not there says so in one sentence."""

import importlib
from importlib import metadata

import pytest

import experiments


def test_a_missing_package_is_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed = metadata.version

    def version(package: str) -> str:
        if package == "torch":
            raise metadata.PackageNotFoundError(package)
        return installed(package)

    monkeypatch.setattr(metadata, "version", version)
    with pytest.raises(SystemExit) as stop:
        importlib.reload(experiments)
    assert stop.value.code == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: not installed: torch; run: pip install -c constraints.txt -e '.[train,experiments]'"
    ]
