"""Imported first by peers whose packages import torchvision, which may be a build whose compiled part does not fit
torch's (PyPI has it for CUDA alone). No peer uses that part, so its operators are declared where they are missing.
"""

from __future__ import annotations

import sys

import torch

OPERATORS = torch.library.Library("torchvision", "FRAGMENT")

try:
    import torchvision  # noqa: F401
except RuntimeError:
    for name in [name for name in sys.modules if name.startswith("torchvision")]:
        del sys.modules[name]
    for name in ("nms", "qnms"):
        OPERATORS.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
