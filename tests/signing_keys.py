"""Ed25519 keys in files, as OpenSSL writes them."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat


def make_key(folder: Path, name: str) -> Path:
    """Writes a new private key and beside it, with the suffix .pub, its public half; returns the private one's file."""
    key, file = Ed25519PrivateKey.generate(), folder / f"{name}.pem"
    file.touch(mode=0o600)
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    file.with_suffix(".pub").write_bytes(public)
    return file


def trust(folder: Path, *keys: Path, steps: tuple[Path, ...] = ()) -> Path:
    """Writes a file that trusts these keys, and the others with steps only."""
    file = folder / "trusted.pub"
    parts = [key.with_suffix(".pub").read_text() for key in keys]
    parts += ["steps only:\n", *(key.with_suffix(".pub").read_text() for key in steps)] if steps else []
    file.write_text("# who may release\n" + "".join(parts))
    return file
