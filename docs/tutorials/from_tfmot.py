# %% [markdown]
# # From tfmot to tf_lottery
#
# tensorflow-model-optimization (*tfmot*) prunes a network gradually while it trains: it sets the weights with the
# smallest magnitudes to zero, more of them from time to time. tf_lottery does that too, and finds *lottery tickets*
# besides: it trains a network to the end, prunes it, sets the weights that are left back to what they were early in
# training, and trains again.
#
# This tutorial has the same network pruned by both, side by side, then gradual pruning against tickets, and then a
# ticket found in a model that tfmot has wrapped. [From tfmot to tf_lottery](../tfmot.md) is the page to look things up
# in: it has every name of tfmot.
#
# tfmot knows legacy Keras only, the package `tf_keras`. So this runs on legacy Keras, which has to be said before
# TensorFlow is imported. tf_lottery works the same on Keras 3; the last section says what changes.

# %%
import os

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import tensorflow_model_optimization as tfmot
import tf_keras as keras

import tf_lottery as tfl

LEVELS = 5  # how often tickets are pruned
EPOCHS = 100  # how long a network is trained
SEEDS = (1, 2, 3)  # everything is done once with each

FRACTION = 0.4  # the share of the remaining weights that goes each time
REWIND_EPOCHS = 2  # tickets go back to the state after so many epochs
BATCH_SIZE = 32

# %%
digits = tfl.data.load("digits")
train, test = ((split.x, split.y) for split in (digits.train, digits.test))


def build():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(300, "relu"),
            keras.layers.Dense(100, "relu"),
            keras.layers.Dense(10),
        ]
    )


def compiled(model):
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def fit(model, epochs, *callbacks):
    model.fit(*train, batch_size=BATCH_SIZE, epochs=epochs, callbacks=list(callbacks), verbose=0)


# %% [markdown]
# ## One schedule, two libraries
#
# A *schedule* says at which steps to prune, and how far: tfmot gives the *sparsity*, the share of weights that are
# zero. tf_lottery speaks of *density*, the share that is kept: 1 - sparsity. We want to end at the density that tickets
# have after all their levels.
#
# `PolynomialDecay` prunes fast at first and slowly later. Here it prunes once an epoch during the first half of
# training, so that the network has the second half to recover.

# %%
STEPS_PER_EPOCH = -(-len(train[0]) // BATCH_SIZE)
density = (1 - FRACTION) ** LEVELS
print(f"final density {density:.2%}, final sparsity {1 - density:.2%}")


def gradual(epochs):
    """A schedule of tfmot for a training of so many epochs."""
    end = epochs // 2 * STEPS_PER_EPOCH
    return tfmot.sparsity.keras.PolynomialDecay(0.0, 1 - density, begin_step=0, end_step=end, frequency=STEPS_PER_EPOCH)


# %% [markdown]
# With tfmot, the wrapper gets the schedule, and a callback counts the steps:


# %%
def with_tfmot(epochs):
    model = tfmot.sparsity.keras.prune_low_magnitude(build(), pruning_schedule=gradual(epochs))
    fit(compiled(model), epochs, tfmot.sparsity.keras.UpdatePruningStep())
    return tfmot.sparsity.keras.strip_pruning(model)


# %% [markdown]
# With tf_lottery the model has *masks*, which say which weights are kept, and the callback has the schedule:


# %%
def with_tf_lottery(epochs):
    model = tfl.make_prunable(build())
    fit(compiled(model), epochs, tfl.callbacks.ScheduledPruning(gradual(epochs)))
    return tfl.strip_pruning(model)


# %% [markdown]
# | tfmot | tf_lottery |
# |---|---|
# | `prune_low_magnitude(model, schedule)` | `tfl.make_prunable(model)` and a callback with the schedule |
# | `UpdatePruningStep()` | not needed: steps are those of the optimizer |
# | `strip_pruning(model)` | `tfl.strip_pruning(model)` |
# | `PruningSummaries(log_dir)` | `tfl.callbacks.DensitySummaries(log_dir)` |
# | `PruningPolicy` | `tfl.make_prunable(model, exclude=...)` |
# | `PrunableLayer` | the same, or `tfl.register_prunable(MyLayer, "weight")` |
#
# [The whole table](../tfmot.md) also has where the two differ. Three things matter most. In tf_lottery what is pruned
# stays pruned; tfmot ranks all weights again each time, and some come back. Pruned weights are zero after every step,
# with no callback attached. And counts are exact, where tfmot keeps all weights that are equal to the last one kept.
#
# Now in numbers: we count the zeros in the plain models that come out.


# %%
def kept(model):
    """The share of nonzero weights in the kernels of a plain model."""
    kernels = [layer.kernel.numpy() for layer in model.layers if hasattr(layer, "kernel")]
    return sum(np.count_nonzero(kernel) for kernel in kernels) / sum(kernel.size for kernel in kernels)


def test_accuracy(model):
    return np.mean(model.predict(test[0], verbose=0).argmax(axis=1) == test[1])


def row(seed, way, model):
    return {"seed": seed, "way": way, "density (%)": 100 * kept(model), "accuracy (%)": 100 * test_accuracy(model)}


rows = []
for seed in SEEDS:
    for way, train_and_prune in (("gradual, tfmot", with_tfmot), ("gradual, tf_lottery", with_tf_lottery)):
        keras.utils.set_random_seed(seed)
        rows.append(row(seed, way, train_and_prune(EPOCHS)))
print(pd.DataFrame(rows).round(2).to_string(index=False))

# %% [markdown]
# ## Gradual pruning against tickets
#
# Another callback, and the same model: `LotteryTicket` trains the network to the end (*level* 0), prunes it, goes back
# to the state after the first epochs, and so on, all in one `fit`. The last level has the final density.
#
# `scope="layerwise"` prunes each layer by itself, as tfmot does. The default, `"global"`, ranks the weights of all
# layers together.


# %%
def tickets_in(model):
    """Finds tickets in a model; returns the callback, which keeps every level."""
    tickets = tfl.callbacks.LotteryTicket(
        levels=LEVELS,
        fraction=FRACTION,
        scope="layerwise",
        rewind_to=f"{REWIND_EPOCHS}ep",
        epochs_per_level=EPOCHS,
    )
    fit(compiled(model), tickets.total_epochs, tickets)
    return tickets


# %% [markdown]
# Tickets take more training: each level is a training of its own. So that the comparison is fair, gradual pruning gets
# a second try with as many epochs as all levels together.

# %%
for seed in SEEDS:
    keras.utils.set_random_seed(seed)
    model = tfl.make_prunable(build())
    tickets = tickets_in(model)
    rows.append(row(seed, "ticket", tfl.strip_pruning(model)))
    epochs = int(tickets.to_frame()["epochs"].sum())
    keras.utils.set_random_seed(seed)
    rows.append(row(seed, "gradual, long", with_tf_lottery(epochs)))

print("epochs: gradual", EPOCHS, "/ ticket and gradual, long", epochs)
found = pd.DataFrame(rows)
print()
print(found.groupby("way", sort=False)["density (%)"].agg(["min", "max"]).round(2))
print()
print(found.groupby("way", sort=False)["accuracy (%)"].agg(["mean", "min", "max"]).round(1))

# %% [markdown]
# Compare within a seed, since all ways start from the same initial weights there. A difference with the same sign in
# every seed, and at least three of them, we call *shown*; anything else is *not shown*.

# %%
accuracy = found.pivot(index="seed", columns="way", values="accuracy (%)")
for way in accuracy.columns.drop("ticket"):
    difference = accuracy["ticket"] - accuracy[way]
    agree = len(SEEDS) >= 3 and ((difference > 0).all() or (difference < 0).all())
    print(
        f"ticket - {way:19} {difference.mean():+.1f} points [{difference.min():+.1f} to {difference.max():+.1f}]",
        "shown" if agree else "not shown",
    )

axis = plt.figure(figsize=(7, 3), layout="constrained").subplots()
for seed, marker in zip(SEEDS, "os^", strict=False):
    axis.plot(accuracy.columns, accuracy.loc[seed], marker, label=f"seed {seed}")
axis.set(ylabel="test accuracy (%)", title=f"At a density of {density:.1%}")
axis.legend(frameon=False)
plt.show()

# %% [markdown]
# Read the signs: "+" is in favour of the ticket. Here the ticket is not ahead once gradual pruning gets as much
# training as all levels together. On your network and data it may come out otherwise; the code above is what it takes
# to find out. It is also a question of what you want: gradual pruning makes one pruned network in one training, a
# ticket shows which weights, at their early values, are enough to train.
#
# ## A model that tfmot has wrapped
#
# Perhaps your models come out of code that calls `prune_low_magnitude`. They need not change: the callbacks of
# tf_lottery take the masks over that tfmot has made, and tfmot's own schedule rests from then on.

# %%
keras.utils.set_random_seed(SEEDS[0])
wrapped = tfmot.sparsity.keras.prune_low_magnitude(build())
tickets = tickets_in(wrapped)
print(tickets.to_frame()[["level", "density", "epochs", "loss"]].round(4).to_string(index=False))

# %% [markdown]
# `restore` gives the wrapped model any of these levels. Then tfmot's `strip_pruning` does what it always does.

# %%
wrapped = tickets.restore(wrapped, LEVELS)
plain = tfmot.sparsity.keras.strip_pruning(wrapped)
print(f"density by the masks {tfl.density(wrapped):.2%}, by the zeros {kept(plain):.2%}")
print("what is left of tfmot:", [type(layer).__name__ for layer in plain.layers])

# %% [markdown]
# ## On Keras 3
#
# tfmot refuses models of Keras 3. Its schedules are functions of the step and work there too. What changes in the code
# above are the imports, and that there is no `prune_low_magnitude`:
#
# ```python
# import keras
# import tf_lottery as tfl
# from tf_lottery import tfmot_bridge  # a plain import of tfmot would choose legacy Keras for TensorFlow
#
# schedule = tfmot_bridge.import_tfmot().PolynomialDecay(0.0, 0.9, begin_step=0, end_step=1000, frequency=100)
# model = tfl.make_prunable(model)
# model.compile("adam", "mse")
# model.fit(x, y, callbacks=[tfl.callbacks.ScheduledPruning(schedule)])
# ```
#
# [Tickets in your own Keras model](your_own_model.ipynb) is the tutorial for Keras 3, with the controls that tell a
# lottery ticket from any small network.
