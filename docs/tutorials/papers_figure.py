# %% [markdown]
# # Reproduce the paper's figure
#
# *The Lottery Ticket Hypothesis* ([arXiv 1803.03635](https://arxiv.org/abs/1803.03635)) begins with a figure of two
# curves against the share of weights that are kept: how fast networks of this size learn, and how accurate they are
# then. Solid lines are *winning tickets*, dashed lines networks of the same size chosen at random. This tutorial makes
# the figure for LeNet-300-100, the paper's fully connected network, on small handwritten digits: from one command to
# the run directory, the tables and the picture.
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
MORE_LEVELS = 10  # what the run is extended to later
REPLICATES = 3  # the whole experiment, so often
STEPS = "1500it"  # optimizer steps ("it", iterations) of each training

# %% [markdown]
# ## One file says what the experiment is
#
# A config is a Python file with one function. This one has the settings of the paper for this network: Adam, batches of
# 60 images, a fifth of the weights pruned a *level*, a tenth in the output layer, each layer by itself. A level is a
# training: level 0 trains the *dense* network, with all weights; each further level prunes the smallest weights of the
# one before, *rewinds* the others to what they were at step k, and trains again. Here k is 0: they go back to the
# initialisation. What a config leaves out has its default.

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
# The *controls* are what a ticket has to beat. *random mask*: as many weights in each layer, chosen at random.
# *reinit*: the ticket's weights, but newly initialised.
#
# ## One command runs it
#
# In a terminal you would type
#
#     python scripts/find_tickets.py --config=lenet_digits.py --run_dir=runs/digits --config.prune.levels=6
#
# Any field of the config can be given another value like this. Here a function does the typing. It leaves out the one
# line a training that the command prints while it works.

# %%
SCRIPTS = Path(tfl.__file__).parents[1] / "scripts"
PLAIN = os.environ | {"TERM": "dumb", "FORCE_COLOR": "1"}  # a terminal of 80 columns, where nothing moves


def command(script, *arguments):
    """Runs one of the scripts and shows what it prints."""
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
# *early-stop step* is the step with the lowest loss on the validation data: the sooner, the faster the network has
# learned. The accuracy is that on the test data at this step.
#
# ## What is in the run directory
#
# Everything is in plain files, a folder a training.

# %%
run = Path("runs/digits")
for folder in (run, run / "replicate_1/level_01", run / "report"):
    print(f"{folder}:", *sorted(path.name for path in folder.iterdir()), sep="\n    ")

# %% [markdown]
# `history.csv` has what was measured during a training, `ticket.tfl` masks and weights, `manifest.json` the checksums
# of the others. `report/index.html` is a page with all figures and tables, and `report/tickets.csv` has one row a
# training.

# %%
tickets = pd.read_csv(run / "report/tickets.csv")
columns = ["replicate", "level", "branch", "density", "early_stop_step", "early_stop_test_accuracy"]
print(tickets.loc[tickets.level <= 1, columns].round(3).to_string(index=False))

# %% [markdown]
# `branch` is the ticket or a control. The dense network is the ticket of level 0: nothing is pruned there. `density` is
# the share of the weights that is kept.
#
# ## The figure

# %%
LOOKS = {"ticket": "o-", "random_mask": "s--", "reinit": "^-."}


def draw(tickets):
    """Early-stop step and accuracy against density: means of the replicates, bands from the lowest to the highest."""
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
# Left, lower is better; right, higher. Read it like the paper's: from left to right more and more is pruned, and the
# question is how far the tickets stay as fast and as accurate as the dense network, and when the two controls leave it.
# The report has the same curves in `accuracy_at_early_stopping.png` and `early_stopping.png`.
#
# ## What a verdict means
#
# The paper's definition: a *winning ticket* reaches its lowest validation loss no later than the dense network, and is
# then at least as accurate on the test set. Each ticket is compared with the dense network of its own replicate. So for
# each level we count the replicates where the one holds, and the other:


# %%
def verdicts(tickets):
    """In how many replicates the ticket of a level is as accurate as the dense network, and how often no later."""
    measured = tickets[tickets.branch == "ticket"].pivot(index="level", columns="replicate")
    accuracy, step = measured["early_stop_test_accuracy"], measured["early_stop_step"]
    as_accurate, no_later = accuracy >= accuracy.loc[0], step <= step.loc[0]
    counts = {"density": measured["density"].mean(axis=1).round(3)}
    counts |= {"as accurate": as_accurate.sum(axis=1), "no later": no_later.sum(axis=1)}
    return pd.DataFrame(counts).drop(index=0)


print({'replicates': {}}, tickets.replicate.nunique())
print(verdicts(tickets))

# %% [markdown]
# The table of the command says *winning* where both hold in every replicate, *less accurate* or *later* where the
# opposite does, and *not shown* where the replicates disagree or are fewer than three. A verdict looks at the ticket
# and the dense network alone. That the controls are worse is another claim: the table `report/comparisons.csv` has
# every such claim with a paired test over the replicates, and the command prints those that are shown or contradicted.
# Here few are shown: with three replicates and a test set of about a thousand images, small differences in accuracy
# prove nothing. Where the controls fall behind is in the left picture.
#
# ## More levels
#
# The same command with more levels extends the run: what is done is not done again. Nor is it after a crash: kill the
# command at any moment, call it again, and it goes on. More replicates, or further controls, are added the same way.

# %%
command("find_tickets", *RUN, *SIZE, f"--config.prune.levels={MORE_LEVELS}")

# %%
tickets = pd.read_csv(run / "report/tickets.csv")
draw(tickets)
print(verdicts(tickets))

# %% [markdown]
# `runs.py` says which runs there are, and how far each is:

# %%
command("runs", "list", "runs")

# %% [markdown]
# ## Where to go from here
#
# - [configs/digits_lenet.py](../../configs/digits_lenet.py) is this experiment, ready to run;
#   [configs/fashion_lenet.py](../../configs/fashion_lenet.py) the same network on Fashion-MNIST, whose larger test set
#   shows smaller differences. It takes longer, and its data once `scripts/prepare_data.py fashion_mnist`.
# - Larger networks, trained at the usual rates, have none from k = 0. *Stabilizing the Lottery Ticket Hypothesis*
#   ([arXiv 1903.01611](https://arxiv.org/abs/1903.01611)) rewinds them to a later step.
#   [configs/mnist1d_rewinding.py](../../configs/mnist1d_rewinding.py) shows that with a small residual network in some
#   minutes, as one experiment with two *variants*, k = 0 and k = 60.
# - [The paper's findings, on a desk](../reproduction.md) has the claims of that paper one by one, with the figures and
#   the runs they come from.
# - From Python, `tfl.find_tickets(config, "runs/digits", jobs=2)` does what the command does. It starts processes, so a
#   script that calls it needs `if __name__ == "__main__":`.
