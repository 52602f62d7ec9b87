"""What all benchmarks share: things measured in turn, summed up in rows that say ratio, median and spread."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import pandas as pd
from absl import flags

from tf_lottery import __version__
from tf_lottery.report import terminal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # what TensorFlow says would stand among the tables

CSV = flags.DEFINE_string("csv", None, "Where to write the rows too.")


def in_turn(parts: Mapping[str, Callable[[], object]], rounds: int, *, warm_up: bool = True) -> dict[str, list[float]]:
    """Return the seconds that each part takes in each round.

    Every round measures all parts, in the other direction each time, so that a busy machine hits all alike.

    Args:
        parts: What to call.
        rounds: How often.
        warm_up: Whether there is a round before that does not count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    for name in in_alternating_order(parts, rounds + warm_up):
        started = time.perf_counter()
        parts[name]()
        seconds[name].append(time.perf_counter() - started)
    return {name: found[warm_up:] for name, found in seconds.items()}


def in_alternating_order(names: Iterable[str], rounds: int) -> Iterator[str]:
    """All names in each round, in the other direction each time."""
    names = list(names)
    for number in range(rounds):
        yield from names[:: -1 if number % 2 else 1]


def row(
    case: str, part: str, values: Sequence[float], unit: str, base: Sequence[float] | None = None, to: str = ""
) -> dict[str, object]:
    """Median and spread of what was measured, and of its ratios to what was measured beside it.

    Args:
        case: What it was measured on.
        part: What was measured.
        values: One a round, in `unit`.
        unit: Of the values.
        base: What stands beside it in the same rounds.
        to: What that is called.
    """
    ratios = [value / other for value, other in zip(values, base, strict=True)] if base else []
    return {
        "case": case,
        "part": part,
        **spread("", values),
        "unit": unit,
        "to": to if base else "",
        **(spread("ratio_", ratios) if ratios else {}),
    }


def spread(prefix: str, values: Sequence[float]) -> dict[str, float]:
    """Median, least and most."""
    named = {"median": statistics.median(values), "least": min(values), "most": max(values)}
    return {prefix + name: value for name, value in named.items()}


def report(rows: Sequence[Mapping[str, object]], title: str) -> None:
    """Print the rows as a table; writes them where `--csv` says."""
    frame = pd.DataFrame(rows)
    terminal.show_table(table(frame), f"{title} ({machine()})")
    if CSV.value:
        Path(CSV.value).parent.mkdir(parents=True, exist_ok=True)
        frame.to_csv(CSV.value, index=False, float_format="%.6g", lineterminator="\n")


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows as a person reads them: figures with their spread in brackets."""
    shown = pd.DataFrame({"": frame.case, "measured": frame.part})
    shown["median [least–most]"] = [_figures(row, "") + f" {row['unit']}".rstrip() for _, row in frame.iterrows()]
    if "ratio_median" in frame:
        shown["times"] = [_figures(row, "ratio_") for _, row in frame.iterrows()]
        shown["that of"] = frame.to.fillna("")
    return shown


def machine() -> str:
    """Return the processor and how many of it, as far as the system tells."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{(names or [platform.processor() or platform.machine()])[0]}, {os.cpu_count()} CPUs"


def versions() -> str:
    """Of what is measured with."""
    names = ("tensorflow", "keras", "tf-keras", "tensorflow-model-optimization", "numpy")
    found = ", ".join(f"{name} {metadata.version(name)}" for name in names)
    return f"{platform.system()}, Python {platform.python_version()}, {found}, tf_lottery {__version__}"


def _figures(row: Mapping[str, object], prefix: str) -> str:
    median, least, most = (row[f"{prefix}{name}"] for name in ("median", "least", "most"))
    if pd.isna(median):
        return ""
    return _number(median) if least == most else f"{_number(median)} [{_number(least)}–{_number(most)}]"


def _number(value: float) -> str:
    """Three digits that count; whole numbers from 1,000 up."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")


if __name__ == "__main__":
    terminal.say(f"{machine()}, {versions()}")
