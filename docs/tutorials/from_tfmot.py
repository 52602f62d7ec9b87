# %% [markdown]
# # From tfmot to tf_lottery
#
# tensorflow-model-optimization (*tfmot*) prunes a network gradually while it trains: it sets the weights with the
# smallest magnitudes to zero, more of them from time to time. tf_lottery does that too, and it finds *lottery tickets*:
# it trains a network to the end, prunes it, sets the remaining weights back to their values early in training, and
# trains again.
#
# This tutorial prunes the same network with both libraries, compares gradual pruning with tickets, and finds a ticket
# in a model that tfmot has wrapped. The page [From tfmot to tf_lottery](../tfmot.md) lists every name of tfmot.
#
# tfmot works with legacy Keras only, the package `tf_keras`. So this tutorial runs on legacy Keras, which must be
# chosen before TensorFlow is imported. tf_lottery works the same on Keras 3; the last section says what changes.

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
SEEDS = (1, 2, 3)  # everything is repeated with each

FRACTION = 0.4  # the share of the remaining weights that each level prunes
REWIND_EPOCHS = 2  # levels rewind to the state after so many epochs
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
# A *schedule* decides at which steps to prune, and how much. tfmot uses the *sparsity*, the share of weights that are
# zero. tf_lottery uses the *density*, the share that is kept: 1 - sparsity. The final density here is that of tickets
# after all their levels.
#
# `PolynomialDecay` prunes fast at first and slowly later. Here it prunes once per epoch during the first half of
# training, so that the network can recover in the second half.

# %%
STEPS_PER_EPOCH = -(-len(train[0]) // BATCH_SIZE)
density = (1 - FRACTION) ** LEVELS
print(f"final density {density:.2%}, final sparsity {1 - density:.2%}")


def gradual(epochs):
    """Return a schedule of tfmot for this many epochs."""
    end = epochs // 2 * STEPS_PER_EPOCH
    return tfmot.sparsity.keras.PolynomialDecay(0.0, 1 - density, begin_step=0, end_step=end, frequency=STEPS_PER_EPOCH)


# %% [markdown]
# In tfmot, the wrapper has the schedule, and a callback counts the steps:


# %%
def with_tfmot(epochs):
    model = tfmot.sparsity.keras.prune_low_magnitude(build(), pruning_schedule=gradual(epochs))
    fit(compiled(model), epochs, tfmot.sparsity.keras.UpdatePruningStep())
    return tfmot.sparsity.keras.strip_pruning(model)


# %% [markdown]
# In tf_lottery, the model has *masks*, which say which weights are kept, and the callback has the schedule:


# %%
def with_tf_lottery(epochs):
    model = tfl.make_prunable(build())
    fit(compiled(model), epochs, tfl.callbacks.ScheduledPruning(gradual(epochs)))
    return tfl.strip_pruning(model)


# %% [markdown]
# | tfmot | tf_lottery |
# |---|---|
# | `prune_low_magnitude(model, schedule)` | `tfl.make_prunable(model)` and a callback with the schedule |
# | `UpdatePruningStep()` | not needed: the optimizer counts the steps |
# | `strip_pruning(model)` | `tfl.strip_pruning(model)` |
# | `PruningSummaries(log_dir)` | `tfl.callbacks.DensitySummaries(log_dir)` |
# | `PruningPolicy` | `tfl.make_prunable(model, exclude=...)` |
# | `PrunableLayer` | the same, or `tfl.register_prunable(MyLayer, "weight")` |
#
# [The whole table](../tfmot.md) also lists the differences. Three of them matter most. In tf_lottery, pruned weights
# stay pruned; tfmot ranks all weights again each time, and some return. Pruned weights are zero after every step, with
# no callback attached. And counts are exact, while tfmot keeps all weights that are equal to the last one kept.
#
# To compare the two in numbers, we count the zeros in the resulting plain models.


# %%
def kept(model):
    """Return the share of nonzero weights in the kernels of a plain model."""
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
# ## Gradual pruning and tickets
#
# `LotteryTicket` is another callback for the same model. It trains the network to the end (*level* 0), prunes it, goes
# back to the state after the first epochs, and so on, all in one `fit`. The last level has the final density.
#
# `scope="layerwise"` prunes each layer by itself, as tfmot does. The default, `"global"`, ranks the weights of all
# layers together.


# %%
def tickets_in(model):
    """Find tickets in a model; return the callback, which has every level."""
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
# Tickets take more training, because each level is a training run of its own. For a fair comparison, gradual pruning is
# also tried with as many epochs as all levels together.

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
# We compare within a seed, because all ways start from the same initial weights there. We call a difference *shown* if
# it has the same sign with every seed, and there are at least three; otherwise it is *not shown*.

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
# A "+" is in favour of the ticket. Here the ticket is not ahead if gradual pruning gets as much training as all levels
# together. With your network and data, the code above may give other results. The two also serve different purposes:
# gradual pruning makes one pruned network in one training run, while a ticket shows which weights, at their early
# values, are enough to train.
#
# ## A model that tfmot has wrapped
#
# If your code makes models with `prune_low_magnitude`, it need not change: the callbacks of tf_lottery take control of
# the masks of tfmot, and freeze tfmot's own schedule.

# %%
keras.utils.set_random_seed(SEEDS[0])
wrapped = tfmot.sparsity.keras.prune_low_magnitude(build())
tickets = tickets_in(wrapped)
print(tickets.to_frame()[["level", "density", "epochs", "loss"]].round(4).to_string(index=False))

# %% [markdown]
# `restore` gives the wrapped model any of these levels. tfmot's `strip_pruning` works as usual.

# %%
wrapped = tickets.restore(wrapped, LEVELS)
plain = tfmot.sparsity.keras.strip_pruning(wrapped)
print(f"density by the masks {tfl.density(wrapped):.2%}, by the zeros {kept(plain):.2%}")
print("what is left of tfmot:", [type(layer).__name__ for layer in plain.layers])

# %% [markdown]
# ## On Keras 3
#
# tfmot refuses models of Keras 3. Its schedules are functions of the step, and work with Keras 3, too. In the code
# above, the imports change, and there is no `prune_low_magnitude`:
#
# ```python
# import keras
# import tf_lottery as tfl
#
# tfmot = tfl.tfmot_bridge.import_tfmot()  # a plain import of tfmot would choose legacy Keras for TensorFlow
# schedule = tfmot.PolynomialDecay(0.0, 0.9, begin_step=0, end_step=1000, frequency=100)
# model = tfl.make_prunable(model)
# model.compile("adam", "mse")
# model.fit(x, y, callbacks=[tfl.callbacks.ScheduledPruning(schedule)])
# ```
#
# [Tickets in your own Keras model](your_own_model.ipynb) is the tutorial for Keras 3. It compares a lottery ticket with
# controls.
