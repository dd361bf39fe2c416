"""Which of BERT's settings can be built; transformers itself accepts any value and fails later, or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from progressive_tf.errors import InputError, unknown_name
from progressive_tf.models.weights_source import check_counts, check_positive, is_number

if TYPE_CHECKING:  # names and values are looked at before transformers is imported
    from transformers import BertConfig

COUNTS = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
)
DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob")
POSITIVE = ("initializer_range", "layer_norm_eps")
_NAMES = """
_name_or_path add_cross_attention architectures attention_probs_dropout_prob bad_words_ids
begin_suppress_tokens bos_token_id chunk_size_feed_forward classifier_dropout cross_attention_hidden_size
decoder_start_token_id diversity_penalty do_sample early_stopping encoder_no_repeat_ngram_size eos_token_id
exponential_decay_length_penalty finetuning_task forced_bos_token_id forced_eos_token_id hidden_act
hidden_dropout_prob hidden_size id2label initializer_range intermediate_size is_decoder is_encoder_decoder
label2id layer_norm_eps length_penalty max_length max_position_embeddings min_length model_type
no_repeat_ngram_size num_attention_heads num_beam_groups num_beams num_hidden_layers num_return_sequences
output_attentions output_hidden_states output_scores pad_token_id position_embedding_type prefix problem_type
pruned_heads remove_invalid_values repetition_penalty return_dict return_dict_in_generate sep_token_id
suppress_tokens task_specific_params temperature tf_legacy_loss tie_encoder_decoder tie_word_embeddings
tokenizer_class top_k top_p torch_dtype torchscript transformers_version type_vocab_size typical_p
use_bfloat16 use_cache
"""
NAMES = frozenset(_NAMES.split())
"""All that transformers' BertConfig has, without vocab_size."""


def check_names(settings: dict[str, Any]) -> None:
    """Raises InputError where the plan sets what BERT does not have, or what follows from something else."""
    for name in settings:
        if name == "vocab_size":
            raise InputError("model.config.vocab_size: follows from the vocabulary; drop it")
        if name not in NAMES:
            raise InputError(f"model.config.{name}: {unknown_name('BERT setting', name, NAMES)}")


def check_given(settings: dict[str, Any]) -> None:
    """Raises InputError for settings of the plan that are not BERT's, and for values that are wrong by themselves."""
    check_names(settings)
    given = SimpleNamespace(**settings)
    check_counts(given, [name for name in COUNTS if name in settings], "model.config")
    _check_dropouts(given, [name for name in DROPOUTS if name in settings], "model.config")
    check_positive(given, [name for name in POSITIVE if name in settings], "model.config")


def check_values(config: BertConfig, place: str) -> None:
    """Refuses values that give no encoder, or another one than the settings say.

    Args:
        config: all settings, defaults included.
        place: where they stand; messages begin with it.

    Raises:
        InputError: names the setting, what is allowed and what came.
    """
    from transformers.activations_tf import ACT2FN

    check_counts(config, COUNTS, place)
    _check_dropouts(config, DROPOUTS, place)
    check_positive(config, POSITIVE, place)
    if config.hidden_act not in ACT2FN:
        raise InputError(f"{place}.hidden_act: {unknown_name('activation', str(config.hidden_act), ACT2FN)}")
    if config.position_embedding_type != "absolute":
        raise InputError(
            f"{place}.position_embedding_type: should be 'absolute', the only kind that TensorFlow's BERT computes; "
            f"got {config.position_embedding_type!r}"
        )


def _check_dropouts(config: Any, names: Iterable[str], place: str) -> None:
    for name in names:
        value = getattr(config, name)
        if not is_number(value) or not 0 <= value < 1:
            raise InputError(f"{place}.{name}: should be a number from 0 to below 1; got {value!r}")
