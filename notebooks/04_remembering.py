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
# # Forgetting, and what helps against it
#
# A network that learns new classes loses the old ones, unless something is done about it. Here five stages bring
# two handwritten digits each; after every stage the network has to tell *all* digits seen so far apart. First
# nothing is done, then each of the package's methods is tried, and the R matrix shows what is left.
#
# The plan `split-digits` uses scikit-learn's digits: no download. It takes about three minutes on two cores.

# %%
import os

import matplotlib.pyplot as plt
import pandas as pd

from progressive_tf import Plan, run

SMALL = os.environ.get("NOTEBOOK_SIZE") == "small"
CHANGES = ["defaults.epochs=2", "stages.zero-one.epochs=8"] if SMALL else []
STAGES = 2 if SMALL else None

# %% [markdown]
# ## Nothing is done about it
#
# `set` changes keys of a plan; `null` takes one away. The runs of this notebook have places of their own, because
# a run cannot change its past, and a release is compared with what is `stable` in its registry.

# %%
naive = run(
    Plan.load("split-digits", set=["defaults.retention=null", *CHANGES], stages=STAGES),
    out="runs/naive",
    registry="registry/naive",
    fresh=True,
)
naive

# %% [markdown]
# Each stage learns its two digits, and the gate's second rule sees what that costs: a drop on earlier stages'
# rows of more than 0.3. A stage that is not released is not built on: `on_hold: continue` lets the next one start
# from the last that was.

# %%
naive.stages[1].decision

# %% [markdown]
# To see forgetting itself, take the rule away and let every stage out. (Do this in a notebook, not in
# production.)

# %%
LET_OUT = "defaults.gate=[{metric: accuracy, slice: current, at_least: 0.1}]"
forgetful = run(
    Plan.load("split-digits", set=["defaults.retention=null", LET_OUT, *CHANGES], stages=STAGES),
    out="runs/forgetful",
    registry="registry/forgetful",
    fresh=True,
)
forgetful.matrix

# %% [markdown]
# Read a column downwards: a stage's digits are known on the diagonal and gone one row later. Cells are hatched
# where a stage's digits were not among the network's classes yet.

# %% [markdown]
# ## Replay
#
# The plan as it is shipped keeps the numbers of 100 rows of earlier stages and mixes them into every batch.

# %%
plan = Plan.load("split-digits", set=CHANGES, stages=STAGES)
plan

# %%
replayed = run(plan, out="runs/replayed", registry="registry/replayed", fresh=True, bounds=True)
replayed

# %%
replayed.matrix

# %% [markdown]
# `bounds=True` trained twice more: *naive* is every stage without retention, *joint* is one stage on the rows of
# all. The plan lies between the two.

# %%
replayed.figures["bounds"]

# %% [markdown]
# ## The other methods
#
# Each is a key of `retention`, and they add up (docs/guides/remembering.md has all of them, with their papers).
#
# - `ewc` holds on to weights that mattered. Where new classes come it does not help alone, as `train` warns: the
#   outputs for old classes are pushed down whatever the weights before them do.
# - `lwf` keeps the old classes' outputs on the new rows near what they were.

# %%
METHODS = {
    "ewc": "defaults.retention={replay: null, ewc: {strength: 100}}",
    "lwf": "defaults.retention={replay: null, lwf: {}}",
    "lwf and replay": "defaults.retention={lwf: {}}",
}
plans = {
    name: Plan.load("split-digits", set=[change, LET_OUT, *CHANGES], stages=STAGES) for name, change in METHODS.items()
}
runs = {"nothing": forgetful, "replay": replayed}
for name in ["lwf and replay"] if SMALL else METHODS:
    place = name.replace(" ", "-")
    runs[name] = run(plans[name], out=f"runs/{place}", registry=f"registry/{place}", fresh=True)

# %%
measures = pd.DataFrame({name: each.matrix.measures()["gate"] for name, each in runs.items()}).T
measures.sort_values("ACC").style.format(precision=3).bar(subset="ACC", color="#9cc4e4", vmin=0, vmax=1)

# %% [markdown]
# Alone, holding on to weights or to outputs ends where nothing does; a hundred rows of the past make the
# difference. (Not a law: on other data, and where stages bring rows and not classes, the order is another.)
#
# ACC is the mean over all stages' rows at the end, and forgetting the mean fall from the best they ever had. FWT
# has no value: nothing can be known of a class before it comes.

# %%
first = {name: each.matrix.frame().iloc[1:, 0] for name, each in runs.items()}
pd.DataFrame(first).plot(marker="o", ylabel="accuracy on the first stage's digits", figsize=(8, 3.5), rot=20)
plt.grid(axis="y")

# %% [markdown]
# One seed is one draw. Before you choose a method, run each with several seeds (`set="seed=8"`) and compare them
# in pairs: `python -m progressive_tf.compare`.
