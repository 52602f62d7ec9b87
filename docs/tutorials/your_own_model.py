# %% [markdown]
# # Tickets in your own Keras model
#
# You have a Keras model and call `model.fit`. This tutorial finds *lottery tickets* in the model: small networks inside
# the large one that become as accurate as the whole when they are trained again from an early state.
#
# The method is *iterative magnitude pruning with rewinding* ([arXiv 1903.01611](https://arxiv.org/abs/1903.01611)):
#
# 1. Train the network. This is *level* 0, the *dense* network.
# 2. *Prune*: set the weights with the smallest magnitudes to zero for good.
# 3. *Rewind*: set all other weights back to their values early in training.
# 4. Train again. This is level 1. Repeat from 2.

# %%
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import tf_lottery as tfl

LEVELS = 6  # how often to prune
EPOCHS = 30  # how long level 0 is trained
SEEDS = (1, 2, 3)  # the whole experiment is repeated with each

FRACTION = 0.4  # the share of the remaining weights that each level prunes
REWIND_EPOCHS = 2  # levels rewind to the state after so many epochs

# %% [markdown]
# ## Data and model
#
# The data are small images of handwritten digits. The *validation* images are used for decisions, the *test* images
# only for the figures that are reported at the end.

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
# ## Make the model prunable
#
# `make_prunable` gives each prunable weight array a *mask*, which says for each weight whether it is kept. A pruned
# weight is zero and stays zero in training. At first all weights are kept: the *density*, kept weights / all weights,
# is 1. Biases have no masks.
#
# The function takes Sequential, functional and subclassed models. `exclude="dense_2"` would exclude the last layer from
# pruning.

# %%
model = tfl.make_prunable(build())
for name, mask in tfl.get_masks(model).items():
    print(f"{name:15} {mask.shape!s:10} density {mask.mean():.0%}")

# %% [markdown]
# ## Find tickets
#
# One callback trains all levels in one `fit`. `total_epochs` are enough epochs for all of them. The code is a function,
# because we need it more than once.


# %%
def find(seed, *others, directory=None):
    """Train all levels; return the model and the callback, which has every level."""
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
# The table has one row per level. `density` is the share of the weights that is kept. `epochs` is the length of the
# level: a level begins in the epoch to which it was rewound, so it has fewer epochs than the dense network. `step` is
# the optimizer's step counter at the end of the level; it is rewound, too. The other columns are what Keras measured in
# the last epoch of the level.


# %%
def against_density(title, unit):
    """Return an empty plot against the densities of the levels, which decrease to the right."""
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
# ## Choose a ticket
#
# `best` returns the sparsest level that is as good as the dense network on the validation data, or, with `within`, not
# much worse. `restore` gives the model the masks and weights with which this level ended.

# %%
level = tickets.best(within=0.005)  # half a point of accuracy
model = tickets.restore(model, level)
print(f"level {level}: {tfl.density(model):.1%} of the weights are kept")

# %% [markdown]
# ## Compare it with controls
#
# A small network with a good accuracy is not necessarily a lottery ticket: perhaps any network of this size is as good.
# So we train two *controls* to the same last epoch:
#
# - *random mask*: as many weights in each layer as in the ticket, but chosen at random, with the values that the dense
#   network had in the state to which levels rewind. It shows whether it matters *which* weights are kept.
# - *reinit*: the ticket's mask with a new random initialisation, trained from the start. It shows whether the *early
#   values* of the weights matter.
#
# `control` has five more; `help(tfl.callbacks.LotteryTicket.control)` lists them.
#
# A single training run of each says little, because other seeds give other figures. We repeat everything with each of
# our seeds, and compare within a seed. The level was chosen above, on validation data of the first seed, before any
# test image was used.


# %%
def test_accuracy(model):
    return 100 * model.evaluate(*test, verbose=0, return_dict=True)["accuracy"]


def compare(model, tickets):
    """Return the test accuracy in percent of the dense network, the ticket and its controls."""
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
# The first table has one row per seed, the second the mean and the *spread*, from the lowest to the highest. If the
# spreads of two columns overlap, their means alone prove nothing. We call a difference *shown* if it has the same sign
# with every seed, and there are at least three. Otherwise it is *not shown*, which does not mean that there is no
# difference.
#
# All networks were trained equally long. With more training a control may catch up; these results hold for this length.

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
# This is the validation accuracy of the tickets of all seeds at all levels:

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
# ## Save it
#
# `strip_pruning` returns a plain Keras model without masks, in which pruned weights are ordinary zeros. Its file can be
# loaded without tf_lottery, and it predicts the same bits as the model with masks.

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
# The file is no smaller, because zeros take as much space as other numbers. [Export a ticket](ship_it_small.ipynb) is
# about small files.
#
# ## Resume after a crash
#
# With `directory=`, every finished level is stored in files. The same script, run again, resumes with the level that
# was not finished. We simulate a machine that is switched off in the middle of level 1.


# %%
class PowerCut(keras.callbacks.Callback):
    """End the training in the second epoch of level 1."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == EPOCHS + 1:
            raise KeyboardInterrupt


try:
    find(SEEDS[0], PowerCut(), directory="tickets")
except KeyboardInterrupt:
    print("There are:", *sorted(path.name for path in Path("tickets").iterdir()))

# %% [markdown]
# `level_00.tfl` has the dense network, and `rewind.tfl` the state at step k. This is the same call without the power
# cut:

# %%
model, resumed = find(SEEDS[0], directory="tickets")
print(len(model.history.epoch), "epochs were trained now, of", int(resumed.to_frame()["epochs"].sum()), "in all")
print("the same figures as without the power cut:", resumed.to_frame().equals(tickets.to_frame()))

# %% [markdown]
# The dense network was not trained again. If the batches come in the same order each time, the result is the same to
# the bit, however often the script was killed. A callback cannot set back the order in which `fit` shuffles: if your
# data comes in another order after a crash, the later levels differ a little.
#
# `tfl.load_ticket("tickets/level_01.tfl", model)` reads a level from its file.
#
# ## Further reading
#
# - `help(tfl.callbacks.LotteryTicket)` has all arguments: what to prune (`scope`, `rates`, `criterion`), how to rewind
#   (`rewind`), callbacks that see one level each (`callbacks`).
# - [From tfmot to tf_lottery](from_tfmot.ipynb) compares tickets with gradual pruning.
# - [Reproduce the paper's figure](papers_figure.ipynb) trains all levels, controls and replicates with one command.
