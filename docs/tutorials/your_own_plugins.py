# %% [markdown]
# # Your own plugins
#
# An experiment of tf_lottery refers to functions by name: a *criterion*, which decides which weights are pruned, a
# network, a data source, and more. This tutorial adds a criterion, a data source and a network of your own, each as a
# function, an entry and a test. Then an experiment uses all three.
#
# You can add such a function in a clone of the repository, where it takes one file and one line, and all scripts know
# it. [CONTRIBUTING.md](../../CONTRIBUTING.md) has a table of what goes where. Or you can leave it in a module of your
# own: then it is a *plugin*. This tutorial makes plugins, and says at each step where the function would be in a clone.

# %%
# ruff: noqa: S101 (tests assert)
import inspect
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import tf_lottery as tfl
from tf_lottery.data import Dataset, Split
from tf_lottery.keras_compat import keras

LEVELS = 6  # how often to prune
EPOCHS = 30  # how long the first network is trained
STEPS = "1000it"  # optimizer steps ("it", iterations) of each training run of the experiment
REPLICATES = 5  # the whole experiment, so often

# %% [markdown]
# `tf_lottery.keras_compat` provides the Keras in use, Keras 3 or legacy Keras. Code that imports `keras` from there
# works on both.
#
# ## A criterion
#
# A criterion gives every weight a score. The weights with the lowest scores are pruned. It is a function of three
# arguments:
#
# - `initial`, the weights that the training started from: a dict of arrays by weight name,
# - `trained`, the weights it ended with: the same names and shapes,
# - `rng`, a random generator of NumPy, for criteria that draw.
#
# The usual criterion is the magnitude, |w|. Ours is the same, except that a weight whose sign has changed in training
# counts half.


# %%
def same_sign(initial, trained, rng):
    """Return |trained|, or half of it where the sign differs from that of `initial`."""
    return {
        name: np.abs(weight) * np.where(weight * initial[name] > 0, 1.0, 0.5).astype(weight.dtype)
        for name, weight in trained.items()
    }


# %% [markdown]
# Its test is a literal example, small enough to check by eye, and a property: a criterion does not change its
# arguments.


# %%
def test_a_weight_whose_sign_has_changed_counts_half():
    initial, trained = {"w": np.array([1.0, -2.0, 3.0])}, {"w": np.array([4.0, 0.5, -3.0])}
    scores = same_sign(initial, trained, np.random.default_rng(0))
    assert scores["w"].tolist() == [4.0, 0.25, 1.5]
    assert initial["w"].tolist() == [1.0, -2.0, 3.0]
    assert trained["w"].tolist() == [4.0, 0.5, -3.0]


test_a_weight_whose_sign_has_changed_counts_half()

# %% [markdown]
# In a clone, the function goes into `tf_lottery/core/criteria.py`, and the test into `tests/core/test_criteria.py`.
#
# ## A data source
#
# A data source is a function without arguments that returns a `Dataset`: three splits, each with float32 examples `x`
# and int32 classes `y`. It must return the same data every time, because a run that is resumed tomorrow reads them
# again. So a source that draws random numbers has a seed of its own. Ours returns points in the plane, in three rings
# around each other.


# %%
def rings():
    """Return 300 training, 300 validation and 900 test points of shape (2,), in three rings."""
    rng = np.random.default_rng(0)

    def split(count):
        y = np.arange(count, dtype=np.int32) % 3
        radius = y + 1 + rng.normal(scale=0.25, size=count)
        angle = rng.uniform(0, 2 * np.pi, count)
        return Split((radius * [np.cos(angle), np.sin(angle)]).T.astype(np.float32), y)

    return Dataset(split(300), split(300), split(900), num_classes=3)


# %%
def test_rings_have_their_shape_and_are_the_same_every_time():
    first, second = rings(), rings()
    assert first.examples == {"train": 300, "validation": 300, "test": 900}
    assert first.input_shape == (2,)
    for name in ("train", "validation", "test"):
        split = getattr(first, name)
        assert (split.x.dtype, split.y.dtype) == (np.float32, np.int32)
        assert set(split.y.tolist()) == {0, 1, 2}
        assert np.array_equal(split.x, getattr(second, name).x)


test_rings_have_their_shape_and_are_the_same_every_time()

points = rings().train
figure, axis = plt.subplots(figsize=(3.2, 3.2), layout="constrained")
axis.scatter(*points.x.T, c=points.y, s=8)
axis.set(title="rings: the training points", aspect="equal")
plt.show()

# %% [markdown]
# In a clone, this goes into `tf_lottery/data/in_memory.py`, and its test into `tests/data/`.
#
# ## A network
#
# A network is a function of the shape of an example and the number of classes that returns a built Keras model. The
# model returns *logits*, without a softmax, and its last layer is named "output". Further arguments come from the name
# in the config, as we will see.


# %%
def mlp(input_shape, num_classes, width=16):
    """Return a network with one hidden layer of `width` ReLU units."""
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Flatten(),
            keras.layers.Dense(width, "relu"),
            keras.layers.Dense(num_classes, name="output"),
        ]
    )


# %%
def test_the_mlp_has_its_layers():
    model = mlp((2,), 3, width=16)
    assert model.count_params() == (2 * 16 + 16) + (16 * 3 + 3)
    assert model.output_shape == (None, 3)
    assert list(tfl.get_masks(tfl.make_prunable(model))) == ["dense/kernel", "output/kernel"]


test_the_mlp_has_its_layers()

# %% [markdown]
# In a clone, this goes into a module of `tf_lottery/models/`, and its test into `tests/models/`.
#
# ## Use in your own `fit`
#
# In your own `fit`, functions need no entries: `LotteryTicket` takes the criterion itself.

# %%
keras.utils.set_random_seed(1)
model = tfl.make_prunable(mlp((2,), 3, width=64))
model.compile(
    keras.optimizers.Adam(0.005), keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
)
tickets = tfl.callbacks.LotteryTicket(
    levels=LEVELS, fraction=0.3, criterion=same_sign, rewind_to="1ep", epochs_per_level=EPOCHS
)
model.fit(points.x, points.y, epochs=tickets.total_epochs, callbacks=[tickets], verbose=0)
print(tickets.to_frame().round(3).to_string(index=False))

# %% [markdown]
# ## Entries for configs
#
# A config names functions, because it is written to the run directory. So the functions need entries:
#
# | function | table | file of the table |
# |---|---|---|
# | criterion | `tfl.criteria.CRITERIA` | `core/criteria.py` |
# | data source | `tfl.data.SOURCES` | `data/__init__.py` |
# | its shape and classes, for `--smoke` | `tfl.data.SHAPES` | `data/dataset.py` |
# | network | `names.MODELS` | `models/names.py`, with an example in `EXAMPLES` there |
#
# The key of a network is a pattern for whole names. Its value is the function that builds the network; in a clone, it
# is a string "module.function" with a module of `tf_lottery.models`. The named groups of the pattern are arguments of
# the function: `mlp_64` calls `mlp(..., width=64)`.

# %%
ENTRIES = """
tfl.criteria.CRITERIA["same_sign"] = same_sign
tfl.data.SOURCES["rings"] = rings
tfl.data.SHAPES["rings"] = ((2,), 3)
names.MODELS[r"mlp_(?P<width>[1-9]\\d*)"] = mlp
"""

# %% [markdown]
# Normally you would write functions and entries into a file from the start. Here we compose the file from the cells
# above.

# %%
HEADER = '''"""A criterion, a data source and a network; importing this module registers them."""

import numpy as np

import tf_lottery as tfl
from tf_lottery.data import Dataset, Split
from tf_lottery.keras_compat import keras
from tf_lottery.models import names


'''
sources = [inspect.getsource(function) for function in (same_sign, rings, mlp)]
Path("my_plugins.py").write_text(HEADER + "\n\n".join(sources) + ENTRIES)

sys.path.insert(0, str(Path.cwd()))  # the folder of my_plugins.py
import my_plugins  # registers the plugins in this process


# %%
def test_the_entries_are_found():
    assert tfl.criteria.CRITERIA["same_sign"] is my_plugins.same_sign
    assert tfl.data.load("rings").input_shape == tfl.data.load("rings", synthetic=True).input_shape == (2,)
    assert tfl.models.build("mlp_64", (2,), 3).count_params() == (2 * 64 + 64) + (64 * 3 + 3)


test_the_entries_are_found()

# %% [markdown]
# ## An experiment with all three
#
# Is our criterion better than the magnitude? The experiment has three *variants*: the two criteria, and random pruning.
# A *replicate* is the whole experiment once more with another seed. The variants share the dense network of each
# replicate, so they can be compared in pairs.
#
# Training runs in *worker processes*, for any value of `jobs`. A new process does not know the functions of this
# notebook, but it imports the modules that the entries come from. So plugins must be in a module that can be imported,
# such as `my_plugins.py`, and not in a notebook or a config file.

# %%
SCRIPT = f'''"""Our criterion against the magnitude and chance."""

import sys

import my_plugins  # registers the plugins
import tf_lottery as tfl
from tf_lottery.experiment.config import Data, Experiment, Model, Prune, Train
from tf_lottery.experiment.smoke import smoke
from tf_lottery.report import page

CONFIG = Experiment(
    replicates={REPLICATES},
    model=Model("mlp_64"),
    data=Data("rings"),
    train=Train(learning_rate=0.005, steps="{STEPS}", evaluate_every="20it"),
    prune=Prune(levels={LEVELS}, fraction=0.3, rewind_to="10it"),
    controls=(),
    variants={{
        "same sign": {{"prune.criterion": "same_sign"}},
        "magnitude": {{"prune.criterion": "magnitude"}},
        "random": {{"prune.criterion": "random"}},
    }},
)

if __name__ == "__main__":
    if "--smoke" in sys.argv:
        run = tfl.find_tickets(smoke(CONFIG), "runs/smoke", jobs=2)
    else:
        run = tfl.find_tickets(CONFIG, "runs/rings", jobs=2)
    print("Report:", page.write(run))
'''
Path("find.py").write_text(SCRIPT)


def find(*arguments):
    print("$ python find.py", *arguments)
    done = subprocess.run([sys.executable, "find.py", *arguments], capture_output=True, text=True, check=False)
    print(done.stdout)
    if done.returncode:
        sys.exit(done.stderr)


find("--smoke")

# %% [markdown]
# `smoke` makes any experiment small: one replicate, one level, six steps, on noise in the shape of the data. It shows
# that everything fits together, before you start the whole experiment.

# %%
find()

# %% [markdown]
# `tickets.csv` in the report has one row per training run.

# %%
rows = pd.read_csv("runs/rings/report/tickets.csv")
rows["test accuracy (%)"] = 100 * rows["test_accuracy"]
last = rows[rows.level == LEVELS].pivot(index="replicate", columns="variant", values="test accuracy (%)")
print(last.round(1))
print()
for rival in ("magnitude", "random"):
    difference = last["same sign"] - last[rival]
    agree = len(difference) >= 3 and ((difference > 0).all() or (difference < 0).all())
    print(
        f"same sign - {rival:9} {difference.mean():+.1f} points [{difference.min():+.1f} to {difference.max():+.1f}]",
        "shown" if agree else "not shown",
    )

figure, axis = plt.subplots(figsize=(6, 3.5), layout="constrained")
for variant, marker in (("same sign", "o"), ("magnitude", "s"), ("random", "^")):
    of_variant = rows[rows.variant == variant].groupby("level")
    spread = of_variant["test accuracy (%)"].agg(["mean", "min", "max"])
    densities = 100 * of_variant["density"].mean()
    axis.plot(densities, spread["mean"], f"{marker}-", label=variant, markersize=4)
    axis.fill_between(densities, spread["min"], spread["max"], alpha=0.15)
axis.set(xlabel="weights kept (%)", ylabel="test accuracy (%)", xscale="log")
axis.set_xticks(densities, labels=[f"{density:.3g}" for density in densities])
axis.minorticks_off()
axis.invert_xaxis()
axis.legend(frameon=False)
plt.show()

# %% [markdown]
# Lines are means of the replicates, and bands range from the lowest to the highest. We call a difference *shown* if it
# has the same sign in every replicate, and there are at least three; otherwise it is *not shown*. So our criterion is
# better than chance, and not shown to be better than the plain magnitude. This is a result, too.
#
# ## Where plugins work
#
# | | plugin in a module of your own | function in a clone |
# |---|---|---|
# | your own `fit` | yes | yes |
# | `tfl.find_tickets` with any `jobs`, in a script or a notebook that imports the module | yes | yes |
# | `tfl.load_network`, `page.write` in a program that imports the module first | yes | yes |
# | `scripts/find_tickets.py` with a config that imports the module | its folder on `PYTHONPATH` | yes |
# | `scripts/report.py`, `runs.py`, `export.py` on such a run | `--plugins=my_plugins`, folder on `PYTHONPATH` | yes |
#
# A program that does not import the plugins ends with an error that lists the known names. Nothing is lost: if it
# imports them, it can read the run.
#
# A run directory contains only the names of plugins. If you change `same_sign`, a run that is resumed does not notice.
# Give a changed plugin a new name.
#
# ## Further reading
#
# - [CONTRIBUTING.md](../../CONTRIBUTING.md) has the same table for schedules, augmentations, optimizers, controls,
#   figures and more, and the rules for tests.
# - A *layer* of your own needs no entry in a table: `tfl.register_prunable(MyLayer, "weight")` makes one of its weights
#   prunable.
# - [Several jobs, devices and machines](scale_out.ipynb) is about running large experiments.
