"""What the routes of a server share."""

from __future__ import annotations

from dataclasses import dataclass

from progressive_tf.serving.incoming import Incoming, Tokens
from progressive_tf.serving.limits import Limits, Refusal
from progressive_tf.serving.metrics import Metrics
from progressive_tf.serving.request_log import RequestLog
from progressive_tf.serving.served_model import Answering, ServedModel, answering_for


@dataclass(frozen=True)
class Server:
    """One model that is served.

    Args:
        served: the model.
        limits: of a request.
        metrics: are counted here.
        request_log: keeps predictions and feedback.
        tokens: of callers and operators.
        incoming: requests under way, whose bodies it reads.
    """

    served: ServedModel
    limits: Limits
    metrics: Metrics
    request_log: RequestLog
    tokens: Tokens
    incoming: Incoming

    def check_name(self, model: str) -> None:
        """Raises Refusal, 404, where a path names another model."""
        name = self.served.model.name
        if model != name:
            raise Refusal(404, f"Could not find any versions of model {model:.80}; this server has {name}")

    def answering(self, model: str, version: str | None = None, label: str | None = None) -> Answering:
        """Returns the version that a path names by its number or by an alias, see `answering_for`."""
        self.check_name(model)
        return answering_for(self.served, version, label, "")[0]
