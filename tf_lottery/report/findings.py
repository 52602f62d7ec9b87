"""Everything that a report shows, read from a run at once."""

from dataclasses import dataclass

import pandas as pd

from tf_lottery.core.stability import ALL
from tf_lottery.errors import RunError
from tf_lottery.experiment import config as config_lib, run_stability
from tf_lottery.experiment.config import Experiment
from tf_lottery.experiment.storage import Run
from tf_lottery.report import claims, overlaps, results
from tf_lottery.report.results import TICKET

# The names of the CSV files beside the page.
TICKETS, COMPARISONS = "tickets.csv", "comparisons.csv"
STABILITY, LINES, OVERLAPS = "stability.csv", "lines.csv", "overlaps.csv"


@dataclass(frozen=True)
class Findings:
    """The findings of a run so far. Every frame but `results` may be empty.

    Attributes:
        config: The experiment.
        results: The frame of `results.rows`.
        stability: The frame of `experiment.run_stability.rows`.
        lines: The frame of `experiment.run_stability.lines`.
        barriers: The frame of `experiment.run_stability.barriers`.
        overlaps: The frame of `overlaps.rows`.
        comparisons: The frame of `claims.comparisons`.
    """

    config: Experiment
    results: pd.DataFrame
    stability: pd.DataFrame
    lines: pd.DataFrame
    barriers: pd.DataFrame
    overlaps: pd.DataFrame
    comparisons: pd.DataFrame

    @property
    def by_variant(self) -> dict[str, pd.DataFrame]:
        """The results of each variant by label; see `results.by_variant`."""
        return results.by_variant(self.results)

    @property
    def files(self) -> dict[str, pd.DataFrame]:
        """The tables to save beside the page, by file name. Empty ones are left out, except results and comparisons."""
        others = {STABILITY: self.stability, LINES: self.lines, OVERLAPS: self.overlaps}
        found = {name: frame for name, frame in others.items() if not frame.empty}
        return {TICKETS: self.results, COMPARISONS: self.comparisons} | found

    @property
    def stability_files(self) -> list[str]:
        """The names of the files that hold the numbers of `samples`."""
        return [name for name in (STABILITY, LINES) if name in self.files]

    @property
    def samples(self) -> pd.DataFrame:
        """The samples of stability over all weights together, one per row.

        The columns are variant, replicate, level, branch (`"ticket"`, which is the dense network at level 0, or
        `"random_mask"`), measure (a key of `claims.STABILITY`, or `"error_barrier"`) and value.
        """
        place = ["variant", "replicate", "level", "control"]
        pairs = self.stability[self.stability.weight == ALL].melt([*place, "kind"], ["angle", "distance"], "measure")
        pairs = pairs.assign(measure=pairs.kind + "_" + pairs.measure).drop(columns="kind")
        barriers = self.barriers.melt(place, ["error_barrier"], "measure")
        samples = pd.concat([pairs, barriers] if len(barriers) else [pairs], ignore_index=True)
        samples["control"] = samples.control.replace("", TICKET)
        return samples.rename(columns={"control": "branch"})


def read(run: Run) -> Findings:
    """Read the findings of a run, finished or not.

    Raises:
        RunError: no dense network is finished yet, or a file is damaged (DamageError).
    """
    rows = results.rows(run)
    if rows.empty:
        raise RunError(f"{run.path} has no finished dense network yet: there is nothing to report.")
    pairs, lines = _with_results(run_stability.rows(run), rows), _with_results(run_stability.lines(run), rows)
    barriers = run_stability.barriers(lines)
    return Findings(
        config=run.config,
        results=rows,
        stability=pairs,
        lines=lines,
        barriers=barriers,
        overlaps=overlaps.rows(run),
        comparisons=claims.comparisons(rows, pairs, barriers, config_lib.members(run.config)),
    )


def _with_results(samples: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Drop the samples of tickets that have no row, because their dense network is missing."""
    place = ["variant", "replicate", "level"]
    known = pd.MultiIndex.from_frame(rows[place])
    return samples[pd.MultiIndex.from_frame(samples[place]).isin(known)].reset_index(drop=True)
