from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from ruamel.yaml import YAML
from serving_fakes import release

from progressive_tf.errors import InputError
from progressive_tf.registry import ModelVersions, RegistryError
from progressive_tf.registry.traffic import Traffic

# The part of KServe's serving.kserve.io/v1beta1 InferenceService that is written, with its types.
INFERENCE_SERVICE = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "additionalProperties": False,
    "properties": {
        "apiVersion": {"const": "serving.kserve.io/v1beta1"},
        "kind": {"const": "InferenceService"},
        "metadata": {
            "type": "object",
            "required": ["name"],
            "additionalProperties": False,
            "properties": {
                "name": {"type": "string", "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63},
                "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        },
        "spec": {
            "type": "object",
            "required": ["predictor"],
            "additionalProperties": False,
            "properties": {
                "predictor": {
                    "type": "object",
                    "required": ["model"],
                    "additionalProperties": False,
                    "properties": {
                        "canaryTrafficPercent": {"type": "integer", "minimum": 0, "maximum": 100},
                        "model": {
                            "type": "object",
                            "required": ["modelFormat", "storageUri"],
                            "additionalProperties": False,
                            "properties": {
                                "modelFormat": {
                                    "type": "object",
                                    "required": ["name"],
                                    "properties": {"name": {"const": "tensorflow"}},
                                },
                                "protocolVersion": {"enum": ["v1", "v2"]},
                                "storageUri": {"type": "string", "pattern": "^[a-z0-9]+://.+"},
                            },
                        },
                    },
                }
            },
        },
    },
}


def service(folder: Path) -> Any:
    found = YAML(typ="safe").load(folder / "inference-service.yaml")
    jsonschema_rs.validate(INFERENCE_SERVICE, found)
    return found


def config(folder: Path) -> Any:
    from google.protobuf import text_format
    from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

    return text_format.Parse((folder / "models.config").read_text(), ModelServerConfig()).model_config_list.config[0]


def export(model: ModelVersions, number: int, to: Path, **arguments: Any) -> list[Path]:
    from progressive_tf.serving.export import export_version

    return export_version(model, number, to, **arguments)


def test_a_canary_is_exported_with_its_label_and_its_share(model: ModelVersions, tmp_path: Path) -> None:
    Traffic(model).start_canary(2, 5)
    to = tmp_path / "out"
    assert export(model, 2, to, storage="s3://bucket/two")[0] == to / "models" / "reviews" / "2"
    found = config(to)
    assert (found.name, found.base_path, dict(found.version_labels)) == ("reviews", "/models/reviews", {"canary": 2})
    assert list(found.model_version_policy.specific.versions) == [2]
    predictor = service(to)["spec"]["predictor"]
    assert predictor["canaryTrafficPercent"] == 5
    assert predictor["model"]["storageUri"] == "s3://bucket/two/models/reviews"
    assert sorted(path.name for path in to.iterdir()) == ["inference-service.yaml", "models", "models.config"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_stable_has_everybody_and_a_version_without_an_alias_no_label(model: ModelVersions, tmp_path: Path) -> None:
    export(model, 1, tmp_path / "one")
    assert dict(config(tmp_path / "one").version_labels) == {"stable": 1}
    assert "canaryTrafficPercent" not in service(tmp_path / "one")["spec"]["predictor"]
    export(model, 2, tmp_path / "two")
    assert dict(config(tmp_path / "two").version_labels) == {}
    assert list(config(tmp_path / "two").model_version_policy.specific.versions) == [2]


@pytest.mark.parametrize(
    ("versions", "output", "expected"), [("model", "probabilities", {1, 32}), ("writing", "confidence", {1})]
)
def test_the_warm_up_requests_are_answered_by_the_model_that_they_lie_beside(
    request: pytest.FixtureRequest, tmp_path: Path, versions: str, output: str, expected: set[int]
) -> None:
    model: ModelVersions = request.getfixturevalue(versions)
    import tensorflow as tf
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    served = export(model, 1, tmp_path / "out")[0]
    loaded = tf.saved_model.load(str(served))
    records = list(tf.data.TFRecordDataset(str(served / "assets.extra" / "tf_serving_warmup_requests")))
    assert 0 < len(records) <= 1000
    sizes = set()
    signatures = set()
    for record in records:
        asked = PredictionLog.FromString(record.numpy()).predict_log.request
        assert asked.model_spec.name == "reviews"
        given = {name: tf.constant(tf.make_ndarray(value)) for name, value in asked.inputs.items()}
        answers = loaded.signatures[asked.model_spec.signature_name](**given)
        sizes.add(answers[output].shape[0])
        signatures.add(asked.model_spec.signature_name)
    assert (sizes, signatures) == (expected, set(loaded.signatures))


def test_what_is_there_already_stays(model: ModelVersions, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("full", "file"):
        with pytest.raises(InputError, match="a folder that is new or empty expected"):
            export(model, 1, tmp_path / name)
    assert (tmp_path / "full" / "mine").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    export(model, 1, tmp_path / "empty")
    with pytest.raises(InputError, match="unknown version of reviews '9'"):
        export(model, 9, tmp_path / "nine")


def test_a_full_disk_and_a_damaged_version_leave_nothing(
    model: ModelVersions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", full)
        with pytest.raises(RegistryError, match="no space left on the disk"):
            export(model, 1, tmp_path / "out")
    release(model, 3)
    folder = model.version(3).folder
    folder.chmod(0o700)
    (folder / "fingerprint.pb").chmod(0o600)
    (folder / "fingerprint.pb").write_bytes(b"other")
    with pytest.raises(RegistryError, match=re.escape("damaged (fingerprint.pb changed)")):
        export(model, 3, tmp_path / "out")
    shutil.rmtree(model.files.path.parent)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("movie-reviews", "movie-reviews"),
        ("Movie_Reviews.v2", "movie-reviews-v2"),
        ("20newsgroups", "model-20newsgroups"),
        ("a" * 64, "a" * 63),
    ],
)
def test_a_models_name_becomes_one_that_kubernetes_takes(model: str, name: str) -> None:
    from progressive_tf.serving.export import service_name

    assert service_name(model) == name
    jsonschema_rs.validate(INFERENCE_SERVICE["properties"]["metadata"], {"name": name})  # type: ignore[index]


@pytest.mark.parametrize(("percent", "whole"), [(0.1, 1), (2.4, 2), (2.6, 3), (50, 50)])
def test_kserve_takes_whole_percentages(percent: float, whole: int) -> None:
    from progressive_tf.serving.export import whole_percent

    assert whole_percent(percent) == whole
