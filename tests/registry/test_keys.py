from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from signing_keys import make_key, trust

from progressive_tf.errors import InputError
from progressive_tf.registry.keys import (
    KEY_VARIABLE,
    TRUSTED_VARIABLE,
    Keys,
    fingerprint,
    is_signature,
    read_private,
    read_trusted,
)


def test_a_key_signs_and_its_public_half_tells(tmp_path: Path) -> None:
    file = make_key(tmp_path, "release")
    key, (trusted, steps) = read_private(file), read_trusted(file.with_suffix(".pub"))
    assert (trusted, steps) == ({key.public}, frozenset())
    signature = key.sign(b"said")
    assert is_signature(key.public, signature, b"said")
    assert not is_signature(key.public, signature, b"other")
    assert not is_signature(key.public, "00" * 64, b"said")
    assert not is_signature(read_private(make_key(tmp_path, "other")).public, signature, b"said")
    assert "private" not in repr(key)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")
def test_keys_that_openssl_writes_are_read_and_called_alike(tmp_path: Path) -> None:
    def openssl(*arguments: str) -> bytes:
        return subprocess.run(["openssl", *arguments], cwd=tmp_path, check=True, capture_output=True).stdout

    openssl("genpkey", "-algorithm", "ed25519", "-out", "release.pem")
    openssl("pkey", "-in", "release.pem", "-pubout", "-out", "release.pub")
    key = read_private(tmp_path / "release.pem")
    assert read_trusted(tmp_path / "release.pub")[0] == {key.public}
    (tmp_path / "der").write_bytes(openssl("pkey", "-pubin", "-in", "release.pub", "-outform", "DER"))
    assert openssl("dgst", "-sha256", "-r", "der").decode().startswith(fingerprint(key.public))
    openssl("pkey", "-in", "release.pem", "-aes256", "-passout", "pass:secret", "-out", "locked.pem")
    with pytest.raises(InputError, match="has a passphrase"):
        read_private(tmp_path / "locked.pem")


def test_a_file_of_several_keys_says_which_may_only_move_aliases(tmp_path: Path) -> None:
    release, old, server = (make_key(tmp_path, name) for name in ("release", "old", "server"))
    trusted, steps = read_trusted(trust(tmp_path, release, old, steps=(server, old)))
    assert trusted == {read_private(key).public for key in (release, old)}
    assert steps == {read_private(server).public}
    assert Keys.read(server, tmp_path / "trusted.pub").only_steps
    assert not Keys.read(release, tmp_path / "trusted.pub").only_steps


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_private_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = make_key(tmp_path, "release")
    file.chmod(mode)
    with pytest.raises(InputError, match=f"mode {mode:o}.*chmod 600"):
        read_private(file)


def rsa(folder: Path) -> Path:
    key, file = generate_private_key(65537, 1024), folder / "rsa.pem"
    file.touch(mode=0o600)
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    file.with_suffix(".pub").write_bytes(public)
    return file


def test_what_is_no_such_key_is_refused_in_words(tmp_path: Path) -> None:
    release, other = make_key(tmp_path, "release"), rsa(tmp_path)
    written = tmp_path / "written"
    written.touch(mode=0o600)
    for content, problem in {
        "": "there is none in it",
        "hello": "there is none in it",
        release.with_suffix(".pub").read_text(): "it holds: public key",
        release.read_text().replace("MC4C", "AAAA"): "cannot be read",
        other.read_text(): "of another kind",
    }.items():
        written.write_text(content)
        with pytest.raises(InputError, match=problem):
            read_private(written)
    public = release.with_suffix(".pub").read_text()
    for content, problem in {
        "": "there is none in it",
        release.read_text(): "a private key stands in it",
        public + release.read_text(): "a private key stands in it",
        public.replace("MCow", "AAAA"): "cannot be read",
        other.with_suffix(".pub").read_text(): "another kind",
        public + "steps-only:\n" + public: "'steps-only:' is no key",
        "steps only:\n" + public: "expected; it holds: public key",
        public.replace("-----END PUBLIC KEY-----", ""): "is no key",
    }.items():
        written.write_text(content)
        with pytest.raises(InputError, match=problem):
            read_trusted(written)
    with pytest.raises(InputError, match="cannot be read"):
        read_trusted(tmp_path / "nowhere")
    with pytest.raises(InputError, match="cannot be read"):
        read_private(tmp_path / "nowhere")


def test_the_environment_names_keys_and_flags_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release, other = make_key(tmp_path, "release"), make_key(tmp_path, "other")
    assert Keys.read() == Keys()
    assert not Keys.read().verifies
    alone = Keys.read(release)
    assert alone.own is not None
    assert alone.trusted == {alone.own.public}
    monkeypatch.setenv(KEY_VARIABLE, str(other))
    monkeypatch.setenv(TRUSTED_VARIABLE, str(trust(tmp_path, release)))
    assert Keys.read(release).own == alone.own
    with pytest.raises(InputError, match=r"other\.pem.* is not among the trusted ones in .*trusted\.pub"):
        Keys.read()


def test_without_the_package_it_says_which_extra_brings_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = make_key(tmp_path, "release")
    monkeypatch.setitem(sys.modules, "cryptography", None)
    for read in (read_private, read_trusted):
        with pytest.raises(InputError, match=r"progressive-tf\[sign\]"):
            read(key)
