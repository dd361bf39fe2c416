"""Which of T5's settings can be built; transformers itself accepts any value and fails later, or not at all."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from progressive_tf.errors import InputError, unknown_name
from progressive_tf.models.weights_source import check_counts, check_positive

if TYPE_CHECKING:  # names and values are looked at before transformers is imported
    from transformers import T5Config

POSITIVE = ("layer_norm_epsilon", "initializer_factor")
COUNTS = ("d_model", "d_kv", "d_ff", "num_layers", "num_decoder_layers", "num_heads")
ELSEWHERE = {
    "vocab_size": "follows from the vocabulary; drop it",
    "dropout_rate": "is model.dropout; set it there",
    "dense_act_fn": "follows from feed_forward_proj; drop it",
    "is_gated_act": "follows from feed_forward_proj; drop it",
}
FEWEST_BUCKETS = 4  # two for each direction


def check_names(settings: dict[str, Any]) -> None:
    """Raises InputError where the plan sets what T5 does not have, or what follows from something else."""
    known = {*COUNTS, "relative_attention_num_buckets", "relative_attention_max_distance", "layer_norm_epsilon"}
    known |= {"initializer_factor", "feed_forward_proj", "tie_word_embeddings"}
    for name in settings:
        if name in ELSEWHERE:
            raise InputError(f"model.config.{name}: {ELSEWHERE[name]}")
        if name not in known:
            raise InputError(f"model.config.{name}: {unknown_name('T5 setting', name, known)}")


def check_given(settings: dict[str, Any]) -> None:
    """Raises InputError for settings of the plan that are not T5's, and for values that are wrong by themselves."""
    check_names(settings)
    given = SimpleNamespace(**settings)
    check_counts(given, [name for name in COUNTS if name in settings], "model.config")
    check_positive(given, [name for name in POSITIVE if name in settings], "model.config")


def check_values(config: T5Config, place: str) -> None:
    """Refuses values that give no network, or another one than the settings say.

    Args:
        config: all settings, defaults included.
        place: where they stand; messages begin with it.

    Raises:
        InputError: names the setting, what is allowed and what came.
    """
    from transformers.activations_tf import ACT2FN

    check_counts(config, COUNTS, place)
    buckets, longest = config.relative_attention_num_buckets, config.relative_attention_max_distance
    if type(buckets) is not int or buckets < FEWEST_BUCKETS or buckets % 2:
        raise InputError(
            f"{place}.relative_attention_num_buckets: should be even, {FEWEST_BUCKETS} or more; got {buckets!r}"
        )
    if type(longest) is not int or longest <= buckets // 2:
        raise InputError(
            f"{place}.relative_attention_max_distance: should be a whole number above {buckets // 2}, half of the "
            f"buckets; got {longest!r}"
        )
    check_positive(config, POSITIVE, place)
    known = set(ACT2FN) - {"glu"}  # which halves what it is given
    if config.dense_act_fn not in known:
        raise InputError(f"{place}.feed_forward_proj: {unknown_name('activation', str(config.dense_act_fn), known)}")
    ids = (config.pad_token_id, config.eos_token_id, config.decoder_start_token_id or 0)
    if ids != (0, 1, 0):
        raise InputError(f"{place}: T5 pads and begins with id 0 and ends with id 1; these settings say otherwise")
