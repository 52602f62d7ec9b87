# %% [markdown]
# # Ship it small
#
# You have a network of Keras Applications, and it is to go where every kilobyte counts. This tutorial prunes it, and
# then turns what is left into files: one for TensorFlow, one for Keras, one for LiteRT. It shows how large each of them
# is, and what it does not give you.
#
# To *prune* a network is to set some of its weights to zero for good. The *density* is the share of weights that is
# kept. What is found here are *tickets*: after each pruning the weights that are left go back to what they were early
# in training, and are trained again. [Tickets in your own Keras model](your_own_model.ipynb) is the tutorial about
# that.

# %%
import re
import subprocess
import sys
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

import tf_lottery as tfl

tf.get_logger().setLevel("WARNING")  # else it tells of every folder it writes

LEVELS = 4  # how often to prune
EPOCHS = 10  # how long the whole network is trained
ALPHA = 1.0  # how wide the network is; 1 is the original
ROUNDS = 100  # how often each file is timed

FRACTION = 0.6  # the share of the remaining weights that goes each time
REWIND_EPOCHS = 2  # where the weights that are left go back to
BATCH_SIZE = 50
PIXELS = 32

# %% [markdown]
# ## Data
#
# Handwritten digits that come with scikit-learn, so that nothing is downloaded. They have 8x8 pixels; the networks of
# Keras Applications want at least 32x32, so they are enlarged. And such a network wants more than the 200 training
# images that the library's own split has: we put all splits together and divide them anew.

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
# MobileNet, made for photographs of 224x224 pixels. It shrinks an image 32 times; of ours one point would be left. So
# we cut it where 2x2 points are left, and put a classifier there, as one does with a network of Keras Applications. It
# starts from random weights here. You would take `weights="imagenet"` and images with three colours; nothing else would
# change.
#
# `BatchNormalization` layers keep a running mean of what they have seen, and use it once training is over. Those of
# this network forget slowly. We train for a few hundred steps only, so we have them forget faster. Without that, the
# network would guess in validation however well it did in training.

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
# ## What should stay
#
# `make_prunable` returns the same network with *masks*, which say of each weight whether it is kept. Not every layer is
# worth it. A *depthwise* convolution has nine weights a channel: few bytes to win, and a channel that loses them all is
# dead. The first convolution and the classifier are small as well. `exclude` takes names of layers or weights, a
# function of the name, or regular expressions.

# %%
model = tfl.make_prunable(network, exclude=[re.compile("^conv_dw_"), "conv1", "classifier"])
masks = tfl.get_masks(model)
prunable = sum(mask.size for mask in masks.values())
print("with masks:", *masks)
print(f"{prunable:,} of {network.count_params():,} parameters can be pruned: {prunable / network.count_params():.0%}")

# %% [markdown]
# ## Find tickets
#
# One `fit` does all levels. A *level* is one training: level 0 that of the whole network, level 1 the one after the
# first pruning. `LotteryTicket(callbacks=...)` takes callbacks that live one level each. This one lowers the learning
# rate to zero during a training; given to `fit` itself, it would lower it once for all levels together, and the later
# ones would learn nothing.


# %%
def falling(epoch):
    """The learning rate of an epoch, along a cosine."""
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
# How much worse may the small network be? That is for you to say. We take the sparsest level that is at most two points
# of validation accuracy below the whole network. The test images, which decided nothing, say how good it is.
#
# One training of each proves nothing about tickets in general: this tutorial is about what to do with one.

# %%
best = tickets.best(within=0.02)
for level in (0, best):
    model = tickets.restore(model, level)
    accuracy = model.evaluate(*test, verbose=0, return_dict=True)["accuracy"]
    print(f"level {level}: {tfl.density(model):.1%} of the prunable weights, test accuracy {accuracy:.1%}")

# %% [markdown]
# ## Zeros take room
#
# `strip_pruning` makes a plain Keras model of it: pruned weights are zeros, and the masks are gone. Its file is as
# large as that of the network we began with. Zeros are numbers like others.


# %%
def size(path):
    """Bytes of a file, or of all files in a folder."""
    path = Path(path)
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


network.save("network.keras")
tfl.strip_pruning(model).save("ticket.keras")
print(f"network.keras {size('network.keras'):>9,} bytes")
print(f"ticket.keras  {size('ticket.keras'):>9,} bytes")

# %% [markdown]
# ## A SavedModel that holds only what is kept
#
# `tfl.export.saved_model` writes TensorFlow's own format, a folder. Of a pruned weight array it holds the weights that
# are kept and where they belong; operations of TensorFlow put them in their places when it is loaded. What it returns
# is the density.

# %%
density = tfl.export.saved_model(model, "ticket")
print(f"ticket/       {size('ticket'):>9,} bytes, {density:.1%} of the prunable weights")

# %% [markdown]
# Whoever reads it needs TensorFlow, and neither tf_lottery nor a line of your code. Here another process does, which
# gives us back what it predicts for the test images.

# %%
READER = """
import sys
import numpy as np
import tensorflow as tf

loaded = tf.saved_model.load("ticket")  # keep it: what `loaded.serve` needs is gone when it is
np.save("predicted.npy", loaded.serve(tf.constant(np.load("images.npy"))).numpy())
print("tf_lottery was loaded:", "tf_lottery" in sys.modules)
"""
np.save("images.npy", test[0])
done = subprocess.run([sys.executable, "-c", READER], capture_output=True, text=True, check=True)
print(done.stdout, end="")
ours = np.asarray(model(test[0], training=False))
print("the same bits:", np.array_equal(ours, np.load("predicted.npy")))

# %% [markdown]
# In production, TensorFlow Serving takes the folder as it is: its signature `serving_default` is named after the layers
# that take and make the tensors.

# %%
print(tf.saved_model.load("ticket").signatures["serving_default"].structured_input_signature[1])

# %% [markdown]
# ## A smaller network
#
# Loaded, the SavedModel is the network you trained: as large in memory, and as slow. Zeros do not make a convolution
# faster. Only *channels* that are gone altogether do. `tfl.compact` returns a smaller Keras model without the channels
# that cannot matter, because nothing reads them or no weight leads to them. It computes the same but for rounding.

# %%
small = tfl.compact(model)
for name, each in (("network", network), ("compact", small)):
    costs = tfl.export.costs(each)
    print(f"{name:8} {costs.parameters:>9,} parameters {costs.multiply_adds:>10,} multiply-adds an image")
difference = np.abs(ours - np.asarray(small(test[0], training=False))).max()
print(f"largest difference between two predictions: {difference:.1e}")

# %% [markdown]
# *Multiply-adds* are the multiplications, each with an addition, that one image takes. How many channels go depends on
# the network and on the density: [Tickets outside of tf_lottery](../export.md).
#
# ## A file for LiteRT
#
# LiteRT, once TensorFlow Lite, runs networks on phones and small boards. `tfl.export.tflite` encodes arrays with many
# zeros sparsely.

# %%
tfl.export.tflite(model, "ticket.tflite")
print(f"ticket.tflite {size('ticket.tflite'):>9,} bytes")

# %% [markdown]
# ## All formats side by side
#
# `tfl.export.compare` writes each format to a temporary folder, loads it again, and takes its time. "dense" is the
# SavedModel that Keras would write of the network with its zeros; "dense, gzip" is that, compressed. `share` is the
# size compared to "dense", `latency` the time for so many images at once.

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
# Read it from top to bottom:
#
# - *dense, gzip* is the honest rival. An archive of a network with zeros is small, too, and here it is smaller than
#   *sparse*: a SavedModel also holds the *graph*, the list of operations, some kilobytes a layer whatever the density.
#   But somebody has to unpack it. In larger networks the graph is a smaller part.
# - *sparse* is what `tfl.export.saved_model(model, path)` writes, *compact* the same of `tfl.compact(model)`. They are
#   read as they are.
# - The times of *dense* and *sparse* differ by chance only. LiteRT is faster for one image because it is LiteRT; its
#   sparse file is about as fast as its dense one here. Times are of the machine this ran on, with one kind of
#   processor.
#
# ## Which one to take
#
# | you have | take |
# |---|---|
# | TensorFlow or TensorFlow Serving | `tfl.export.saved_model` |
# | LiteRT | `tfl.export.tflite` |
# | Keras | `tfl.strip_pruning(model).save(...)`, zipped by whoever transports it |
# | a density below a few percent, and time that counts | `tfl.compact` first, then one of the above |
#
# [Tickets outside of tf_lottery](../export.md) has the figures for larger networks, where the graph is a smaller part,
# and what to trust. A network that was found by `scripts/find_tickets.py` is exported by `scripts/export.py`, in all
# these formats.
