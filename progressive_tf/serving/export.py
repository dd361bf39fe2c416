"""One version for TensorFlow Serving and KServe: its SavedModel with warm-up requests, and both servers' configs."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from ruamel.yaml import YAML
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog, PredictLog
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from progressive_tf.errors import InputError
from progressive_tf.files import TEMPORARY_SUFFIX, fsync
from progressive_tf.registry import ModelVersions, RegistryError
from progressive_tf.registry.errors import from_os_error
from progressive_tf.registry.folder import remove_folder
from progressive_tf.registry.history import CANARY
from progressive_tf.registry.traffic import Traffic
from progressive_tf.registry.views import SERVING_CONFIG_NAME, serving_config
from progressive_tf.serving.described import examples
from progressive_tf.serving.instances import Instance, bucket_of
from progressive_tf.serving.limits import Refusal
from progressive_tf.serving.loaded import LoadedVersion

KSERVE_NAME = "inference-service.yaml"
WARM_UP_NAME = "assets.extra/tf_serving_warmup_requests"
_LONGEST_LABEL = 63


def export_version(model: ModelVersions, number: int, to: Path, storage: str | None = None) -> list[Path]:
    """Writes a version for other servers; the folder appears whole or not at all.

    Args:
        model: the version's model.
        number: the version's.
        to: a folder that does not exist yet, or is empty.
        storage: where it will be copied to, as KServe names it; a place of its own for each version.

    Returns:
        What was written, the SavedModel's folder first.

    Raises:
        InputError: there is no such version, or there is something at `to`.
        RegistryError: the version is damaged or does not load, or the disk is full.
    """
    version = model.version(number)
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise InputError(f"--to {to}: a folder that is new or empty expected")
    loaded = LoadedVersion(version)
    aliases = {alias: target for alias, target in model.aliases().items() if target == number}
    building = to.with_name(f".{to.name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
    served = Path("models", model.name, str(number))
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(version.folder, building / served)
        for path in [building / served, *(building / served).rglob("*")]:
            path.chmod(path.stat().st_mode | 0o200)
        _write_warm_up(loaded, building / served / WARM_UP_NAME)
        config = serving_config(model.name, aliases, [number])
        text_format.Parse(config, ModelServerConfig())
        (building / SERVING_CONFIG_NAME).write_text(config, encoding="utf-8")
        rollout = Traffic(model).rollout()
        percent = rollout.percent if rollout is not None and CANARY in aliases else None
        place = f"{storage or f'pvc://models/{model.name}-{number}'}/models/{model.name}"
        _write_inference_service(building / KSERVE_NAME, model.name, number, place, percent)
        for path in [*building.rglob("*"), building]:
            fsync(path)
        os.replace(building, to)
        fsync(to.parent)
    except OSError as error:
        raise from_os_error(error, to) from error
    finally:
        remove_folder(building)
    return [to / served, to / SERVING_CONFIG_NAME, to / KSERVE_NAME]


def service_name(model: str) -> str:
    """Returns a model's name as Kubernetes takes it: lower-case letters, digits and '-', at most 63."""
    name = re.sub(r"[^a-z0-9-]+", "-", model.lower()).strip("-")
    return (name if name[:1].isalpha() else f"model-{name}")[:_LONGEST_LABEL].rstrip("-")


def whole_percent(percent: float) -> int:
    """Returns the nearest whole percentage, at least 1, which is all that KServe takes."""
    return max(1, round(percent))


def _write_warm_up(loaded: LoadedVersion, path: Path) -> None:
    """Writes requests that the version answers, as TensorFlow Serving replays them when it loads a model.

    The format is that of https://www.tensorflow.org/tfx/serving/saved_model_warmup.
    """
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, example in examples(loaded.signatures, loaded.labels):
            (answer,) = loaded.answer(bucket_of(signature, example), [example])
            if isinstance(answer, Refusal):
                raise RegistryError(f"the version refuses a warm-up request for {signature}: {answer.message}")
            for size in loaded.warm_up_sizes():
                request = _predict_request(loaded, signature, [example] * size)
                log = PredictionLog(predict_log=PredictLog(request=request))
                writer.write(log.SerializeToString())


def _predict_request(loaded: LoadedVersion, signature: str, instances: Sequence[Instance]) -> PredictRequest:
    request = PredictRequest()
    request.model_spec.name = loaded.version.model
    request.model_spec.signature_name = signature
    for name, spec in loaded.signatures[signature].items():
        values = np.stack([instance[name] for instance in instances])
        request.inputs[name].CopyFrom(tf.make_tensor_proto(values, tf.as_dtype(spec.dtype)))
    return request


def _write_inference_service(path: Path, model: str, number: int, place: str, percent: float | None) -> None:
    """Writes KServe's InferenceService (serving.kserve.io/v1beta1); a canary has its share of the callers.

    The share is a whole number there; what it was stands among the annotations.
    """
    predictor: dict[str, object] = {} if percent is None else {"canaryTrafficPercent": whole_percent(percent)}
    predictor["model"] = {"modelFormat": {"name": "tensorflow"}, "protocolVersion": "v1", "storageUri": place}
    service: Mapping[str, object] = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": service_name(model),
            "annotations": {
                "progressive-tf/model": model,
                "progressive-tf/version": str(number),
                **({} if percent is None else {"progressive-tf/percent": f"{percent:g}"}),
            },
        },
        "spec": {"predictor": predictor},
    }
    yaml = YAML()
    yaml.width = 1000
    with path.open("w", encoding="utf-8") as stream:
        yaml.dump(service, stream)
