# %% [markdown]
# # Several jobs, devices and machines
#
# One experiment is many training runs: several replicates, each with several levels, each with its controls. This
# tutorial shows how to spread them over several processes, devices or machines, and what happens when one of those
# dies. All of it runs here on one small machine with two processor cores, so it shows *that* things work, not how fast.
#
# It needs a clone of the repository, for its `scripts/`. [Reproduce the paper's figure](papers_figure.ipynb) explains
# the terms *level*, *replicate* and *control*.

# %%
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import tf_lottery as tfl

LEVELS = 2  # how often to prune
STEPS = "600it"  # optimizer steps ("it", iterations) of each training run
CHECKPOINT_EVERY = "100it"  # the checkpoint interval of the command that will be killed

# %% [markdown]
# The experiment trains LeNet-300-100, a small fully connected network, on handwritten digits, in two replicates with
# one control. By default, XLA compiles such a network. XLA is faster, works on single devices only, and rounds
# differently. `jit_compile=False` turns it off, so that all results can be compared.

# %%
CONFIG = f'''"""LeNet-300-100 on handwritten digits, twice."""

from tf_lottery.experiment.config import Data, Experiment, Model, Prune, Train


def get_config() -> Experiment:
    return Experiment(
        replicates=2,
        model=Model("lenet_300_100"),
        data=Data("digits"),
        train=Train(steps="{STEPS}", evaluate_every="20it", jit_compile=False),
        prune=Prune(levels={LEVELS}, fraction=0.5, rewind_to="10it"),
        controls=("random_mask",),
    )
'''

# %% [markdown]
# The config goes into a file. These functions call the command. `start` starts it and does not wait; `finish` waits,
# and shows what it printed, without the table of results.

# %%
Path("digits.py").write_text(CONFIG)
SCRIPTS = Path(tfl.__file__).parents[1] / "scripts"


def start(run_dir, *arguments, **environment):
    """Start to find tickets, in another process."""
    variables = [f"{name}='{value}'" for name, value in environment.items()]
    print("$", *variables, f"python scripts/find_tickets.py --config=digits.py --run_dir={run_dir}", *arguments)
    call = [sys.executable, SCRIPTS / "find_tickets.py", "--config=digits.py", f"--run_dir={run_dir}", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(call, env=os.environ | environment, text=True, **pipes)


def finish(process):
    output, _ = process.communicate()
    shown = ("to do", "Waiting", "Done", "Report:", "Error")
    print(*(line for line in output.splitlines() if any(word in line for word in shown)), sep="\n")
    if process.returncode:
        sys.exit(f"ended with {process.returncode}")


def same_bytes(one, other):
    """Return whether two runs have the same files with the same bytes, except for wall-clock times."""
    contents = [
        {
            str(file.relative_to(run)): file.read_bytes()
            for file in Path(run).rglob("*")
            if file.is_file() and file.name != "timing.json" and file.suffix != ".lock"
        }
        for run in (one, other)
    ]
    return contents[0] == contents[1]


# %% [markdown]
# ## Several cores: `--jobs`
#
# One training run of a small network cannot use many cores, but several training runs can. `--jobs` is the number of
# training runs side by side; it defaults to one per core. Replicates and controls can run side by side, but each level
# needs the level before it.

# %%
finish(start("runs/jobs", "--jobs=2"))

# %% [markdown]
# The results are the same for any number of jobs, to the last bit: each training run has seeds of its own, and its
# number of threads is part of the config. We will compare other runs with this one.
#
# [Benchmarks](../benchmarks.md) says how much faster two jobs are. Each job is a process with its own TensorFlow and
# its own copy of the data, so memory may limit their number.
#
# ## Several machines, one replicate each: `--only_replicates`
#
# Replicates are independent. If all machines have access to the same storage, you can give each machine some of the
# replicates, and all of them the same `--run_dir`. No machine waits for another. Here two processes stand for two
# machines.

# %%
machines = [start("runs/shared", "--jobs=1", f"--only_replicates={replicate}") for replicate in (1, 2)]
for machine in machines:
    machine.communicate()
print("ended with", [machine.returncode for machine in machines])

# %% [markdown]
# 0 means success. Each command writes a report of what is there when it ends. For a report of the whole, run the
# command without `--only_replicates` once more: it finds everything done, and trains nothing.

# %%
finish(start("runs/shared"))
print("the same bytes as with two jobs:", same_bytes("runs/shared", "runs/jobs"))

# %% [markdown]
# Two commands cannot train the same replicate by mistake: the second one is refused while the first one runs. This
# needs storage with file locks that work between machines.
#
# ## Killed processes: `--checkpoint_every`
#
# A finished level is never trained again. Every training run saves checkpoints with its whole state: weights,
# optimizer, random states, measurements. The checkpoint interval defaults to ten minutes. `100it` means every 100
# optimizer steps, `2min` every two minutes.
#
# We kill the command with a signal that no program can catch, as soon as level 1 has a checkpoint.

# %%
RESUMED = ("--jobs=1", f"--checkpoint_every={CHECKPOINT_EVERY}")
process = start("runs/killed", *RESUMED)
while not list(Path("runs/killed").glob("replicate_*/level_01/checkpoint_*")) and process.poll() is None:
    time.sleep(0.01)
process.send_signal(signal.SIGKILL)
process.communicate()
print("ended with", process.returncode)
run = tfl.Run.load("runs/killed")
for replicate in (1, 2):
    for level in range(LEVELS + 1):
        done, steps = run.is_done(tfl.Unit(replicate, level)), run.checkpoint_steps(tfl.Unit(replicate, level))
        print(f"replicate {replicate}, level {level}:", "done" if done else f"checkpoints at steps {steps}")

# %% [markdown]
# `-9` is the number of the signal, with a minus. The same command resumes from the checkpoint:

# %%
finish(start("runs/killed", *RESUMED))
print("the same bytes as with two jobs:", same_bytes("runs/killed", "runs/jobs"))

# %% [markdown]
# Neither the kill, nor the checkpoint interval, nor the number of jobs has changed a bit. After Ctrl-C and SIGTERM,
# which clusters send before they take a machine away, nothing is lost: each training run saves a checkpoint and ends.
# [The crash matrix](../crash_matrix.md) has the results of several hundred kills.
#
# ## Several devices in one training run: `--strategy=mirrored`
#
# This is for large networks: all GPUs of a machine compute a batch together, each a part of it. A machine without GPUs
# can try it with `--devices=2`, which divides its CPU into two *logical* devices. This is slower than one device.
# `train.batch_size` is the batch of all devices together. Training runs follow one another, because each uses all
# devices.

# %%
finish(start("runs/mirrored", "--strategy=mirrored", "--devices=2"))


# %%
def compare(run_dir):
    """Compare the tickets of a run with those of one device: the masks, and the largest difference of a weight."""
    one, other = tfl.Run.load("runs/jobs"), tfl.Run.load(run_dir)
    for level in range(LEVELS + 1):
        ticket, of_other = (run.ticket(tfl.Unit(1, level)) for run in (one, other))
        kept = sum(int(mask.sum()) for mask in ticket.masks.values())
        common = sum(int((mask & of_other.masks[name]).sum()) for name, mask in ticket.masks.items())
        weights, of_others = ticket.weights["final"], of_other.weights["final"]
        apart = max(np.abs(weights[name] - of_others[name]).max() for name in ticket.masks)
        print(
            f"level {level}: {common:,} of {kept:,} kept weights are the same ones, values differ by up to {apart:.1e}"
        )


compare("runs/mirrored")

# %% [markdown]
# Two devices add up their parts of a batch in another order than one device does, so the last bits differ. If two
# weights are almost equal, this can change which of them is pruned; here all masks are the same.
#
# For this reason a run is not resumed with another number of replicas, unless you allow it by `--any_environment`.
# `BatchNormalization` normalises each device's part of a batch by itself, unless the layer has `synchronized=True`, so
# results with two devices differ from those with one.
#
# ## Several machines in one training run: `--strategy=multi_worker`
#
# The same command is started on each machine. TensorFlow's environment variable `TF_CONFIG` has the addresses of all
# machines, the same everywhere, and the index of this one. The first machine is the *chief*, which writes all files.
# `--run_dir` must be on storage that all of them read. Here both *workers* are processes on this machine.


# %%
def free_port():
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        return port.getsockname()[1]


cluster = {"worker": [f"127.0.0.1:{free_port()}" for _ in range(2)]}
workers = []
for index in range(2):
    config = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
    workers.append(start("runs/workers", "--strategy=multi_worker", TF_CONFIG=config))
for worker in workers:
    print()
    finish(worker)
print()
compare("runs/workers")

# %% [markdown]
# If one of them dies, the others stop with a message. Start all of them again with the same commands.
#
# ## TPUs: `--strategy=tpu`
#
#     TPU_NAME=my-tpu python scripts/find_tickets.py --config=digits.py --run_dir=/shared/run --strategy=tpu
#
# This command has never been run, because we had no TPU. On a TPU VM, `TPU_NAME` need not be set.
#
# ## Your own `fit`
#
# `LotteryTicket` works under a strategy of TensorFlow like any other callback: make and compile the model in the scope
# of the strategy. This example uses two logical CPUs. It runs in another process, because devices must be divided
# before TensorFlow starts:

# %%
OWN_FIT = f"""
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

import keras
import tf_lottery as tfl

digits = tfl.data.load("digits")
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice())
with strategy.scope():
    model = tfl.make_prunable(tfl.models.build("lenet_300_100", (8, 8, 1), 10))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
tickets = tfl.callbacks.LotteryTicket(levels={LEVELS}, fraction=0.5, rewind_to="1ep", epochs_per_level=3)
model.fit(digits.train.x, digits.train.y, epochs=tickets.total_epochs, callbacks=[tickets], verbose=0)
print(strategy.num_replicas_in_sync, "replicas")
print(tickets.to_frame().round(3).to_string(index=False))
"""
Path("own_fit.py").write_text(OWN_FIT)
quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"}
done = subprocess.run([sys.executable, "own_fit.py"], env=quiet, capture_output=True, text=True, check=True)
print(done.stdout)

# %% [markdown]
# `ReductionToOneDevice` is for logical CPUs, on which the default does not work. For GPUs, use
# `tf.distribute.MirroredStrategy()`; we have not run it.
#
# If several processes take part in one `fit`, each needs a `LotteryTicket(directory=...)` of its own.
#
# ## What has been tested
#
# | | tested | not tested |
# |---|---|---|
# | `--jobs` | the same bytes for one and for two jobs, killed or not | |
# | `--only_replicates` | two commands at once on one machine | two machines on one network file system |
# | kills | several hundred, at any moment, each with the same bytes in the end | power cuts |
# | `mirrored` | two logical CPUs, on both Kerases | GPUs |
# | `multi_worker` | two processes on one machine, one of them stopped or killed | two machines, GPUs |
# | `tpu` | | anything |
#
# The tests are [test_find_tickets.py](../../tests/end_to_end/test_find_tickets.py),
# [test_killed.py](../../tests/end_to_end/test_killed.py) and
# [test_distributed.py](../../tests/end_to_end/test_distributed.py). [Limits](../limits.md) lists everything that has
# not been tested. If you have GPUs or a TPU, begin with `--smoke`, which takes 6 steps on noise.
