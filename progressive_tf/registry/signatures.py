"""What a signature of a journal covers, and how much of a journal is signed by those whom one trusts.

A signature covers the first N entries, by a chain of hashes that begins with the model's name:

    h₀ = SHA-256(domain, model),  hᵢ = SHA-256(hᵢ₋₁, entry i),  signature = Ed25519(domain, model, N, h_N)

A commit's entry has the hash of its version's manifest, and the manifest those of all files. So the newest signature
vouches for every file of every version, in the order in which they came.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from progressive_tf.files import DamagedRecordError, read_json, write_json
from progressive_tf.output import printable
from progressive_tf.registry.errors import RegistryError, UnsignedError
from progressive_tf.registry.journal import ALIAS, PAUSE, PROVED, ROLLBACK, WIDEN, Entry, Signature
from progressive_tf.registry.keys import Keys, PrivateKey, fingerprint, is_signature

_LONGEST = 200
DOMAIN = "progressive_tf: signed journal, 1"
STEPS = (ALIAS, WIDEN, PAUSE, ROLLBACK, PROVED)


@dataclass(frozen=True)
class Signed:
    """How much of a journal is signed.

    Args:
        entries: from the beginning, those that are signed by a trusted key.
        unsigned: those behind them, which nobody follows.
        key: that signed the last of the signed ones, in hex; "" where none is.
        why: the rest is not followed, in words; "" where there is none.
    """

    entries: tuple[Entry, ...]
    unsigned: tuple[Entry, ...] = ()
    key: str = ""
    why: str = ""


def hashes(model: str, entries: Sequence[Entry]) -> list[str]:
    """Returns h₀ to h_N, in hex."""
    chain = [hashlib.sha256(_bytes([DOMAIN, model])).hexdigest()]
    for entry in entries:
        # Without what is not there: a column that a later release adds leaves the hashes of old entries as they are.
        said = {name: value for name, value in asdict(entry).items() if value is not None}
        chain.append(hashlib.sha256(_bytes([chain[-1], said])).hexdigest())
    return chain


def sign(model: str, entries: Sequence[Entry], key: PrivateKey) -> Signature:
    """Returns a signature of a whole journal."""
    message = _message(model, len(entries), hashes(model, entries)[-1])
    return Signature(len(entries), key.public, key.sign(message))


def signed_part(model: str, entries: Sequence[Entry], signatures: Sequence[Signature], keys: Keys) -> Signed:
    """Returns how much of a journal is signed by trusted keys.

    The newest signature by a key that may sign everything vouches for all before it. Behind it, signatures by keys for
    steps vouch for moves of aliases.

    Args:
        model: its name.
        entries: the whole journal.
        signatures: those beside it, in whatever order.
        keys: who is trusted.

    Raises:
        RegistryError: what was signed by a trusted key is not what the journal says now.
    """
    entries, chain = tuple(entries), hashes(model, entries)
    mine = sorted((one for one in signatures if one.key in keys.trusted | keys.steps), key=lambda one: one.entries)
    full = [one for one in mine if one.key in keys.trusted][-1:]
    end, key, why = (full[0].entries, full[0].key, "") if full else (0, "", "")
    for one in full + [one for one in mine if one.entries > end]:
        if not _is_valid(model, chain, one):
            raise RegistryError(_changed(model, entries, chain, mine))
        if one.entries > end:
            more = [entry for entry in entries[end : one.entries] if not _is_step(entry)]
            if more or end == 0:
                first = more[0] if more else entries[0]
                why = (
                    f"signed by {fingerprint(one.key)}, which may move aliases and no more: entry {first.id} is "
                    f"{describe(first)}"
                )
                break
            end, key = one.entries, one.key
    rest = entries[end:]
    if rest and not why:
        others = [one.key for one in signatures if one.entries > end and one.key not in keys.trusted | keys.steps]
        why = f"signed by {fingerprint(others[-1])}, which is not trusted" if others else "not signed"
    return Signed(entries[:end], rest, key, why)


def signature_of_new(
    model: str, entries: Sequence[Entry], new: int, signatures: Sequence[Signature], keys: Keys
) -> Signature:
    """Returns the signature of a journal to which entries are being added.

    It vouches for all that was there before too, so that only what a trusted key has signed may be there.

    Args:
        model: its name.
        entries: the whole journal, with what is added.
        new: how many of them are added.
        signatures: those beside it.
        keys: the own one, and who is trusted.

    Raises:
        UnsignedError: something that was there is not signed by a trusted key, or the own key may not sign what is new.
        RegistryError: what was signed is not what the journal says now.
    """
    assert keys.own is not None
    before = entries[: len(entries) - new]
    signed = signed_part(model, before, signatures, keys)
    if signed.unsigned:
        raise UnsignedError(
            f"{unsigned_text(model, signed)}; a signature would vouch for that too. Look at it (`release show {model} "
            f"--all`), and sign it (`release sign {model} --key FILE`), or trust who signed it "
            "(PROGRESSIVE_TF_TRUSTED_KEY)"
        )
    refuse_beyond_steps(model, entries[len(before) :], keys)
    return sign(model, entries, keys.own)


def refuse_beyond_steps(model: str, entries: Sequence[Entry], keys: Keys) -> None:
    """Raises UnsignedError where the own key may only move aliases, and an entry is something else."""
    more = [entry for entry in entries if not _is_step(entry)]
    if keys.own is not None and keys.only_steps and more:
        raise UnsignedError(
            f"{model}: the key {fingerprint(keys.own.public)} may move aliases and no more, and this is "
            f"{describe(more[0])}; use a key that is trusted with everything"
        )


def refuse_contradiction(model: str, entries: Sequence[Entry], signatures: Sequence[Signature]) -> None:
    """Refuses a journal that is not what anybody has signed, trusted or not.

    Raises:
        RegistryError: says between which entries they part.
    """
    chain = hashes(model, entries)
    ordered = sorted(signatures, key=lambda one: one.entries)
    for one in ordered:
        if not _is_valid(model, chain, one):
            raise RegistryError(_changed(model, entries, chain, ordered))


@dataclass(frozen=True)
class Memory:
    """How far a journal was signed when it was last seen, kept outside its registry.

    A state of last week is signed as well as today's is, and another registry's too; only a memory tells them apart.

    Args:
        file: where it is kept.
        model: the journal's.
        entries: how many there were.
        digest: their hash, h_N.
    """

    file: Path
    model: str
    entries: int
    digest: str


def read_memory(model: str, file: Path) -> Memory:
    """Returns what a file remembers; nothing was seen yet where there is none.

    Raises:
        RegistryError: the file is damaged, or of another model.
    """
    try:
        seen = read_json(file)
        if seen["model"] == model:
            return Memory(file, model, int(seen["entries"]), str(seen["hash"]))
    except FileNotFoundError:
        return Memory(file, model, 0, hashes(model, ())[0])
    except (DamagedRecordError, OSError, KeyError, TypeError, ValueError) as error:
        raise RegistryError(f"{file}: does not say how far {model} was signed ({error}); restore it") from None
    raise RegistryError(f"{file}: is about {seen['model']}, and not about {model}")


def remember(memory: Memory, entries: Sequence[Entry]) -> None:
    """Keeps how far the signed part of a journal is now.

    Raises:
        RegistryError: entries that were seen before are gone, or others.
    """
    chain = hashes(memory.model, entries)
    is_shorter = memory.entries > len(entries)
    if is_shorter or chain[memory.entries] != memory.digest:
        now = f"{len(entries)} are" if is_shorter else "others stand there"
        raise RegistryError(
            f"{memory.model}: {memory.entries} signed entries of its journal have been seen before, and now {now}: an "
            f"older state was put back, or another registry in its place. Put the newest one back; if this one is "
            f"meant, remove {memory.file}"
        )
    if memory.entries < len(entries):
        write_json(memory.file, {"model": memory.model, "entries": len(entries), "hash": chain[-1]})


def unsigned_text(model: str, signed: Signed) -> str:
    """Returns in words what of a journal is not followed, and why."""
    first, last = signed.unsigned[0], signed.unsigned[-1]
    which = f"entry {first.id}" if len(signed.unsigned) == 1 else f"entries {first.id} to {last.id}"
    what = "; ".join(describe(entry) for entry in signed.unsigned[-2:])
    are = "is" if len(signed.unsigned) == 1 else "are"
    return f"{model}: {which} of its journal (at last {what}) {are} {signed.why}"


def describe(entry: Entry) -> str:
    """Returns an entry in a few words, on one line whatever somebody has written into it."""
    what = entry.event if entry.alias is None else f"{entry.event} {entry.alias}"
    version = "" if entry.version is None else f", version {entry.version}"
    return printable(f"{what}{version}, by {entry.who}"[:_LONGEST], one_line=True)


def _is_step(entry: Entry) -> bool:
    # What has a token belongs to a publication.
    return entry.event in STEPS and entry.token is None


def _is_valid(model: str, chain: Sequence[str], one: Signature) -> bool:
    if not 0 < one.entries < len(chain):
        return False
    return is_signature(one.key, one.signature, _message(model, one.entries, chain[one.entries]))


def _changed(model: str, entries: Sequence[Entry], chain: Sequence[str], ordered: Sequence[Signature]) -> str:
    """Returns in words what is wrong at the first signature that does not hold, and between which entries."""
    wrong = next(one for one in ordered if not _is_valid(model, chain, one))
    before = [one.entries for one in ordered if one.entries < wrong.entries]
    first, last, key = before[-1] + 1 if before else 1, wrong.entries, fingerprint(wrong.key)
    if last > len(entries):
        return (
            f"{model}: {key} has signed {last} entries of its journal, and {len(entries)} are there: the last ones "
            "have been removed. Restore the journal from a backup"
        )
    which, are = (f"entry {last}", "is") if first == last else (f"entries {first} to {last}", "are")
    return (
        f"{model}: {which} of its journal {are} not what {key} has signed: changed, removed, moved or put there, or "
        "the signature was changed, or the journal is another model's. Restore it from a backup"
    )


def _message(model: str, count: int, digest: str) -> bytes:
    return _bytes([DOMAIN, model, count, digest])


def _bytes(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=True, sort_keys=True, separators=(",", ":")).encode()
