"""A SavedModel behind FastAPI as a page of a tutorial would have it: one request, one call of the network.

Command: python -m benchmarks.plain_fastapi FOLDER PORT
"""

from __future__ import annotations

import sys
from typing import Any

import tensorflow as tf
import tensorflow_text  # noqa: F401  the tokenizer's operations
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Body(BaseModel):
    """What is asked.

    Args:
        instances: texts.
    """

    instances: list[str]


def make_app(folder: str) -> FastAPI:
    """Returns the application for a SavedModel's folder."""
    signature = tf.saved_model.load(folder).signatures["serving_default"]
    app = FastAPI()

    @app.post("/predict")
    def predict(body: Body) -> dict[str, Any]:
        outputs = signature(text=tf.constant(body.instances))
        labels = [label.decode() for label in outputs["label"].numpy()]
        return {"probabilities": outputs["probabilities"].numpy().tolist(), "labels": labels}

    return app


if __name__ == "__main__":
    uvicorn.run(make_app(sys.argv[1]), port=int(sys.argv[2]), access_log=False, log_level="warning")
