"""Writes docs/benchmarks.md and its figure from what run_all.sh has measured: python scripts/benchmark/page.py"""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import measuring
import pandas as pd
from absl import flags
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from tf_lottery import cli
from tf_lottery.report import markup
from tf_lottery.report.figures import style

_FOLDER = flags.DEFINE_string("folder", "docs/benchmarks", "With the CSV files; the page is written beside it.")


@dataclass(frozen=True)
class Goal:
    """A claim about one row: what it says, the row, which of its figures counts, and the limit of its median."""

    text: str
    name: str
    case: str
    part: str
    limit: float
    figure: str = "ratio_"
    holds: Callable[[float, float], bool] = operator.le


GOALS = (
    Goal("a masked step of `fit`, LeNet, XLA: times dense", "masked_fit", "lenet_300_100, XLA", "masked", 1.03),
    Goal("the same without XLA", "masked_fit", "lenet_300_100, no XLA", "masked", 1.03),
    Goal("a masked step of `fit`, convolutions: times dense", "masked_fit", "small_conv, no XLA", "masked", 1.03),
    Goal("`predict` of a wrapped ResNet-50: times dense", "masked_inference", "resnet_50, predict", "wrapped", 1.02),
    Goal("a whole experiment: times the best plain `fit`", "whole_experiment", "whole command", "find_tickets", 1.15),
    Goal("selection at ResNet-50 size: times np.partition", "level_turnover", "resnet_50, level 1", "selection", 1.5),
    Goal("reading ResNet-50's weights: passes over memory", "level_turnover", "resnet_50, level 1", "read", 3),
    Goal("writing them back, masked: passes over memory", "level_turnover", "resnet_50, level 1", "write", 3),
    Goal(
        "two jobs: throughput times that of one",
        "growth",
        "throughput of training",
        "2 replicates, 2 jobs, 15,000 steps a training",
        1.5,
        holds=operator.ge,
    ),
    Goal(
        "import of every public name, after TensorFlow: s",
        "startup",
        "import",
        "every name of tf_lottery, after TensorFlow and Keras",
        0.3,
        figure="",
    ),
    Goal(
        "checkpoints every ten minutes, ResNet-50: % of the time",
        "stored_states",
        "resnet_50",
        "keeping one every ten minutes",
        3,
        figure="",
    ),
)

# File, heading, what the table says.
SECTIONS = (
    (
        "masked_fit",
        "A masked training step",
        "Keras' own compiled training step, dense and half masked; the last row of each network is the training loop "
        "of `find_tickets`, its input and evaluation included. One thread, Keras 3.",
    ),
    ("masked_fit_legacy", "On legacy Keras, beside tfmot", "The same, with tfmot's wrapper at the same sparsity."),
    (
        "masked_inference",
        "Inference of a masked model",
        "Wrapped models and models masked in place, half masked, beside dense ones; LeNet-300-100 on 60 images, "
        "ResNet-50 on one image of 32 x 32. Masks are applied to weights and not to calls. An eager call goes through "
        "one more Python function for each wrapped layer.",
    ),
    (
        "whole_experiment",
        "A whole experiment",
        "LeNet-300-100 on Fashion-MNIST, five levels, evaluation every epoch, six training runs of three epochs. Only "
        "`find_tickets` keeps pruned weights at zero, rewinds, stores and reports. lottery-ticket-pruner recognises "
        "no layers of today's Keras; its test for layers was fixed for this measurement.",
    ),
    (
        "level_turnover",
        "Between two levels",
        "Read, score, select, rewind, store. A pass is one copy of all weights into allocated memory; tfmot ranks "
        "each layer alone. Each weight is copied three times between two levels: out of TensorFlow, masked, and into "
        "TensorFlow. This takes more than three passes because of Keras' work for each of ResNet-50's 320 variables "
        "(20 of the 58 ms of writing in a profile) and the first use of new memory; the masks take 12 ms. "
        "`np.partition` ranks all weights at every level, also if few are left.",
    ),
    (
        "stored_states",
        "On disk",
        "Checkpoints (states, in the table) and finished training runs. The cost of a checkpoint every ten minutes is "
        "the time of one divided by ten minutes. A LeNet that saves one every 500 steps, which take a quarter of a "
        "second, pays 4%.",
    ),
    (
        "startup",
        "Starting up",
        "Whole processes. `import tf_lottery` alone imports almost nothing, so its time cannot be told from zero; "
        "names are imported when they are first used.",
    ),
    (
        "growth",
        "Time against the size of an experiment",
        "Whole commands on handwritten digits, 3,000 steps per training run. With two jobs, the seconds of the "
        "training runs are divided by two. Starting up takes as long with two jobs as with one, and the last "
        "training run may be alone, so short commands gain less than the last row says, which is for training runs "
        "as long as those of the papers.",
    ),
    (
        "execution_settings",
        "Threads, XLA and steps per execution",
        "The measurements behind the table in `tf_lottery/experiment/plan.py`: XLA and 500 steps for dense "
        "networks; no XLA and 100 steps for convolutions; one thread, because two training runs side by side are "
        "faster than one with two threads. If nothing else is trained, `--config.train.threads=2` makes a LeNet "
        "faster, and these small residual networks, which spend their time in starting operations, slower. Larger "
        "networks and other devices than CPUs were not measured, and have the settings of convolutions. The times "
        "include the evaluation of a batch at the end of each measurement.",
    ),
    (
        "dead_units",
        "Training without dead units",
        "Units that cannot matter any more (`tfl.compact`) need not be trained. Levels of LeNet-300-100 on "
        "Fashion-MNIST, a step of the whole network compared with a step of the smaller one.",
    ),
)

TRIED = """
- XLA for the optimizer's update alone, in steps that are not compiled otherwise: a step takes 1.04 times as long for
  resnet_8_w4, 1.05 times for resnet_8_w8_1d.
- TensorFlow without oneDNN: a step takes 1.26 times as long for resnet_8_w4, and 0.89 times for resnet_8_w8_1d, too
  small a gain, in too special a case, for a switch of the whole process.
- Other ways to set pruned weights to +0.0, on LeNet-300-100 without XLA, where one more pass counts most: a step takes
  1.08 times the dense step with `Select`, which is used, 1.14 with `tf.where`, 1.07 with a bitwise and, 1.06 with
  `multiply_no_nan`. The last two need masks four times as large. This measurement cannot tell differences of a few
  hundredths apart.
- Training without dead units: see above. A third less time a step at 1% density, a seventh at 4%, nothing at 11%. Each
  level would have to be compiled again, which pays off after about 6,000 steps at 1% and 13,000 at 4%; and the biases
  of constant units still learn, so that the results differ.
- Reading Fashion-MNIST faster: of 2.7 s, reading the records takes 1.8 and decoding them less than one; decoding in
  batches takes longer (3.2 s).
"""


def main() -> None:
    folder = Path(_FOLDER.value)
    frames = read(folder)
    (folder / "goals.png").write_bytes(style.png(lambda: draw(goals(frames))))
    folder.with_suffix(".md").write_text(document(frames, folder))


def read(folder: Path) -> dict[str, pd.DataFrame]:
    """What was measured, by name."""
    texts = {"unit": str, "to": str}
    return {
        path.stem: pd.read_csv(path, dtype=texts).fillna(dict.fromkeys(texts, ""))
        for path in sorted(folder.glob("*.csv"))
    }


def document(frames: dict[str, pd.DataFrame], folder: Path) -> str:
    lines = [
        "# Benchmarks",
        "Medians of interleaved rounds in one run, [least–most]; every ratio is the median of the rounds' ratios. "
        "`bash scripts/benchmark/run_all.sh` repeats the measurements (about 25 minutes on an otherwise idle "
        f"machine). The rows are in `{folder.name}/`.",
        f"Measured on: {(folder / 'machine.txt').read_text().strip()}.",
        "## Goals",
        markup.markdown_table(said(goals(frames))),
        f"![Each goal and what was measured]({folder.name}/goals.png)",
    ]
    for name, heading, text in SECTIONS:
        if name in frames:
            lines += [f"## {heading}", text, markup.markdown_table(measuring.table(frames[name]))]
    lines += ["## Rejected alternatives", "Measured once, by hand, with other work running.", TRIED]
    return "\n\n".join(line.strip() for line in lines) + "\n"


def goals(frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return one row a goal that was measured: text, limit, whether it holds, median, least, most."""
    rows = []
    for goal in GOALS:
        frame = frames.get(goal.name, pd.DataFrame(columns=["case", "part"]))
        for _, row in frame[(frame.case == goal.case) & (frame.part == goal.part)].iterrows():
            median, least, most = (row[f"{goal.figure}{name}"] for name in ("median", "least", "most"))
            held = goal.holds(median, goal.limit)
            sign = "≤" if goal.holds is operator.le else "≥"
            rows.append((goal.text, f"{sign} {goal.limit:g}", goal.limit, held, median, least, most))
    return pd.DataFrame(rows, columns=["text", "goal", "limit", "held", "median", "least", "most"])


def said(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "": rows.text,
            "goal": rows.goal,
            "measured": [f"{row.median:.3g} [{row.least:.3g}–{row.most:.3g}]" for row in rows.itertuples()],
            "reached": ["yes" if held else "no" for held in rows.held],
        }
    )


def draw(rows: pd.DataFrame) -> Figure:
    """Return each goal as a share of its limit, so that what lies left of 1 is reached, with its spread."""
    figure = Figure(figsize=(9, 1 + 0.45 * len(rows)), layout="constrained")
    axis = figure.subplots()
    for place, row in enumerate(reversed(list(rows.itertuples()))):
        shares = [value / row.limit for value in (row.least, row.median, row.most)]
        least, median, most = shares if row.goal.startswith("≤") else [1 / share for share in shares]
        colour = style.BLUE if row.held else style.VERMILION
        axis.plot([least, most], [place, place], linewidth=1.5, color=colour)
        axis.plot(median, place, marker="o" if row.held else "s", color=colour)
    axis.axvline(1, color="black", linestyle=":")
    axis.set(xscale="log", xlabel="share of the limit: left of 1 is reached")
    axis.set_yticks(range(len(rows)), [f"{row.text}  {row.goal}" for row in reversed(list(rows.itertuples()))])
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="x", alpha=0.3)
    return figure


if __name__ == "__main__":
    cli.run(main)
