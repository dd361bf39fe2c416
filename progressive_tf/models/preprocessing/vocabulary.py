"""WordPiece vocabularies: the tokens in the order of their ids."""

from __future__ import annotations

from pathlib import Path

from progressive_tf.errors import InputError

NEEDED = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
PADDING = 128  # embedding tables are made longer than the vocabulary, up to a multiple of this, for speed


def read_vocabulary(path: Path) -> list[str]:
    r"""Returns the tokens of a vocabulary file, one a line; a token's id is its line's number from 0.

    Lines end at `\n` or `\r\n` only: U+2028, U+0085 and their like are tokens of some vocabularies.

    Raises:
        InputError: the file cannot be read, or is no WordPiece vocabulary.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"model.vocabulary: {path} cannot be read: {error}") from None
    tokens = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    absent = [token for token in NEEDED if token not in tokens]
    if absent:
        raise InputError(f"model.vocabulary: {path} lacks {', '.join(absent)}; expected a WordPiece vocabulary")
    return tokens


def hub_vocabulary(hub_id: str) -> tuple[list[str], bool]:
    """Returns the tokens of a hub's vocabulary by id, and whether it is of lower-case text; raises InputError where an
    id stands for no token.
    """
    from transformers import BertTokenizer

    tokenizer = BertTokenizer.from_pretrained(hub_id)
    tokens = {number: token for token, number in tokenizer.get_vocab().items()}
    gaps = sorted(set(range(len(tokens))) - set(tokens))
    if gaps:
        raise InputError(f"model.weights: {hub_id}: its vocabulary has no token of id {gaps[0]}; use other weights")
    return [tokens[number] for number in range(len(tokens))], bool(tokenizer.do_lower_case)


def check_size(vocabulary: list[str], table: int, place: str) -> None:
    """Refuses a vocabulary that is not that of the weights.

    Args:
        vocabulary: the tokens.
        table: rows of the weights' embedding table; a padded table may have up to `PADDING` more than tokens.
        place: where the weights are named; the message begins with it.

    Raises:
        InputError: says both numbers.
    """
    if not 0 <= table - len(vocabulary) <= PADDING:
        raise InputError(
            f"{place}: the vocabulary has {len(vocabulary):,} tokens, the weights have {table:,}; "
            f"use the vocabulary that the weights were trained with"
        )
