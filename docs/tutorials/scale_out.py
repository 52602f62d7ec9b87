# %% [markdown]
# # Scale out
#
# One experiment is many trainings: several replicates, each with several levels, each with its controls. This tutorial
# shows what to do when they are too many for one process, one device or one machine, and what happens when one of those
# dies. All of it runs here, on one small machine with two processor cores, so it shows *that* things work, not how
# fast.
#
# It needs a clone of the repository, for its `scripts/`. [Reproduce the paper's figure](papers_figure.ipynb) has the
# words: *level*, *replicate*, *control*.

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
STEPS = "600it"  # optimizer steps ("it", iterations) of each training
CHECKPOINT_EVERY = "100it"  # how often the state of a training is kept, where one will be killed

# %% [markdown]
# The experiment: LeNet-300-100, a small fully connected network, on handwritten digits. Two replicates with one
# control. By default such a network is compiled by XLA, which is faster, works on single devices only, and rounds
# otherwise. `jit_compile=False` leaves it out, so that we compare like with like.

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
# The config goes into a file. These functions type the commands for us. `start` begins one and does not wait; `finish`
# waits, and shows what it printed but for the table of results.

# %%
Path("digits.py").write_text(CONFIG)
SCRIPTS = Path(tfl.__file__).parents[1] / "scripts"


def start(run_dir, *arguments, **environment):
    """Begins to find tickets, in a process of its own."""
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
    """Whether two runs have the same files, with the same bytes in them, but for the times it took."""
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
# ## More cores: `--jobs`
#
# A training of a small network cannot use many cores. Several trainings can. `--jobs` says how many run side by side;
# left out, it is one for each core. What can run side by side are replicates and controls: a level needs the one before
# it.

# %%
finish(start("runs/jobs", "--jobs=2"))

# %% [markdown]
# The results are the same for any number of jobs, to the last bit: each training has seeds of its own, and the number
# of threads of one training is part of the config. We will use this run to compare others with.
#
# How much faster two jobs are is measured in [Benchmarks](../benchmarks.md). Each job is a process with a TensorFlow
# and a copy of the data of its own, so memory may set the limit.
#
# ## More machines, one replicate each: `--only_replicates`
#
# Replicates do not need each other. With storage that all machines see, give each machine some of them, and one
# `--run_dir` to all. No machine waits for another. Here two processes stand for two machines.

# %%
machines = [start("runs/shared", "--jobs=1", f"--only_replicates={replicate}") for replicate in (1, 2)]
for machine in machines:
    machine.communicate()
print("ended with", [machine.returncode for machine in machines])

# %% [markdown]
# 0 says that all went well. 1 says that two ended at the same moment, and this one found the other writing the report;
# its trainings are done all the same. Each writes a report of what is there when it ends. For that of the whole, run
# the command without `--only_replicates` once more: it finds everything done, and trains nothing.

# %%
finish(start("runs/shared"))
print("the same bytes as with two jobs:", same_bytes("runs/shared", "runs/jobs"))

# %% [markdown]
# Two commands cannot train the same replicate by mistake: the second one is refused, as long as the first one lives.
# That needs storage with file locks that work between machines.
#
# ## Killed: `--checkpoint_every`
#
# A level that is finished is never trained again. Of a training under way the whole state is kept from time to time:
# weights, optimizer, random states, measurements. The default is every ten minutes. `100it` means every 100 optimizer
# steps, `2min` every two minutes.
#
# We kill the command with a signal that no program can answer, as soon as level 1 has such a state.

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
        done, steps = run.is_done(tfl.Unit(replicate, level)), run.steps(tfl.Unit(replicate, level))
        print(f"replicate {replicate}, level {level}:", "done" if done else f"states kept at steps {steps}")

# %% [markdown]
# `-9` is the number of the signal, with a minus. The same command goes on from the state:

# %%
finish(start("runs/killed", *RESUMED))
print("the same bytes as with two jobs:", same_bytes("runs/killed", "runs/jobs"))

# %% [markdown]
# Neither the kill, nor how often states were kept, nor the number of jobs has changed a bit. Ctrl-C and SIGTERM, which
# clusters send before they take a machine away, lose nothing at all: each training keeps its state and ends. [The crash
# matrix](../crash_matrix.md) has the figures of several hundred kills.
#
# ## Several devices in one training: `--strategy=mirrored`
#
# This is for networks that are large: all GPUs of a machine compute one batch together, each a part. A machine without
# GPUs can try it with `--devices=2`, which divides its CPU into two *logical* devices. That is slower than one device.
# `train.batch_size` is the batch of all devices together. Trainings run one after the other: each has all devices.

# %%
finish(start("runs/mirrored", "--strategy=mirrored", "--devices=2"))


# %%
def compare(run_dir):
    """How far the tickets of a run are from those of one device: masks, and the largest difference of a weight."""
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
# Two devices add up their parts of a batch in another order than one device does, so the last bits differ. Where two
# weights are almost equal, another one may be pruned then; here all masks are the same.
#
# So a run is not continued with another number of replicas: the command refuses, unless `--any_environment` says that
# you know. Networks with `BatchNormalization` normalise each device's part of a batch by itself, unless the layer has
# `synchronized=True`; their results with two devices are those of another training.
#
# ## Several machines in one training: `--strategy=multi_worker`
#
# The same command is started on each machine. The environment variable `TF_CONFIG`, TensorFlow's own, has the addresses
# of all of them, the same everywhere, and says which one this is. The first one is the *chief*: it writes, and
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
# If one of them dies, the others stop with a line that says so. Start all of them again with the same commands.
#
# ## TPUs: `--strategy=tpu`
#
#     TPU_NAME=my-tpu python scripts/find_tickets.py --config=digits.py --run_dir=/shared/run --strategy=tpu
#
# This is how it would be started; on a TPU VM `TPU_NAME` need not be set. It has never been run: we had no TPU. Take it
# for a sketch.
#
# ## In your own `fit`
#
# `LotteryTicket` works under a strategy of TensorFlow as any callback does: make and compile the model in its scope. On
# two logical CPUs, in a process of its own, as devices have to be divided before TensorFlow begins:

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
# `ReductionToOneDevice` is for logical CPUs: the default does not work on them. For GPUs
# `tf.distribute.MirroredStrategy()` is meant; that was not run.
#
# With several processes in one `fit`, each needs a `LotteryTicket(directory=...)` of its own.
#
# ## What was tested, and what was not
#
# | | tested | not run so far |
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
# [test_distributed.py](../../tests/end_to_end/test_distributed.py); [Limits](../limits.md) has the whole list of what
# was not run. If you have GPUs or a TPU, the last one is the first to try: start with `--smoke`, which takes 6 steps on
# noise.
