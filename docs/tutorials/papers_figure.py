# %% [markdown]
# # Reproduce the paper's figure
#
# *The Lottery Ticket Hypothesis* ([arXiv 1803.03635](https://arxiv.org/abs/1803.03635)) begins with a figure of two
# plots against the share of weights that are kept: how fast networks of this size learn, and how accurate they are
# then. Solid lines are *winning tickets*, dashed lines networks of the same size chosen at random. This tutorial makes
# the figure for LeNet-300-100, the paper's fully connected network, on small handwritten digits, with one command. It
# also explains the run directory and the tables.
#
# It needs a clone of the repository, for its `scripts/`.

# %%
import os
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

import tf_lottery as tfl

LEVELS = 6  # how often to prune
MORE_LEVELS = 10  # the levels to which the run is extended later
REPLICATES = 3  # how often the whole experiment is done
STEPS = "1500it"  # optimizer steps ("it", iterations) of each training run

# %% [markdown]
# ## The config
#
# A config is a Python file with one function. This one has the settings of the paper for this network: Adam, batches of
# 60 images, and pruning of each layer by itself, a fifth of its weights at each *level*, a tenth in the output layer.
# Level 0 trains the *dense* network, with all weights. Each further level prunes the smallest weights of the level
# before, *rewinds* the others to their values at step k, and trains again. Here k is 0: they go back to the
# initialisation. Fields that a config leaves out have their defaults.

# %%
CONFIG = '''"""LeNet-300-100 on handwritten digits."""

from tf_lottery.experiment.config import Data, Experiment, Model, Prune, Train


def get_config() -> Experiment:
    return Experiment(
        model=Model("lenet_300_100"),
        data=Data("digits"),
        train=Train(optimizer="adam", learning_rate=1.2e-3, batch_size=60, evaluate_every="100it"),
        prune=Prune(fraction=0.2, rates=("^output/=0.1",), scope="layerwise", rewind_to="0it"),
        controls=("random_mask", "reinit"),
    )
'''
with open("lenet_digits.py", "w") as file:
    file.write(CONFIG)

# %% [markdown]
# A ticket has to beat its *controls*. *random mask* has as many weights in each layer, chosen at random. *reinit* has
# the ticket's weights, newly initialised.
#
# ## The command
#
# In a terminal you would type
#
#     python scripts/find_tickets.py --config=lenet_digits.py --run_dir=runs/digits --config.prune.levels=6
#
# Any field of the config can be overridden like this. Here a function calls the command. It leaves out the lines that
# the command prints while it works, one per training run.

# %%
SCRIPTS = Path(tfl.__file__).parents[1] / "scripts"
PLAIN = os.environ | {"TERM": "dumb", "FORCE_COLOR": "1"}  # a terminal of 80 columns without a live display


def command(script, *arguments):
    """Run one of the scripts and show what it prints."""
    print("$ python", f"scripts/{script}.py", *arguments)
    call = [sys.executable, SCRIPTS / f"{script}.py", *arguments]
    done = subprocess.run(call, env=PLAIN, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    print(*(line for line in done.stdout.splitlines() if not line.startswith("[")), sep="\n")
    done.check_returncode()


RUN = ("--config=lenet_digits.py", "--run_dir=runs/digits")
SIZE = (f"--config.replicates={REPLICATES}", f"--config.train.steps={STEPS}")
command("find_tickets", *RUN, *SIZE, f"--config.prune.levels={LEVELS}")

# %% [markdown]
# A *replicate* is the whole experiment once more, with another initialisation and another order of the data. The
# *early-stop step* is the step with the lowest loss on the validation data: the earlier it is, the faster the network
# has learned. The accuracy is that on the test data at this step.
#
# ## The run directory
#
# A run directory has plain files, in one folder per training run.

# %%
run = Path("runs/digits")
for folder in (run, run / "replicate_1/level_01", run / "report"):
    print(f"{folder}:", *sorted(path.name for path in folder.iterdir()), sep="\n    ")

# %% [markdown]
# `history.csv` has what was measured during the training run, `ticket.tfl` the masks and weights, and `manifest.json`
# the checksums of the other files. `report/index.html` is a page with all figures and tables, and `report/tickets.csv`
# has one row per training run.

# %%
tickets = pd.read_csv(run / "report/tickets.csv")
columns = ["replicate", "level", "branch", "density", "early_stop_step", "early_stop_test_accuracy"]
print(tickets.loc[tickets.level <= 1, columns].round(3).to_string(index=False))

# %% [markdown]
# `branch` is the ticket or a control. The dense network is the ticket of level 0, in which nothing is pruned. `density`
# is the share of the weights that is kept.
#
# ## The figure

# %%
LOOKS = {"ticket": "o-", "random_mask": "s--", "reinit": "^-."}


def draw(tickets):
    """Draw early-stop step and accuracy against density: means of the replicates, bands from lowest to highest."""
    axes = plt.figure(figsize=(9, 3.6), layout="constrained").subplots(1, 2)
    measures = {"early_stop_step": "early-stop step", "early_stop_test_accuracy": "test accuracy (%) at this step"}
    tickets = tickets.assign(early_stop_test_accuracy=100 * tickets.early_stop_test_accuracy)
    dense = tickets[tickets.level == 0]
    for axis, (measure, title) in zip(axes, measures.items(), strict=True):
        for branch, look in LOOKS.items():
            rows = pd.concat([dense, tickets[(tickets.branch == branch) & (tickets.level > 0)]])
            spread = rows.groupby("level")[measure].agg(["mean", "min", "max"])
            densities = 100 * rows.groupby("level")["density"].mean()
            axis.plot(densities, spread["mean"], look, label=branch.replace("_", " "), markersize=4)
            axis.fill_between(densities, spread["min"], spread["max"], alpha=0.15)
        axis.set(title=title, xlabel="weights kept (%)", xscale="log")
        ticks = densities.iloc[::2]
        axis.set_xticks(ticks, labels=[f"{tick:.3g}" for tick in ticks])
        axis.minorticks_off()
        axis.invert_xaxis()
    axes[0].legend(frameon=False)
    plt.show()


draw(tickets)

# %% [markdown]
# In the left plot lower is better, in the right plot higher. As in the paper, more and more weights are pruned from
# left to right. The plots show how long the tickets stay as fast and as accurate as the dense network, and where the
# two controls become slower or less accurate. The report has the same curves in `accuracy_at_early_stopping.png` and
# `early_stopping.png`.
#
# ## Verdicts
#
# The paper defines a *winning ticket* as one that reaches its lowest validation loss no later than the dense network,
# and is then at least as accurate on the test set. Each ticket is compared with the dense network of its own replicate.
# For each level we count the replicates in which each of the two conditions holds:


# %%
def verdicts(tickets):
    """Count the replicates in which the ticket of a level is as accurate as the dense network, and no later."""
    measured = tickets[tickets.branch == "ticket"].pivot(index="level", columns="replicate")
    accuracy, step = measured["early_stop_test_accuracy"], measured["early_stop_step"]
    as_accurate, no_later = accuracy >= accuracy.loc[0], step <= step.loc[0]
    counts = {"density": measured["density"].mean(axis=1).round(3)}
    counts |= {"as accurate": as_accurate.sum(axis=1), "no later": no_later.sum(axis=1)}
    return pd.DataFrame(counts).drop(index=0)


print("replicates:", tickets.replicate.nunique())
print(verdicts(tickets))

# %% [markdown]
# The table of the command says *winning* if both hold in every replicate, *less accurate* or *later* if the opposite
# does, and *not shown* if the replicates disagree or are fewer than three. A verdict compares the ticket with the dense
# network only. That the controls are worse is another claim. The table `report/comparisons.csv` has all such claims,
# each with a paired test over the replicates, and the command prints those that are shown or contradicted. Here few are
# shown: with three replicates and a test set of about a thousand images, small differences in accuracy prove nothing.
# The left plot shows where the controls become slower.
#
# ## Extend the run
#
# The same command with more levels extends the run, and trains nothing again. It does the same after a crash: if you
# kill the command at any moment and call it again, it resumes. More replicates or controls are added in the same way.

# %%
command("find_tickets", *RUN, *SIZE, f"--config.prune.levels={MORE_LEVELS}")

# %%
tickets = pd.read_csv(run / "report/tickets.csv")
draw(tickets)
print(verdicts(tickets))

# %% [markdown]
# `runs.py` lists the runs and how far they are:

# %%
command("runs", "list", "runs")

# %% [markdown]
# ## Further reading
#
# - [configs/digits_lenet.py](../../configs/digits_lenet.py) is this experiment, ready to run.
#   [configs/fashion_lenet.py](../../configs/fashion_lenet.py) is the same network on Fashion-MNIST, whose larger test
#   set shows smaller differences. It takes longer, and needs `scripts/prepare_data.py fashion_mnist` once.
# - Larger networks that are trained at the usual learning rates have no winning tickets with k = 0. *Stabilizing the
#   Lottery Ticket Hypothesis* ([arXiv 1903.01611](https://arxiv.org/abs/1903.01611)) rewinds them to a later step.
#   [configs/mnist1d_rewinding.py](../../configs/mnist1d_rewinding.py) shows this with a small residual network in a few
#   minutes, as one experiment with two *variants*, k = 0 and k = 60.
# - [Reproduction](../reproduction.md) has the claims of that paper one by one, with the figures and runs behind them.
# - From Python, `tfl.find_tickets(config, "runs/digits", jobs=2)` does the same as the command. It starts processes, so
#   a script that calls it needs `if __name__ == "__main__":`.
