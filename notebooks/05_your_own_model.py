# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A network of your own
#
# A *builder* is a function that takes a request and returns a `BlockModel`: preprocessing inside the graph,
# ordered blocks, a head. Everything else of the package works on blocks and is there at once: stages, the gate,
# the prefix cache, adaptation and retention methods, the report, and versions that need none of your code.
#
# Here a network of three convolutions learns scikit-learn's handwritten digits: no download, under a minute on
# two cores.

# %%
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from IPython.display import Code
from sklearn.datasets import load_digits

import progressive_tf
from progressive_tf import Plan, run

EXAMPLES = Path(progressive_tf.__file__).parents[1] / "docs" / "examples"
CHANGES, STAGES = (["defaults.epochs=8"], 2) if os.environ.get("NOTEBOOK_SIZE") == "small" else ([], None)

# %% [markdown]
# ## The builder
#
# The whole of it stands in one file, docs/examples/small_convnet.py. A block is a part of the network that can be
# frozen, opened or computed once; it reads the state it is given and nothing else.

# %%
Code(filename=EXAMPLES / "small_convnet.py")

# %% [markdown]
# ## Does it keep its promises?
#
# The same seed gives the same weights, the network can be cut after any block, examples do not depend on one
# another, an export gives the same answers: these are promises that stages, caches and versions rely on. A
# command checks them, one by one, on made-up inputs.

# %%
check = [sys.executable, "-m", "progressive_tf.models", "check", "small_convnet:build"]
print(subprocess.run(check, cwd=EXAMPLES, check=True, stdout=subprocess.PIPE, text=True).stdout)

# %% [markdown]
# ## A plan that names it
#
# `builder` is module and function. The module is looked for among the installed ones, in the current folder, and
# in the plan's; `settings` is the builder's own. A plan file thereby runs code that stands beside it: run plans
# of people you trust.

# %%
plan = Plan.load(EXAMPLES / "small_convnet.yaml", set=CHANGES, stages=STAGES)
plan

# %% [markdown]
# Blocks show up by their names. The last stage trains the head alone, on outputs that are computed once for each
# image.

# %%
plan.dry_run()

# %% [markdown]
# ## Three stages

# %%
digits = run(plan, fresh=True)
digits

# %%
digits.stages["more"]

# %%
digits.stages[-1].figures["confusion"]

# %% [markdown]
# With 300 gate rows, "not more than two points worse" is much to ask: *power* says how often a network that is as
# good as before would show it. Where the rows cannot show it, the stage is held, and the reason stands here.

# %%
digits.stages[-1].decision

# %% [markdown]
# ## What was released
#
# A version holds graph and weights, and does not import your module. It takes files, or pixels, uint8 with three
# channels.

# %%
images = load_digits().images[:6]
pixels = np.repeat(np.uint8(images / 16 * 255)[..., np.newaxis], 3, axis=-1)
stable = digits.registry.stable()
stable

# %%
answers = stable.predict(pixels)
answers.insert(0, "truth", load_digits().target[:6])
answers.style.format(precision=2)

# %% [markdown]
# ## Yours
#
# Copy docs/examples/small_convnet.py, change the blocks, and run the check after each change.
# docs/guides/your-own-builder.md has the shapes that a block sees, and how a block names its dense layers so that
# LoRA and adapters find them.
