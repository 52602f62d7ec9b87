# %% [markdown]
# # Tickets in your own Keras model
#
# You have a Keras model and a `model.fit`. This tutorial finds *lottery tickets* in it: small networks inside the large
# one that, trained again from an early state, come out as accurate as the whole.
#
# The method is *iterative magnitude pruning with rewinding* ([arXiv 1903.01611](https://arxiv.org/abs/1903.01611)):
#
# 1. Train the network. That is *level* 0, the *dense* network.
# 2. *Prune*: set the weights with the smallest magnitudes to zero for good.
# 3. *Rewind*: set all others back to what they were early in training.
# 4. Train again. That is level 1. Go on with 2.

# %%
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import tf_lottery as tfl

LEVELS = 6  # how often to prune
EPOCHS = 30  # how long level 0 is trained
SEEDS = (1, 2, 3)  # the whole experiment is done once with each

FRACTION = 0.4  # the share of the remaining weights that each level prunes
REWIND_EPOCHS = 2  # the early state is the one after so many epochs

# %% [markdown]
# ## Data and model
#
# The data are small images of handwritten digits. The *validation* images are for decisions, the *test* images only for
# the figures that are reported in the end.

# %%
digits = tfl.data.load("digits")
train, validation, test = ((split.x, split.y) for split in (digits.train, digits.validation, digits.test))
print("train", train[0].shape, "validation", validation[0].shape, "test", test[0].shape)


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


# %% [markdown]
# ## Make it prunable
#
# `make_prunable` gives each weight array that can be pruned a *mask*, which says for each weight whether it is kept. A
# pruned weight is zero and stays zero in any training. At first all are kept: the *density*, kept weights / all
# weights, is 1. Biases have no masks.
#
# It takes Sequential, functional and subclassed models. `exclude="dense_2"` would leave the last layer alone.

# %%
model = tfl.make_prunable(build())
for name, mask in tfl.get_masks(model).items():
    print(f"{name:15} {mask.shape!s:10} density {mask.mean():.0%}")

# %% [markdown]
# ## Find tickets
#
# All levels happen in one `fit`, by one callback. `total_epochs` has room for all of them. The code stands in a
# function because we will need it more than once.


# %%
def find(seed, *others, directory=None):
    """Trains all levels; returns the model and the callback, which keeps every level."""
    keras.utils.set_random_seed(seed)
    model = tfl.make_prunable(build())
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    tickets = tfl.callbacks.LotteryTicket(
        levels=LEVELS,
        fraction=FRACTION,
        rewind_to=f"{REWIND_EPOCHS}ep",
        epochs_per_level=EPOCHS,
        directory=directory,
    )
    callbacks = [tickets, *others]
    model.fit(*train, epochs=tickets.total_epochs, validation_data=validation, callbacks=callbacks, verbose=0)
    return model, tickets


model, tickets = find(SEEDS[0])
print(tickets.to_frame().round(3).to_string(index=False))

# %% [markdown]
# One row a level. `density` is what is left of the weights, `epochs` how long the level was trained: a level begins
# where it was rewound to, so it needs fewer epochs than the dense network. `step` is where the optimizer's step counter
# ended; it is rewound like all else. The rest is what Keras measured in the last epoch of the level.


# %%
def against_density(title, unit):
    """An empty picture with the densities of the levels, which fall to the right."""
    axis = plt.figure(figsize=(6, 3.5), layout="constrained").subplots()
    axis.set(title=title, xlabel="weights kept (%)", ylabel=unit, xscale="log")
    densities = 100 * tickets.to_frame()["density"]
    axis.set_xticks(densities, labels=[f"{density:.3g}" for density in densities])
    axis.minorticks_off()
    axis.invert_xaxis()
    return axis


frame = 100 * tickets.to_frame().set_index("level")
axis = against_density("One seed", "validation accuracy (%)")
axis.plot(frame["density"], frame["val_accuracy"], "o-", label="ticket")
axis.axhline(frame["val_accuracy"][0], color="black", linestyle=":", label="dense")
axis.legend(frameon=False)
plt.show()

# %% [markdown]
# ## Take one
#
# `best` names the sparsest level that is as good as the dense network on the validation data, or, with `within`, not
# much worse. `restore` gives the model the masks and weights that this level ended with.

# %%
level = tickets.best(within=0.005)  # half a point of accuracy
model = tickets.restore(model, level)
print(f"level {level}: {tfl.density(model):.1%} of the weights are kept")

# %% [markdown]
# ## Is it a winning ticket?
#
# A small network that does well is not yet a lottery ticket. Perhaps any network of this size would do. So there are
# two *controls*, trained to the same last epoch:
#
# - *random mask*: in each layer as many weights as in the ticket, but chosen at random, with the values that the dense
#   network had at the state that levels rewind to. It shows whether it matters *which* weights are kept.
# - *reinit*: the ticket's mask, with a new random initialisation, trained from the start. It shows whether their *early
#   values* matter.
#
# One training of each says little: another seed gives other figures. We repeat everything with each of our seeds, and
# compare within a seed. The level was chosen above, on validation data of the first seed, before any test image was
# looked at.


# %%
def test_accuracy(model):
    return 100 * model.evaluate(*test, verbose=0, return_dict=True)["accuracy"]


def compare(model, tickets):
    """Test accuracy in percent of the dense network, the ticket and its controls."""
    found = {
        "dense": test_accuracy(tickets.restore(model, 0)),
        "ticket": test_accuracy(tickets.restore(model, level)),
    }
    for kind, first_epoch in (("random_mask", REWIND_EPOCHS), ("reinit", 0)):
        control = tickets.control(kind, level)
        control.fit(*train, initial_epoch=first_epoch, epochs=EPOCHS, verbose=0)
        found[kind] = test_accuracy(control)
    return found


runs = [(model, tickets)] + [find(seed) for seed in SEEDS[1:]]
accuracy = pd.DataFrame([compare(*run) for run in runs], index=pd.Index(SEEDS, name="seed"))
print(accuracy.round(1))
print()
print(accuracy.agg(["mean", "min", "max"]).round(1))

# %% [markdown]
# The first table has a row a seed, the second the mean and the *spread*, from the lowest to the highest. Where the
# spreads of two columns overlap, a mean alone proves nothing. We call a difference *shown* if it has the same sign with
# every seed, and with at least three of them. Everything else is *not shown*: that does not mean that there is none.
#
# All were trained equally long. A control may catch up with more training; what is shown here holds for this much.

# %%
for rival in ("dense", "random_mask", "reinit"):
    difference = accuracy["ticket"] - accuracy[rival]
    agree = len(SEEDS) >= 3 and ((difference > 0).all() or (difference < 0).all())
    print(
        f"ticket - {rival:12} {difference.mean():+.1f} points [{difference.min():+.1f} to {difference.max():+.1f}]",
        "shown" if agree else "not shown",
    )

axis = plt.figure(figsize=(6, 3), layout="constrained").subplots()
for seed, marker in zip(SEEDS, "os^", strict=False):
    axis.plot(accuracy.columns, accuracy.loc[seed], marker, label=f"seed {seed}")
axis.set(ylabel="test accuracy (%)", title=f"Dense network, ticket and controls at level {level}")
axis.legend(frameon=False)
plt.show()

# %% [markdown]
# The accuracy of the tickets on validation data, of all seeds, at all levels:

# %%
frames = pd.concat([100 * tickets.to_frame().set_index("level") for _, tickets in runs])
spread = frames.groupby("level")["val_accuracy"].agg(["mean", "min", "max"])
densities = frames.groupby("level")["density"].first()
axis = against_density(f"Mean of {len(SEEDS)} seeds, band from lowest to highest", "validation accuracy (%)")
axis.plot(densities, spread["mean"], "o-", label="ticket")
axis.fill_between(densities, spread["min"], spread["max"], alpha=0.15)
axis.axhline(spread["mean"][0], color="black", linestyle=":", label="dense")
axis.legend(frameon=False)
plt.show()

# %% [markdown]
# ## Keep it
#
# `strip_pruning` makes a plain Keras model: the masks are gone, pruned weights are ordinary zeros. Whoever loads its
# file needs no tf_lottery. It predicts the same as the model with masks, to the bit.

# %%
model, tickets = runs[0]
plain = tfl.strip_pruning(tickets.restore(model, level))
plain.save("ticket.keras")

loaded = keras.models.load_model("ticket.keras")
same = np.array_equal(loaded.predict(test[0], verbose=0), model.predict(test[0], verbose=0))
print("the same predictions:", same)
for name, layer in zip(tfl.get_masks(model), loaded.layers[1:], strict=True):
    print(f"{name:15} {np.mean(layer.get_weights()[0] == 0):.1%} zeros")

# %% [markdown]
# The file is no smaller: zeros take as much room as other numbers. [Ship it small](ship_it_small.ipynb) is about that.
#
# ## When the script is killed
#
# With `directory=`, every finished level is kept in files. The same script, run again, goes on with the level that was
# not finished. Let us pretend that the machine is switched off in the middle of level 1.


# %%
class PowerCut(keras.callbacks.Callback):
    """Ends the training in the second epoch of level 1."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == EPOCHS + 1:
            raise KeyboardInterrupt


try:
    find(SEEDS[0], PowerCut(), directory="tickets")
except KeyboardInterrupt:
    print("There are:", *sorted(path.name for path in Path("tickets").iterdir()))

# %% [markdown]
# `level_00.tfl` is the dense network, `rewind.tfl` the early state. The same call once more, without the power cut:

# %%
model, resumed = find(SEEDS[0], directory="tickets")
print(len(model.history.epoch), "epochs were trained now, of", int(resumed.to_frame()["epochs"].sum()), "in all")
print("the same figures as without the power cut:", resumed.to_frame().equals(tickets.to_frame()))

# %% [markdown]
# The dense network was not trained again. Where the batches come in the same order each time, the result is the same to
# the bit, however often the script was killed. What a callback cannot set back is the order in which `fit` shuffles: if
# yours shuffles in another order when it goes on, the later levels come out a little otherwise.
#
# `tfl.load_ticket("tickets/level_01.tfl", model)` reads a level from its file.
#
# ## Where to go from here
#
# - `help(tfl.callbacks.LotteryTicket)` has all arguments: what to prune (`scope`, `rates`, `criterion`), how to rewind
#   (`rewind`), callbacks that live one level each (`callbacks`).
# - [From tfmot to tf_lottery](from_tfmot.ipynb) compares tickets with pruning while a network trains.
# - [Reproduce the paper's figure](papers_figure.ipynb) has all levels, controls and replicates from one command.
