"""Signatures: what was signed loads and says by whom; whatever somebody else made of it is refused in one sentence."""

import json
import os
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa, x25519
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from flashsim.errors import InputError
from flashsim.files import json_text
from flashsim.keys import PRIVATE_FILE, PUBLIC_FILE, make_keys, read_private_key, read_public_key
from flashsim.policies import bundle
from flashsim.policies.bundle import CARD_FILE, WEIGHTS_FILE, _seal, load_policy, save_policy
from flashsim.scenarios.compiled import CompiledSale
from flashsim.signatures import ANYBODY, SIGNATURE_FILE, Kind, Trust, check_signature, fingerprint, sign_folder
from flashsim.world import SIGNED_AS as WORLD
from flashsim.world import World
from tests.made_policies import random_network, random_observations
from tests.worlds import make_scenario, make_world


@cache
def the_sale() -> CompiledSale:
    return make_scenario(make_world(products=2)).compile()


def save(folder: Path, *, seed: int = 0) -> Path:
    policy = random_network(the_sale(), seed=seed, layers=(4,))
    save_policy(policy, folder, probes=random_observations(the_sale(), 8), beside={"policy.onnx": bytes(100)})
    return folder


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    make_keys(tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture
def signed(tmp_path: Path, keys: Path) -> Path:
    sign_folder(save(tmp_path / "bundle"), bundle.SIGNED_AS, keys / PRIVATE_FILE)
    return tmp_path / "bundle"


def refusal(folder: Path, trust: Trust = ANYBODY, load: Callable[..., object] = load_policy) -> str:
    with pytest.raises(InputError) as caught:
        load(folder, trust=trust)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert ";" in sentence
    assert len(sentence) < 600
    return sentence


def test_a_load_says_whether_and_by_whom_the_folder_is_signed(tmp_path: Path, keys: Path) -> None:
    mark = fingerprint(read_public_key(keys / PUBLIC_FILE))
    make_world().save(tmp_path / "world")
    save(tmp_path / "bundle")
    things: list[tuple[str, Kind, Callable[..., object]]] = [
        ("world", WORLD, World.load),
        ("bundle", bundle.SIGNED_AS, load_policy),
    ]
    for name, kind, load in things:
        told: list[str] = []
        load(tmp_path / name, trust=Trust([keys / PUBLIC_FILE], tell=told.append))
        assert sign_folder(tmp_path / name, kind, keys / PRIVATE_FILE) == mark
        load(tmp_path / name, trust=Trust(tell=told.append))
        load(tmp_path / name, trust=Trust([keys / PUBLIC_FILE], signed_only=True, tell=told.append))
        assert [line.partition(name)[2] for line in told] == [
            " is not signed: its checksums guard against accidents, not against people",
            f" is signed by the key {mark}, which nobody here was told to trust",
            f" is signed by the key {mark}, which you trust",
        ]
        load(tmp_path / name)


def test_a_changed_byte_anywhere_is_refused(signed: Path) -> None:
    for path in sorted(signed.iterdir()):
        whole = path.read_bytes()
        places = range(len(whole)) if path.name == SIGNATURE_FILE else range(0, len(whole), 97)
        for place in places:
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x01]) + whole[place + 1 :])
            refusal(signed)
        path.write_bytes(whole[:-1])
        refusal(signed)
        path.write_bytes(whole + b"\n")
        refusal(signed)
        path.write_bytes(whole)
    load_policy(signed)


def change_signature(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    record = json.loads((folder / SIGNATURE_FILE).read_text())
    change(record)
    (folder / SIGNATURE_FILE).write_text(json_text(record))


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.update(signature=record["signature"][:-2]),
        lambda record: record.update(signature=record["signature"] + "00"),
        lambda record: record.update(signature=record["signature"].upper()),
        lambda record: record.update(signature="0" * 128),
        lambda record: record.update(signature=5),
        lambda record: record.update(public_key="0" * 64),
        lambda record: record.update(public_key="01" + "0" * 62),
        lambda record: record.update(public_key="f" * 64),
        lambda record: record.update(public_key=record["public_key"][:-2]),
        lambda record: record.update(files={}),
        lambda record: record.update(files=[]),
        lambda record: record["files"].update({"../x": "0" * 64}),
        lambda record: record["files"].update({CARD_FILE: None}),
        lambda record: record.update(kind="World"),
        lambda record: record.update(kind=[]),
        lambda record: record.update(kind_version=bundle.SIGNED_AS.version - 1),
        lambda record: record.update(kind_version=float(bundle.SIGNED_AS.version)),
        lambda record: record.update(format_version=True),
        lambda record: record.update(format_version=2),
        lambda record: record.update(more=1),
        lambda record: record.pop("kind"),
    ],
)
def test_a_signature_that_is_none_is_refused(signed: Path, change: Callable[[dict[str, Any]], object]) -> None:
    change_signature(signed, change)
    assert SIGNATURE_FILE in refusal(signed)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "[" * 10**5, '{"a": 1e999}', "\udc00"])
def test_a_signature_file_that_is_none_is_refused(signed: Path, text: str) -> None:
    (signed / SIGNATURE_FILE).write_bytes(text.encode("utf-8", "surrogatepass"))
    assert SIGNATURE_FILE in refusal(signed)


def test_a_signature_in_other_white_space_is_refused(signed: Path) -> None:
    (signed / SIGNATURE_FILE).write_text(json.dumps(json.loads((signed / SIGNATURE_FILE).read_text())))
    assert "as flashsim writes it" in refusal(signed)


@pytest.mark.parametrize("name", [SIGNATURE_FILE, CARD_FILE, WEIGHTS_FILE, "policy.onnx"])
def test_a_link_a_pipe_or_a_folder_in_place_of_a_signed_file_is_refused_at_once(signed: Path, name: str) -> None:
    elsewhere = signed.parent / "elsewhere"
    shutil.copy(signed / name, elsewhere)
    makers: list[Callable[[Path], object]] = [
        os.mkfifo,
        lambda path: path.symlink_to(elsewhere),
        lambda path: path.symlink_to(signed.parent / "nothing"),
        lambda path: path.mkdir(),
    ]
    for make in makers:
        (signed / name).unlink()
        make(signed / name)
        refusal(signed)
        (signed / name).rmdir() if make is makers[-1] else (signed / name).unlink()
        shutil.copy(elsewhere, signed / name)
    load_policy(signed)


def test_a_file_that_was_added_or_taken_away_is_refused(signed: Path) -> None:
    (signed / "more.txt").write_text("more")
    assert "'more.txt' was not signed" in refusal(signed)
    (signed / "more.txt").unlink()
    (signed / "policy.onnx").unlink()
    assert "'policy.onnx' was signed but is not there" in refusal(signed)


def test_files_of_another_signed_bundle_are_refused(signed: Path, tmp_path: Path, keys: Path) -> None:
    other = save(tmp_path / "other", seed=1)
    sign_folder(other, bundle.SIGNED_AS, keys / PRIVATE_FILE)
    for name in (WEIGHTS_FILE, SIGNATURE_FILE):
        whole = (signed / name).read_bytes()
        shutil.copy(other / name, signed / name)
        assert "is not the file that the key" in refusal(signed)
        (signed / name).write_bytes(whole)


def test_the_signature_of_a_world_serves_for_no_bundle(tmp_path: Path, keys: Path) -> None:
    """Though its holder signed the very same files."""
    save(tmp_path / "bundle")
    sign_folder(tmp_path / "bundle", WORLD._replace(files=bundle.SIGNED_AS.files), keys / PRIVATE_FILE)
    assert "signs 'World' of format" in refusal(tmp_path / "bundle")
    change_signature(
        tmp_path / "bundle", lambda record: record.update(kind=bundle.SIGNED_AS.name, kind_version=bundle.SIGNED_AS[1])
    )
    assert "is no signature of its key" in refusal(tmp_path / "bundle")
    make_world().save(tmp_path / "world")
    sign_folder(tmp_path / "world", WORLD._replace(version=WORLD.version + 1), keys / PRIVATE_FILE)
    assert f"expected 'World' of format {WORLD.version}" in refusal(tmp_path / "world", load=World.load)


def test_what_was_changed_and_sealed_anew_needs_the_key_again(signed: Path, tmp_path: Path, keys: Path) -> None:
    trust = Trust([keys / PUBLIC_FILE], setting="policies.trusted_keys")
    card = json.loads((signed / CARD_FILE).read_text()) | {"name": "another"}
    card.pop("seal")
    (signed / CARD_FILE).write_text(json_text(card | {"seal": _seal(card)}))
    assert "is not the file that the key" in refusal(signed, trust)
    make_keys(tmp_path / "stranger")
    mark = sign_folder(signed, bundle.SIGNED_AS, tmp_path / "stranger" / PRIVATE_FILE)
    assert f"key {mark}, which is none of policies.trusted_keys" in refusal(signed, trust)
    assert load_policy(signed).name == "another"
    (signed / SIGNATURE_FILE).unlink()
    load_policy(signed, trust=trust)
    assert "is not signed" in refusal(signed, Trust(trust.keys, signed_only=True))


def test_asking_for_signatures_of_nobody_is_refused(signed: Path) -> None:
    assert "whose is not said; give keys=[FILE]" in refusal(signed, Trust(signed_only=True))


def test_what_is_loaded_are_the_bytes_that_were_verified(signed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody exchanges a file in the moment after the signature was looked at."""
    other = save(signed.parent / "other", seed=1)
    whole, strange = load_policy(signed).training, load_policy(other).training
    look = check_signature

    def look_and_exchange(name: str) -> None:
        def looked(folder: Path, kind: Kind, trust: Trust, **read: Any) -> None:
            look(folder, kind, trust, **read)
            shutil.copy(other / name, folder / name)

        monkeypatch.setattr(bundle, "check_signature", looked)

    look_and_exchange(CARD_FILE)
    assert load_policy(signed).training == whole != strange
    monkeypatch.undo()
    sign_folder(save(signed), bundle.SIGNED_AS, signed.parent / "keys" / PRIVATE_FILE)
    look_and_exchange(WEIGHTS_FILE)
    assert "SHA-256" in refusal(signed)


def test_saving_again_drops_the_signature(signed: Path) -> None:
    save(signed, seed=1)
    assert not (signed / SIGNATURE_FILE).exists()
    load_policy(signed)


def test_a_folder_with_more_than_files_is_not_signed(tmp_path: Path, keys: Path) -> None:
    (save(tmp_path / "bundle") / "more").mkdir()
    with pytest.raises(InputError, match="a link or no file"):
        sign_folder(tmp_path / "bundle", bundle.SIGNED_AS, keys / PRIVATE_FILE)


@pytest.mark.parametrize("name", ["notes.txt", ".hidden", "policy.onnx"])
def test_a_file_that_is_none_of_the_kind_is_not_signed(tmp_path: Path, keys: Path, name: str) -> None:
    """A World has no ONNX file, and of a bundle only those that it lists."""
    things: list[tuple[Path, Kind]] = [(tmp_path / "world", WORLD), (save(tmp_path / "bundle"), bundle.SIGNED_AS)]
    make_world().save(tmp_path / "world")
    (tmp_path / "bundle" / bundle.BESIDE_FILE).unlink()
    for folder, kind in things:
        (folder / name).write_text("mine")
        with pytest.raises(InputError, match=rf"is no file of a {kind.name}, so nobody signs it; remove it"):
            sign_folder(folder, kind, keys / PRIVATE_FILE)
        assert not (folder / SIGNATURE_FILE).exists()


@pytest.mark.parametrize("link", [None, os.link, os.symlink])
def test_a_key_that_would_travel_along_signs_nothing(tmp_path: Path, link: Callable[..., None] | None) -> None:
    make_keys(save(tmp_path / "bundle"))
    (tmp_path / "bundle" / PUBLIC_FILE).unlink()
    key = tmp_path / "bundle" / PRIVATE_FILE
    if link is not None:
        link(key, tmp_path / "key.pem")
        key = tmp_path / "key.pem"
    with pytest.raises(InputError, match=r"lies in .*bundle, which others will get; move the private key elsewhere"):
        sign_folder(tmp_path / "bundle", bundle.SIGNED_AS, key)
    assert not (tmp_path / "bundle" / SIGNATURE_FILE).exists()


def test_a_private_key_is_its_owners_alone(keys: Path) -> None:
    assert (keys / PRIVATE_FILE).stat().st_mode & 0o777 == 0o600
    assert (keys / PUBLIC_FILE).stat().st_mode & 0o444 == 0o444


def _private(key: Any, *, passphrase: bytes | None = None) -> bytes:
    protection = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase)
    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection))


def _public(key: Any) -> bytes:
    return bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


ED, RSA, X = Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 2048), x25519.X25519PrivateKey.generate()


NO_KEYS = {
    "private RSA": _private(RSA),
    "private X25519": _private(X),
    "public RSA": _public(RSA),
    "public X25519": _public(X),
    "passphrase": _private(ED, passphrase=b"secret"),
    "both": _private(ED) + _public(ED),
    "two private": _private(ED) * 2,
    "two public": _public(ED) * 2,
    "broken private": _private(ED).replace(b"M", b"*"),
    "broken public": _public(ED).replace(b"M", b"*"),
    "OpenSSH": bytes(ED.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())),
    "raw": ED.private_bytes_raw(),
    "nothing": b"",
    "no text": b"\xff" * 100,
    "empty private": b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
    "empty public": b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
    "huge": _public(ED) + b"\n" * 2**15,
}


@pytest.mark.parametrize("read", [read_private_key, read_public_key])
@pytest.mark.parametrize("content", NO_KEYS)
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, read: Callable[[Path], object], content: str) -> None:
    """And not repeated."""
    (tmp_path / "key.pem").write_bytes(NO_KEYS[content])
    with pytest.raises(InputError, match=r"key\.pem") as caught:
        read(tmp_path / "key.pem")
    sentence = str(caught.value).replace(str(tmp_path), "")
    assert "\n" not in sentence
    assert len(sentence) < 120


@pytest.mark.parametrize("read", [read_private_key, read_public_key])
def test_a_key_is_a_regular_file(tmp_path: Path, keys: Path, read: Callable[[Path], object]) -> None:
    os.mkfifo(tmp_path / "pipe")
    wrong = keys / (PUBLIC_FILE if read is read_private_key else PRIVATE_FILE)
    for path in (tmp_path / "pipe", tmp_path / "nothing", keys, Path("/dev/zero"), wrong):
        with pytest.raises(InputError):
            read(path)
