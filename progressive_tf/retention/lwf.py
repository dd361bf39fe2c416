"""Learning without Forgetting: outputs for known classes stay near those before the stage (Li & Hoiem 2016)."""

from __future__ import annotations

from progressive_tf.models.block_model import BlockModel
from progressive_tf.plan.retention_methods import Lwf
from progressive_tf.retention.soft_targets import SoftTargets

KEY = "lwf"


def lwf(settings: Lwf, network: BlockModel, known: int) -> SoftTargets:
    """Returns the penalty; the state has the logits of the network before the stage under `KEY`.

    The paper's loss is a cross-entropy, which differs from the divergence here by a constant. Where classes belong to
    tasks, each task's are compared among themselves.

    Args:
        settings: the plan's section.
        network: with the classes of the stage.
        known: how many of them it had before, from the first.
    """
    tasks = network.label_tasks[:known] or ("",) * known
    groups = [[index for index in range(known) if tasks[index] == task] for task in dict.fromkeys(tasks)]
    return SoftTargets(KEY, range(known), groups, settings.strength, settings.temperature)
