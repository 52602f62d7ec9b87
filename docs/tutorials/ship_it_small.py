# %% [markdown]
# # Export a ticket
#
# You have a network of Keras Applications, and want to use it where every kilobyte counts. This tutorial prunes it, and
# exports the pruned network to files for TensorFlow, Keras and LiteRT. It shows how large each of them is, and what it
# does not save.
#
# To *prune* a network is to set some of its weights to zero for good. The *density* is the share of weights that is
# kept. This tutorial finds *tickets*: after each pruning, the remaining weights are set back to their values early in
# training, and are trained again. [Tickets in your own Keras model](your_own_model.ipynb) explains them.

# %%
import subprocess
import sys
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

import tf_lottery as tfl

tf.get_logger().setLevel("WARNING")  # otherwise TensorFlow reports every folder that it writes

LEVELS = 4  # how often to prune
EPOCHS = 10  # how long the whole network is trained
ALPHA = 1.0  # how wide the network is; 1 is the original
ROUNDS = 100  # how often each file is timed

FRACTION = 0.6  # the share of the remaining weights that each level prunes
REWIND_EPOCHS = 2  # levels rewind to the state after so many epochs
BATCH_SIZE = 50
PIXELS = 32

# %% [markdown]
# ## Data
#
# The data are the handwritten digits of scikit-learn, so nothing is downloaded. They have 8x8 pixels. The networks of
# Keras Applications need at least 32x32, so we enlarge them. Such a network also needs more than the 200 training
# images of the library's own split, so we join all splits and divide them again.

# %%
digits = tfl.data.load("digits")
parts = (digits.train, digits.validation, digits.test)
x = tf.image.resize(np.concatenate([part.x for part in parts]), (PIXELS, PIXELS)).numpy()
y = np.concatenate([part.y for part in parts])
train, validation, test = (x[:1197], y[:1197]), (x[1197:1497], y[1197:1497]), (x[1497:], y[1497:])
print("train", train[0].shape, "validation", validation[0].shape, "test", test[0].shape)

# %% [markdown]
# ## A network of Keras Applications
#
# MobileNet was made for photographs of 224x224 pixels. It reduces images by a factor of 32, so that one point of ours
# would remain. We cut the network where 2x2 points remain, and add a classifier. It starts from random weights here.
# You would use `weights="imagenet"` and images with three colours; nothing else would change.
#
# `BatchNormalization` layers have running means, which they use after training. With the momentum of this network these
# means change slowly. We train for a few hundred steps only, so we lower the momentum. Otherwise the network would be
# no better than chance in validation, however good it is in training.

# %%
keras.utils.set_random_seed(1)
base = keras.applications.MobileNet(input_shape=(PIXELS, PIXELS, 1), alpha=ALPHA, weights=None, include_top=False)
features = keras.layers.GlobalAveragePooling2D()(base.get_layer("conv_pw_6_relu").output)
network = keras.Model(base.input, keras.layers.Dense(10, name="classifier")(features), name="digits")
for layer in network.layers:
    if isinstance(layer, keras.layers.BatchNormalization):
        layer.momentum = 0.9
print(f"{network.count_params():,} parameters in {len(network.layers)} layers")

# %% [markdown]
# ## Exclude small layers
#
# `make_prunable` returns the same network with *masks*, which say for each weight whether it is kept. Some layers are
# not worth pruning. A *depthwise* convolution has nine weights per channel, and a channel without weights is dead:
# these kernels stay dense by themselves. The first convolution and the classifier are small, too. `exclude` takes
# names of layers or weights, a function of the name, or regular expressions.

# %%
model = tfl.make_prunable(network, exclude=["conv1", "classifier"])
masks = tfl.get_masks(model)
prunable = sum(mask.size for mask in masks.values())
print("with masks:", *masks)
print(f"{prunable:,} of {network.count_params():,} parameters can be pruned: {prunable / network.count_params():.0%}")

# %% [markdown]
# ## Find tickets
#
# One `fit` trains all levels. *Level* 0 is the training run of the whole network, level 1 the one after the first
# pruning. `LotteryTicket(callbacks=...)` takes callbacks that see one level each. This one lowers the learning rate to
# zero during a level. If it were given to `fit` itself, it would lower the rate once for all levels together, and the
# later levels would learn nothing.


# %%
def falling(epoch):
    """Return the learning rate of an epoch, which follows a cosine."""
    return 0.002 * (1 + np.cos(np.pi * epoch / EPOCHS))


model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
tickets = tfl.callbacks.LotteryTicket(
    levels=LEVELS,
    fraction=FRACTION,
    rewind_to=f"{REWIND_EPOCHS}ep",
    epochs_per_level=EPOCHS,
    callbacks=[keras.callbacks.LearningRateScheduler(falling)],
)
model.fit(
    *train,
    batch_size=BATCH_SIZE,
    epochs=tickets.total_epochs,
    validation_data=validation,
    callbacks=[tickets],
    verbose=0,
)
print(tickets.to_frame()[["level", "density", "epochs", "accuracy", "val_accuracy"]].round(3).to_string(index=False))

# %% [markdown]
# How much worse the small network may be is your decision. We take the sparsest level whose validation accuracy is at
# most two points below that of the whole network. The test images, which decided nothing, show how good it is.
#
# One training run of each proves nothing about tickets in general: this tutorial is about exporting one.

# %%
best = tickets.best(within=0.02)
for level in (0, best):
    model = tickets.restore(model, level)
    accuracy = model.evaluate(*test, verbose=0, return_dict=True)["accuracy"]
    print(f"level {level}: {tfl.density(model):.1%} of the prunable weights, test accuracy {accuracy:.1%}")

# %% [markdown]
# ## A plain Keras model
#
# `strip_pruning` returns a plain Keras model without masks, in which pruned weights are zeros. Its file is as large as
# that of the original network, because zeros take as much space as other numbers.


# %%
def size(path):
    """Return the bytes of a file, or of all files in a folder."""
    path = Path(path)
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


network.save("network.keras")
tfl.strip_pruning(model).save("ticket.keras")
print(f"network.keras {size('network.keras'):>9,} bytes")
print(f"ticket.keras  {size('ticket.keras'):>9,} bytes")

# %% [markdown]
# ## A sparse SavedModel
#
# `tfl.export.saved_model` writes a SavedModel, TensorFlow's own format, which is a folder. For a pruned weight array it
# holds the kept weights and their positions; operations of TensorFlow put them there when the model is loaded. The
# function returns the density.

# %%
density = tfl.export.saved_model(model, "ticket")
print(f"ticket/       {size('ticket'):>9,} bytes, {density:.1%} of the prunable weights")

# %% [markdown]
# Reading it takes TensorFlow, but neither tf_lottery nor your code. Here another process reads it, and writes its
# predictions for the test images.

# %%
READER = """
import sys
import numpy as np
import tensorflow as tf

loaded = tf.saved_model.load("ticket")  # keep this object: `loaded.serve` needs its weights
np.save("predicted.npy", loaded.serve(tf.constant(np.load("images.npy"))).numpy())
print("tf_lottery was loaded:", "tf_lottery" in sys.modules)
"""
np.save("images.npy", test[0])
done = subprocess.run([sys.executable, "-c", READER], capture_output=True, text=True, check=True)
print(done.stdout, end="")
ours = np.asarray(model(test[0], training=False))
print("the same bits:", np.array_equal(ours, np.load("predicted.npy")))

# %% [markdown]
# TensorFlow Serving takes the folder as it is. The inputs and outputs of its signature `serving_default` are named
# after the layers that take and make them.

# %%
print(tf.saved_model.load("ticket").signatures["serving_default"].structured_input_signature[1])

# %% [markdown]
# ## A smaller network
#
# Once it is loaded, the SavedModel is the network that you trained, with the same size in memory and the same speed.
# Zeros do not make a convolution faster; only removed *channels* do. `tfl.compact` returns a smaller Keras model
# without the channels that cannot matter, because nothing reads them or no weight leads to them. It computes the same,
# except for rounding.

# %%
small = tfl.compact(model)
for name, each in (("network", network), ("compact", small)):
    costs = tfl.export.costs(each)
    print(f"{name:8} {costs.parameters:>9,} parameters {costs.multiply_adds:>10,} multiply-adds an image")
difference = np.abs(ours - np.asarray(small(test[0], training=False))).max()
print(f"largest difference between two predictions: {difference:.1e}")

# %% [markdown]
# *Multiply-adds* are the multiplications, each with an addition, that one image takes. How many channels are removed
# depends on the network and on the density: see [Exporting tickets](../export.md).
#
# ## A file for LiteRT
#
# LiteRT, formerly TensorFlow Lite, runs networks on phones and small boards. `tfl.export.tflite` encodes arrays with
# many zeros sparsely.

# %%
tfl.export.tflite(model, "ticket.tflite")
print(f"ticket.tflite {size('ticket.tflite'):>9,} bytes")

# %% [markdown]
# ## A comparison of all formats
#
# `tfl.export.compare` writes each format to a temporary folder, loads it again, and measures its latency. "dense" is
# the SavedModel that Keras would write of the network with its zeros, and "dense, gzip" a compressed archive of it.
# `share` is the size relative to "dense", and `latency` the time for a batch of this many images.

# %%
table = tfl.export.compare(model, batch_sizes=[1, 64], rounds=ROUNDS)
shown = table.assign(**{f"ms for {n}": (1000 * table[f"latency_{n}"]).round(2) for n in (1, 64)}).round({"share": 2})
print(shown[["format", "bytes", "share", "ms for 1", "ms for 64"]].to_string(index=False))

figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained", sharey=True)
axes[0].barh(table["format"], table["bytes"] / 1000)
axes[0].set(xlabel="kilobytes", title="Size")
axes[1].barh(table["format"], 1000 * table["latency_64"], color="tab:orange")
axes[1].set(xlabel="milliseconds for 64 images", title="Time")
axes[0].invert_yaxis()
plt.show()

# %% [markdown]
# From top to bottom:
#
# - *dense, gzip* is an archive of a network with zeros. It is small, too, and here it is smaller than *sparse*, because
#   a SavedModel also holds the *graph*, the list of operations, with some kilobytes per layer at any density. But an
#   archive must be unpacked before use. In larger networks the graph is a smaller part.
# - *sparse* is what `tfl.export.saved_model(model, path)` writes, and *compact* the same for `tfl.compact(model)`. Both
#   can be read as they are.
# - The times of *dense* and *sparse* differ by chance only. LiteRT is faster for one image because its calls are cheap;
#   its sparse file is about as fast as its dense one here. All times are of one machine, with one kind of processor.
#
# ## Which format to use
#
# | you have | use |
# |---|---|
# | TensorFlow or TensorFlow Serving | `tfl.export.saved_model` |
# | LiteRT | `tfl.export.tflite` |
# | Keras | `tfl.strip_pruning(model).save(...)`, compressed for transport |
# | a density below a few percent, and time that counts | `tfl.compact` first, then one of the above |
#
# [Exporting tickets](../export.md) has the figures for larger networks, where the graph is a smaller part, and a
# section on security. `scripts/export.py` exports the networks that `scripts/find_tickets.py` has found, in all these
# formats.
