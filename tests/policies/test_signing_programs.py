"""Keys are made, bundles and Worlds signed, and both asked for, with the programs that people use."""

import json
from pathlib import Path

import pytest

from flashsim.keys import PRIVATE_FILE, PUBLIC_FILE
from flashsim.policies.bundle import WEIGHTS_FILE, save_policy
from flashsim.reference import g0
from flashsim.signatures import SIGNATURE_FILE
from tests.experiments.programs import Start, files, small_world, starter
from tests.made_policies import random_network, random_observations

KEY = f"key=keys/{PRIVATE_FILE}"
PLAY = ("bundle=bundle", "scenario=g0", "sales=50", "resamples=200")
TRUSTED = f"policies.trusted_keys=[keys/{PUBLIC_FILE}]"


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Start:
    sale = g0().compile()
    save_policy(random_network(sale), tmp_path / "bundle", probes=random_observations(sale, 8))
    small_world().save(tmp_path / "world")
    start = starter(monkeypatch, capsys, tmp_path)
    assert start("keys", "output=keys").code == 0
    return start


def test_keys_are_made_once(start: Start, tmp_path: Path) -> None:
    assert files(tmp_path / "keys") == {PRIVATE_FILE, PUBLIC_FILE, "config.yaml", "run.json"}
    before = (tmp_path / "keys" / PRIVATE_FILE).read_bytes()
    assert before not in b"".join((tmp_path / "keys" / name).read_bytes() for name in ("run.json", "config.yaml"))
    again = start("keys", "output=keys")
    assert (again.code, again.stderr.count("\n")) == (2, 1)
    assert "already holds files" in again.stderr
    assert (tmp_path / "keys" / PRIVATE_FILE).read_bytes() == before
    other = start("keys", "output=other")
    assert json.loads((tmp_path / "other" / "run.json").read_text())["key"] in other.stdout
    assert (tmp_path / "other" / PRIVATE_FILE).read_bytes() != before


def test_what_was_signed_is_played_by_those_who_trust_the_key(start: Start, tmp_path: Path) -> None:
    unsigned = start("play", *PLAY, TRUSTED, "output=one")
    assert unsigned.code == 0, unsigned.stderr
    assert "· bundle is not signed: " in unsigned.stdout
    done = start("sign", KEY, "folders=[bundle,world]", "output=signing")
    assert done.code == 0, done.stderr
    assert "bundle: policy bundle of 2 files, signed by the key" in done.stdout
    assert "world: World of 2 files, signed by the key" in done.stdout
    signed = json.loads((tmp_path / "signing" / "signed.json").read_text())
    assert [thing["files"].keys() for thing in signed] == [
        {"card.json", WEIGHTS_FILE},
        {"world.json", "world.safetensors"},
    ]
    mark = signed[0]["key"]
    for settings, told in (
        ([TRUSTED], f"· bundle is signed by the key {mark}, which you trust"),
        ([TRUSTED, "policies.signed_only=true"], "which you trust"),
        ([], f"· bundle is signed by the key {mark}, which nobody here was told to trust"),
    ):
        ended = start("play", *PLAY, *settings, f"output=play{len(told)}")
        assert ended.code == 0, ended.stderr
        assert told in ended.stdout
    again = start("sign", KEY, "folders=[bundle]", "output=again")
    assert again.code == 0, again.stderr


def test_nothing_is_signed_where_one_of_the_folders_cannot_be(start: Start, tmp_path: Path) -> None:
    (tmp_path / "bundle" / "notes.txt").write_text("mine")
    ended = start("sign", KEY, "folders=[world,bundle]", "output=refused")
    assert ended.code == 2
    assert "'notes.txt' is no file of a policy bundle" in ended.stderr
    assert not (tmp_path / "world" / SIGNATURE_FILE).exists()
    assert not (tmp_path / "refused").exists()


def test_what_is_not_as_asked_for_is_refused(start: Start, tmp_path: Path) -> None:
    assert start("keys", "output=strange").code == 0
    assert start("sign", KEY, "folders=[bundle,world]", "output=signing").code == 0
    strange = f"[strange/{PUBLIC_FILE}]"
    for program, arguments, words in (
        ("play", [*PLAY, f"policies.trusted_keys={strange}"], "which is none of policies.trusted_keys"),
        ("evaluate", ["bundles=[bundle]", f"policies.trusted_keys={strange}"], "none of policies.trusted_keys"),
        ("studies.generalise", ["bundle=bundle", f"policies.trusted_keys={strange}"], "none of policies.trusted_keys"),
        ("train", ["world.folder=world", f"world.trusted_keys={strange}"], "which is none of world.trusted_keys"),
        ("play", [*PLAY, "policies.signed_only=true"], "give policies.trusted_keys=[FILE]"),
        ("play", [*PLAY, f"policies.trusted_keys=[keys/{PRIVATE_FILE}]"], "does not hold a public key"),
        ("play", [*PLAY, "policies.trusted_keys=[nowhere]"], "cannot read nowhere"),
        ("play", [*PLAY, "policies.trusted_keys=5"], "policies.trusted_keys"),
        ("sign", ["folders=[bundle]"], "key: expected the file of a private key, got none"),
        ("sign", [KEY], "folders: expected folders of bundles and Worlds, got none"),
        ("sign", [KEY, "folders=[keys]"], "neither a policy bundle nor a World"),
        ("sign", ["key=keys/public_key.pem", "folders=[bundle]"], "does not hold a private key"),
    ):
        ended = start(program, *arguments, "output=refused")
        assert ended.code == 2, (program, arguments, ended.stdout)
        assert words in ended.stderr
        assert ended.stderr.count("\n") == 1
        assert not (tmp_path / "refused").exists()
    whole = (tmp_path / "bundle" / WEIGHTS_FILE).read_bytes()
    (tmp_path / "bundle" / WEIGHTS_FILE).write_bytes(whole[:-1] + b"\0")
    for program, arguments in (("play", [*PLAY]), ("sign", [KEY, "folders=[world,bundle]"])):
        ended = start(program, *arguments, "output=refused")
        assert ended.code == 2
        assert "is not the file that the key" in ended.stderr
    (tmp_path / "bundle" / SIGNATURE_FILE).unlink()
    assert "is truncated or was changed" in start("sign", KEY, "folders=[bundle]", "output=refused").stderr
