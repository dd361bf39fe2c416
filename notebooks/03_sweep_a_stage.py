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
# # Sweep a stage
#
# A plan says how each stage trains. Which rate, which batch size, how many blocks? A **sweep** tries values for one
# stage with Keras Tuner and keeps what does best on validation rows. The gate's and the test's rows are not read: a
# model that was chosen on them would look better there than it is.
#
# It takes five to six minutes on two cores. Without a network, set the environment variable `NOTEBOOK_SIZE=small`,
# which takes the plan `offline-table` and fewer trials.

# %%
import os

from progressive_tf import Plan, run

SMALL = os.environ.get("NOTEBOOK_SIZE") == "small"
PLAN, TRIALS = ("offline-table", 2) if SMALL else ("movie-reviews", 10)
CHANGES = ["model.layers=2", "stages.full.adaptation={method: top-blocks, blocks: 1}"] if SMALL else []

# %% [markdown]
# ## The stages before
#
# Every trial starts from the weights that the stage would start from, so the stages before come first. `tune` runs
# them by itself; here they are run to be looked at.

# %%
run(Plan.load(PLAN, set=CHANGES, stages=2), fresh=True)

# %% [markdown]
# ## A rate to begin with
#
# A learning-rate range test raises the rate from step to step and watches the loss. Where it is lowest, the rate
# is already too high to train with for long; a tenth of that is a good start.

# %%
plan = Plan.load(PLAN, set=CHANGES)
rate = plan.find_rate("full")
rate

# %% [markdown]
# ## The sweep
#
# Any key of the stage can be searched: a range with `float` or `int`, a list with `choice`, and with `when` only
# beside another choice. The first trial has the plan's own values, so that the others have something to beat.
#
# `drop_at_most` is the second condition: a trial that loses more than that on the validation rows of an earlier
# stage is *infeasible* and cannot win, however well it does on its own.

# %%
space = {
    "optimizer.learning_rate": {"float": [rate.suggested / 10, rate.suggested * 10], "log": True},
    "batch_size": {"choice": [8, 16, 32]},
    "adaptation.blocks": {"int": [0, 2]},
}
sweep = plan.tune("full", trials=TRIALS, space=space, drop_at_most=0.05, fresh=True)
sweep

# %% [markdown]
# Ten trials cost little more than one where only the upper blocks move: what the frozen blocks below compute is kept
# and shared by all of them. Values that were tried are a table too.

# %%
sweep.trials.head()

# %%
sweep.best

# %% [markdown]
# With a few hundred validation rows the best of ten trials looks better than it is: part of its lead is luck. What
# the sweep gained shows after training, on rows that nothing was chosen by.
#
# ## Train with it
#
# `override` is a YAML file with the changes. The run goes on where it was: its first two stages are done.

# %%
print(sweep.override.read_text())
finished = run(Plan.load(PLAN, set=CHANGES, override=sweep.override))
finished

# %%
finished.stages["full"].decision

# %% [markdown]
# In a plan, `tune: {trials: 20, space: …}` inside a stage makes `train` sweep it before it begins. The guide
# docs/guides/sweeps.md has the rest: conditions, Hyperband, seeds, resuming, several processes.
