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
# # Images
#
# A ResNet50 learns to tell drawings of circles, squares and triangles apart, from random weights and without any
# download. The plan `offline-images` begins with few drawings, takes more in its second stage, and larger ones in
# its third. The same steps work with photographs of your own in folders by class and with ImageNet's weights: the
# plan `photos`.
#
# It takes about three minutes on two cores.

# %%
import io
import os

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image

from progressive_tf import Plan, run
from progressive_tf.assets.lookup import locate

SMALL = os.environ.get("NOTEBOOK_SIZE") == "small"
LET_OUT = "defaults.gate=[{metric: accuracy, at_least: 0}]"
CHANGES = [LET_OUT, "defaults.epochs=1"] if SMALL else []

# %% [markdown]
# ## The drawings
#
# A source of images is a folder, or a table with paths or, as here, with the files themselves. Circles are
# usually red, squares green and triangles blue, but in 15 of 100 drawings chance chooses the colour: colour alone
# gives about 90 %.

# %%
drawings = pd.read_parquet(locate("sample-shapes") / "shapes.parquet")
figure, places = plt.subplots(2, 8, figsize=(9, 2.8))
for place, (_, row) in zip(places.flat, drawings.iterrows()):
    place.imshow(Image.open(io.BytesIO(row["image"])))
    place.set_title(row["label"], fontsize=9)
    place.axis("off")
drawings.groupby(["label", "ground"]).size().unstack()

# %% [markdown]
# ## The plan
#
# `augmentation` changes training images anew in every epoch. `image_size` may grow from stage to stage
# (progressive resizing): here from 24 to 32 pixels. The blocks of a ResNet50 are its stem and the four groups of
# residual blocks, `conv2` to `conv5`.

# %%
plan = Plan.load("offline-images", set=CHANGES, stages=1 if SMALL else None)
plan

# %%
plan.dry_run()

# %% [markdown]
# ## Three stages

# %%
shapes = run(plan, fresh=True)
shapes

# %%
shapes.stages[-1]

# %% [markdown]
# Where rows are few, look at the intervals before you look at the differences: 36 test rows leave room for a lot
# of luck.

# %%
shapes.matrix

# %%
shapes.stages[-1].figures["confusion"]

# %% [markdown]
# ## Which ones it gets wrong
#
# Predictions are kept for every evaluated row, with the row's number in its source, from 1.

# %%
predictions = shapes.stages[-1].predictions
test = predictions[predictions["part"] == "test"]
wrong = test[test["label"] != test["predicted"]]
print(f"{len(wrong)} of {len(test)} test drawings are wrong")
pd.crosstab(test["label"], test["predicted"])

# %%
figure, places = plt.subplots(1, 8, figsize=(9, 1.8))
for place in places:
    place.axis("off")
for place, (_, row) in zip(places, wrong.iterrows()):
    place.imshow(Image.open(io.BytesIO(drawings["image"].iloc[row["row"] - 1])))
    place.set_title(f"{row['label']},\nsaid {row['predicted']}", fontsize=8)

# %% [markdown]
# ## Asking what was released
#
# A version decodes and resizes images itself. `predict` takes paths, the bytes of files, or pixels.

# %%
stable = shapes.registry.stable()
stable.predict(list(drawings["image"].head(4)))

# %%
pixels = np.stack([np.array(Image.open(io.BytesIO(file)).convert("RGB")) for file in drawings["image"].head(4)])
stable.predict(pixels)

# %% [markdown]
# ## Your own photographs
#
# Put them into folders by class and name the folder in a plan: docs/guides/images.md has one to copy, and says
# what happens to files that cannot be read and to images that are there twice. With ImageNet's weights and a
# frozen network, outputs of the frozen blocks are computed once for each image.
