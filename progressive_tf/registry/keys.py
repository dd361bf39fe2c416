"""Ed25519 keys in PEM files: who may sign what stands in a registry, and the key that this process signs with.

The files are those of OpenSSL: `openssl genpkey -algorithm ed25519` writes a private key (PKCS #8), `openssl pkey
-pubout` its public half (SubjectPublicKeyInfo, RFC 8410).
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from progressive_tf.errors import InputError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY_VARIABLE, TRUSTED_VARIABLE = "PROGRESSIVE_TF_KEY", "PROGRESSIVE_TF_TRUSTED_KEY"
STEPS_ONLY = "steps only:"

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----\n.*?-----END \1-----", re.DOTALL)
_OTHERS_MAY_READ = 0o077
_HOW_TO_MAKE = "`openssl genpkey -algorithm ed25519 -out FILE` makes one"
_HOW_TO_EXTRACT = "`openssl pkey -in FILE -pubout` writes it"


def fingerprint(public: str) -> str:
    """Returns what names a key in messages: the first 16 digits of the SHA-256 of its DER form.

    It is the beginning of what `openssl pkey -pubin -in FILE -outform DER | sha256sum` prints.

    Args:
        public: its 32 bytes, in hex.
    """
    return hashlib.sha256(bytes.fromhex("302a300506032b6570032100" + public)).hexdigest()[:16]


@dataclass(frozen=True)
class PrivateKey:
    """A key that signs.

    Args:
        public: its public half, 32 bytes in hex.
        private: as the package `cryptography` has it.
    """

    public: str
    private: Ed25519PrivateKey = field(repr=False, compare=False)

    def sign(self, message: bytes) -> str:
        """Returns the signature of a message, 64 bytes in hex."""
        return self.private.sign(message).hex()


@dataclass(frozen=True)
class Keys:
    """Whose signatures count, and what this process signs with.

    Args:
        trusted: public keys that may sign everything, in hex.
        steps: public keys that may sign moves of aliases, and no new version.
        own: signs what this process writes; None: nothing is signed.
        remembered: where it is kept how far a registry was signed when it was last seen, so that an older state is
            refused; None: nowhere.
    """

    trusted: frozenset[str] = frozenset()
    steps: frozenset[str] = frozenset()
    own: PrivateKey | None = None
    remembered: Path | None = None

    @property
    def verifies(self) -> bool:
        """Whether only what is signed counts."""
        return bool(self.trusted)

    @property
    def only_steps(self) -> bool:
        """Whether what this process signs may add no version."""
        return self.own is not None and self.own.public not in self.trusted

    @classmethod
    def read(cls, own: Path | None = None, trusted: Path | None = None, remembered: Path | None = None) -> Keys:
        """Returns the keys in files; those that are not given are named by the environment, or are none.

        A process that signs and was not told whom to trust trusts its own key alone.

        Args:
            own: a private key; PROGRESSIVE_TF_KEY by default.
            trusted: public keys; PROGRESSIVE_TF_TRUSTED_KEY by default.
            remembered: see `Keys`.

        Raises:
            InputError: a file cannot be read or holds something else; the private key may be read by others, or
                is not among the trusted ones; the package `cryptography` is missing.
        """
        own, trusted = own or _from_environment(KEY_VARIABLE), trusted or _from_environment(TRUSTED_VARIABLE)
        key = None if own is None else read_private(own)
        if trusted is None:
            return cls(frozenset() if key is None else frozenset([key.public]), frozenset(), key, remembered)
        everything, steps = read_trusted(trusted)
        if key is not None and key.public not in everything | steps:
            raise InputError(
                f"{own}: its key, {fingerprint(key.public)}, is not among the trusted ones in {trusted}, so that "
                f"nobody would follow what it signs; add its public half there ({_HOW_TO_EXTRACT})"
            )
        return cls(everything, steps, key, remembered)


def read_private(file: Path) -> PrivateKey:
    """Returns the private key in a file that only its owner may read.

    Raises:
        InputError: there is none, it is of another kind or has a passphrase, or others may read the file.
    """
    _need_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    text = _text(file)
    try:
        mode = file.stat().st_mode
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error}") from None
    if mode & _OTHERS_MAY_READ:
        raise InputError(
            f"{file}: a private key that others than its owner may read or write (mode {mode & 0o777:o}) is none; "
            f"`chmod 600 {file}`, and make a new key if anybody may have read it"
        )
    kinds = [block.group(1) for block in _BLOCK.finditer(text)]
    if any("ENCRYPTED" in kind for kind in kinds):
        raise InputError(
            f"{file}: the key has a passphrase, which nobody can be asked for; "
            "`openssl pkey -in FILE -out OTHER` writes it without"
        )
    if not any("PRIVATE KEY" in kind for kind in kinds):
        raise InputError(f"{file}: an Ed25519 private key in PEM form expected; {_held(kinds)}. {_HOW_TO_MAKE}")
    try:
        key = load_pem_private_key(text.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError(f"{file}: the private key cannot be read: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"{file}: an Ed25519 key expected; it is of another kind. {_HOW_TO_MAKE}")
    return PrivateKey(key.public_key().public_bytes_raw().hex(), key)


def read_trusted(file: Path) -> tuple[frozenset[str], frozenset[str]]:
    """Returns the public keys in a file: those that may sign everything, and those behind the line `steps only:`.

    Raises:
        InputError: there is none of the first kind, or something else stands in the file.
    """
    _need_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    text = _text(file)
    kinds = [block.group(1) for block in _BLOCK.finditer(text)]
    private = [kind for kind in kinds if "PRIVATE" in kind]
    if private:
        raise InputError(f"{file}: a private key stands in it; public ones expected, {_HOW_TO_EXTRACT}")
    found: dict[bool, set[str]] = {False: set(), True: set()}
    steps, end = False, 0
    for block in [*_BLOCK.finditer(text), None]:
        for line in text[end : len(text) if block is None else block.start()].splitlines():
            words = line.strip()
            if words == STEPS_ONLY:
                steps = True
            elif words and not words.startswith("#"):
                raise InputError(
                    f"{file}: {words[:80]!r} is no key; public keys in PEM form, lines that begin with # and the line "
                    f"`{STEPS_ONLY}` expected"
                )
        if block is None:
            break
        end = block.end()
        try:
            key = load_pem_public_key(block.group(0).encode())
        except (ValueError, UnsupportedAlgorithm) as error:
            raise InputError(f"{file}: a public key cannot be read: {error}") from None
        if not isinstance(key, Ed25519PublicKey):
            raise InputError(f"{file}: Ed25519 keys expected; one is of another kind. {_HOW_TO_MAKE}")
        found[steps].add(key.public_bytes_raw().hex())
    if not found[False]:
        raise InputError(f"{file}: an Ed25519 public key in PEM form expected; {_held(kinds)}. {_HOW_TO_EXTRACT}")
    return frozenset(found[False]), frozenset(found[True] - found[False])


def is_signature(public: str, signature: str, message: bytes) -> bool:
    """Whether a signature is that of a message by a key, both in hex; False for what is none."""
    _need_cryptography()
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True


def refuse_unsigned_folder(folder: Path) -> None:
    """Refuses a version that was exported to a folder where the environment says that only what is signed counts."""
    if _from_environment(TRUSTED_VARIABLE) or _from_environment(KEY_VARIABLE):
        raise InputError(
            f"{folder}: only what is signed counts here ({TRUSTED_VARIABLE} or {KEY_VARIABLE} is set), and an exported "
            "version has no signature; name the model in its registry"
        )


def _from_environment(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None


def _need_cryptography() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise InputError(
            "cryptography: not installed; signatures need the package's extra: "
            "`pip install 'progressive-tf[sign]'`, or '.[sign]' in a clone"
        ) from None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read: {error}") from None


def _held(kinds: list[str]) -> str:
    return f"it holds: {', '.join(kind.lower() for kind in kinds)}" if kinds else "there is none in it"
