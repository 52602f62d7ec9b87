"""What a report says in words and numbers, for the page, the terminal and docs alike."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from tf_lottery.experiment import plan, variants
from tf_lottery.experiment.config import Experiment
from tf_lottery.experiment.controls import CONTROLS
from tf_lottery.experiment.environment import DAMAGED, differences
from tf_lottery.experiment.storage import Run
from tf_lottery.report import analysis
from tf_lottery.report.analysis import LABELS

MEASURES = {
    "test accuracy (%)": ("early_stop_test_accuracy", lambda share: f"{100 * share:.2f}"),
    "early-stop step": ("early_stop_step", lambda step: f"{step:.0f}"),
}
DENSE_MEANING = "At the end of training, mean [min–max] over the replicates. Settings are chosen by validation alone."
CELLS_MEANING = (
    "Mean [min–max] over the replicates. The early-stop step is that of the lowest validation loss; the accuracy is "
    "that on the test set at this step."
)
VERDICT_MEANING = (
    "The verdict compares each ticket with the dense network of its replicate, whatever the controls do. "
    f"“{analysis.WINNING}”: in every replicate the ticket reaches its lowest validation loss no later and is then at "
    f"least as accurate on the test set. “{analysis.LESS_ACCURATE}”, “{analysis.LATER}”: it is so in every replicate. "
    f"“{analysis.NOT_SHOWN}”: the replicates disagree, or there are fewer than three."
)


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row a level, ready to print.

    The columns are (group, column): level, density and verdict in a group without a name, then for each measure a group
    with "mean [min–max]" of the tickets and of each control.
    """
    summary, verdicts = analysis.spread(frame), analysis.verdicts(frame)
    branches = [branch for branch in LABELS if branch in summary.index.levels[0]]
    lines = []
    for level in sorted(frame.level.unique()):
        line = {("", "level"): str(level), ("", "density"): f"{_density(summary, level):.1%}"}
        line[("", "verdict")] = verdicts.get(level, "dense")
        for group, (measure, show) in MEASURES.items():
            for branch in branches:
                line[(group, LABELS[branch])] = _cell(summary, branch, level, measure, show)
        lines.append(line)
    return pd.DataFrame([list(line.values()) for line in lines], columns=pd.MultiIndex.from_tuples(lines[0]))


def forms(frame: pd.DataFrame) -> pd.DataFrame:
    """Ready to print: what `export.report.compare` returns."""
    latencies = [column for column in frame if column.startswith("latency_")]
    return pd.DataFrame(
        {
            "form": frame.form,
            "bytes": frame.bytes.map(_whole),
            "of dense": frame.share.map(lambda share: "" if pd.isna(share) else f"{share:.1%}"),
            "parameters": frame.parameters.map(_whole),
            "multiply-adds": frame.multiply_adds.map(_whole),
        }
        | {f"ms, batch {column.partition('_')[2]}": frame[column].map(_milliseconds) for column in latencies}
    )


def dense_networks(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row a variant, ready to print: the accuracy of its dense network at the end, on validation and test sets."""
    dense = frame[frame.level == 0].groupby("variant", sort=False)
    return pd.DataFrame(
        {"variant": label}
        | {f"{split} accuracy (%)": percent(rows[f"{split}_accuracy"]) for split in ("validation", "test")}
        for label, rows in dense
    )


def headline(frame: pd.DataFrame) -> str:
    """Return the one sentence to take away: the sparsest winning ticket, or that none was shown."""
    verdicts = analysis.verdicts(frame)
    winning = verdicts.index[verdicts == analysis.WINNING]
    if winning.empty:
        return f"No level is shown to be a winning ticket ({_count(frame.replicate.nunique(), 'replicate')})."
    level, summary = winning.max(), analysis.spread(frame)
    accuracy, step = summary["early_stop_test_accuracy"]["mean"], summary["early_stop_step"]["mean"]
    rivals = {"dense": (analysis.TICKET, 0)} | {LABELS[branch]: (branch, level) for branch in CONTROLS}
    return (
        f"The sparsest winning tickets keep {_density(summary, level):.1%} of the weights (level {level}): "
        f"test accuracy {accuracy[analysis.TICKET, level]:.2%} at step {step[analysis.TICKET, level]:.0f}; "
        + ", ".join(f"{name} {accuracy[at]:.2%} at {step[at]:.0f}" for name, at in rivals.items() if at in step.index)
        + "."
    )


def description(config: Experiment) -> str:
    """What was run, in a sentence; of a sweep what all variants have in common, and then these."""
    members = variants.members(config).values()
    common = [{part(member) for member in members} for part in (subject, _pruned, _trained, _rewound)]
    what, *settings = [found.pop() if len(found) == 1 else "" for found in common]
    parts = [_count(config.replicates, "replicate"), *filter(None, settings)]
    sweep = f" Variants: {'; '.join(config.variants)}." if config.variants else ""
    return f"{what or 'a sweep'}: {', '.join(parts)}.{sweep}"


def _pruned(config: Experiment) -> str:
    prune = config.prune
    return f"{_count(prune.levels, 'level')} of {prune.fraction:.0%} ({prune.scope}, {prune.criterion})"


def _trained(config: Experiment) -> str:
    return f"{config.train.steps} a training"


def _rewound(config: Experiment) -> str:
    return f"rewound to {config.prune.rewind_to}"


def completeness(run: Run) -> str:
    """Return the sentence that an unfinished run carries; `""` for a finished one."""
    units = plan.units(run.config)
    done, total = sum(map(run.is_done, units)), len(units)
    return (
        "" if done == total else f"Unfinished: {done} of {total} trainings; means are of the replicates that are done."
    )


def subject(config: Experiment) -> str:
    """Model and data, in a few words."""
    return f"{config.model.name} on {'noise in the shape of ' * config.data.synthetic}{config.data.name}"


def exactness(environments: Sequence[Mapping[str, Any]]) -> str:
    """Return the sentence that a run which is not bit-exact carries; `""` for one that is.

    Args:
        environments: What the run was made on, see `analysis.environments`.
    """
    known = [environment for environment in environments if environment != DAMAGED]
    if environments and not known:
        return "Perhaps not bit-exact: the record of the environment that the run was made in is damaged."
    if len(environments) < 2:
        return ""
    changes = [f"{name}={_sequence(values)}" for name, values in differences(known).items()]
    lost = ["the record of the one before is damaged"] if len(known) < len(environments) else []
    return f"Not bit-exact: the run went on in another environment: {'; '.join(lost + changes)}."


def duration(seconds: float) -> str:
    """For people: `"45 s"`, `"12 min"`, `"3 h 05 min"`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _sequence(values: Sequence[Any]) -> str:
    """What a field was, then what it became."""
    return ", then ".join(str(value) for value, _ in itertools.groupby(values))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def percent(shares: pd.Series) -> str:
    """Mean, least and most of shares (0-1), in percent."""
    return f"{100 * shares.mean():.2f} [{100 * shares.min():.2f}–{100 * shares.max():.2f}]"


def _whole(number: float) -> str:
    return "" if pd.isna(number) else f"{number:,.0f}"


def _milliseconds(seconds: float) -> str:
    return "" if pd.isna(seconds) else f"{1000 * seconds:.3f}"


def _density(summary: pd.DataFrame, level: int) -> float:
    return summary["density"]["mean"][analysis.TICKET, level]


def _cell(summary: pd.DataFrame, branch: str, level: int, measure: str, show: Callable[[float], str]) -> str:
    if (branch, level) not in summary.index:
        return ""
    values = summary.loc[(branch, level), measure]
    return f"{show(values['mean'])} [{show(values['min'])}–{show(values['max'])}]"
