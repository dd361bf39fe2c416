from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny

import progressive_tf.adaptation
import progressive_tf.models
from progressive_tf.models.bert.bert import build
from progressive_tf.models.request import Request
from progressive_tf.plan.networks import Bert
from progressive_tf.training.prefix import identity
from progressive_tf.training.prefix.identity import prefix_identity, prefix_sha256, storing_pays
from progressive_tf.training.prefix.outputs import PrefixUse


def test_the_same_prefix_has_the_same_name_wherever_it_is_built(make_network: Callable[..., Any]) -> None:
    name = prefix_sha256(make_network(), 2, "float16")
    assert prefix_sha256(make_network(), 2, "float16") == name
    assert len(name) == 32
    json.dumps(prefix_identity(make_network(), 2, "float16"))


def test_what_stands_above_the_prefix_does_not_matter(network: Any) -> None:
    name = prefix_sha256(network, 2, "float16")
    for variable in (network.blocks[2].weights[0], network.head.dense.kernel):
        variable.assign(variable + 1.0)
    assert prefix_sha256(network, 2, "float16") == name


def test_everything_the_outputs_depend_on_changes_the_name(
    make_network: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other_model(**changes: Any) -> Any:
        given: dict[str, Any] = {"max_length": 16, "config": tiny.CONFIG} | changes
        model = Bert(builder="bert", weights=None, vocabulary="vocab.txt", **given)
        return build(Request(model, tiny.LABELS, 3, tmp_path))

    network = make_network()
    names = [prefix_sha256(network, 2, "float16"), prefix_sha256(network, 1, "float16")]
    names.append(prefix_sha256(network, 2, "float32"))
    names.append(prefix_sha256(make_network(seed=4), 2, "float16"))
    names.append(prefix_sha256(other_model(max_length=12), 2, "float16"))
    names.append(prefix_sha256(other_model(config={**tiny.CONFIG, "num_attention_heads": 4}), 2, "float16"))
    names.append(prefix_sha256(other_model(config={**tiny.CONFIG, "hidden_act": "relu"}), 2, "float16"))
    for constant in ("FIXED_BATCH_SIZE", "FORMAT"):
        with monkeypatch.context() as patch:
            patch.setattr(identity, constant, 4)
            names.append(prefix_sha256(network, 2, "float16"))
    with monkeypatch.context() as patch:
        patch.setattr(network.preprocess, "bucket_width", 4)
        names.append(prefix_sha256(network, 2, "float16"))
    for function in ("_device", "_code_sha256"):
        with monkeypatch.context() as patch:
            patch.setattr(identity, function, lambda: "another")
            names.append(prefix_sha256(network, 2, "float16"))
    with monkeypatch.context() as patch:
        patch.setattr(identity, "version", lambda package: "9.9")
        names.append(prefix_sha256(network, 2, "float16"))
    kernel = network.blocks[1].weights[0]
    kernel.assign(kernel + 1e-3)
    names.append(prefix_sha256(network, 2, "float16"))
    assert len(set(names)) == len(names)


def test_code_of_blocks_and_of_what_methods_add_belongs_to_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = [identity._code_sha256.__wrapped__()]
    for package in (progressive_tf.models, progressive_tf.adaptation):
        folder = tmp_path / package.__name__
        shutil.copytree(Path(str(package.__file__)).parent, folder)
        (folder / "catalogue.py").write_text("changed = True")
        with monkeypatch.context() as patch:
            patch.setattr(package, "__file__", str(folder / "__init__.py"))
            hashes.append(identity._code_sha256.__wrapped__())
    assert len(set(hashes)) == 3


def test_storing_pays_as_soon_as_a_block_multiplies(network: Any) -> None:
    assert [storing_pays(network, depth) for depth in range(4)] == [False, False, True, True]


USE = PrefixUse(depth=4, blocks=6, examples=512, epochs=20, found=0, size=10_400_000)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "19 of 20 prefix passes saved, 10.4 MB"),
        (
            {"found": 500},
            "19 of 20 prefix passes saved, 10.4 MB; 500 of 512 were there",
        ),
        (
            {"found": 512, "size": 2_340_000_000},
            "20 of 20 prefix passes saved, 2.3 GB; 512 of 512 were there",
        ),
    ],
)
def test_the_line_says_how_many_passes_are_saved(changes: dict[str, int], line: str) -> None:
    assert dataclasses.replace(USE, **changes).stored() == f"prefix: 4 of 6 blocks, 512 examples, 20 epochs: {line}"


def test_the_line_says_why_nothing_is_stored() -> None:
    assert USE.not_stored("cache: off").endswith("512 examples, 20 epochs: computed in every epoch (cache: off)")
