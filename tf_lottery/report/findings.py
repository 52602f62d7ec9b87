"""All that a report is made of, read from a run once."""

from dataclasses import dataclass

import pandas as pd

from tf_lottery.core.stability import ALL
from tf_lottery.errors import RunError
from tf_lottery.experiment import stability, variants
from tf_lottery.experiment.config import Experiment
from tf_lottery.experiment.storage import Run
from tf_lottery.report import analysis, claims, overlaps
from tf_lottery.report.analysis import TICKET

# The tables beside the page, by what they hold.
TICKETS, COMPARISONS = "tickets.csv", "comparisons.csv"
STABILITY, LINES, OVERLAPS = "stability.csv", "lines.csv", "overlaps.csv"


@dataclass(frozen=True)
class Findings:
    """What a run has so far; all but the trainings may be empty, and all are of these trainings.

    Attributes:
        config: Its experiment.
        trainings: `analysis.rows`.
        stability: `experiment.stability.rows`.
        lines: `experiment.stability.lines`.
        barriers: `experiment.stability.barriers`.
        overlaps: `overlaps.rows`.
        comparisons: `claims.comparisons`.
    """

    config: Experiment
    trainings: pd.DataFrame
    stability: pd.DataFrame
    lines: pd.DataFrame
    barriers: pd.DataFrame
    overlaps: pd.DataFrame
    comparisons: pd.DataFrame

    @property
    def by_variant(self) -> dict[str, pd.DataFrame]:
        """The trainings of each variant, by label; see `analysis.by_variant`."""
        return analysis.by_variant(self.trainings)

    @property
    def files(self) -> dict[str, pd.DataFrame]:
        """What is kept beside the page, by file name: trainings and comparisons even where there are none."""
        others = {STABILITY: self.stability, LINES: self.lines, OVERLAPS: self.overlaps}
        found = {name: frame for name, frame in others.items() if not frame.empty}
        return {TICKETS: self.trainings, COMPARISONS: self.comparisons} | found

    @property
    def of_stability(self) -> list[str]:
        """The files that the samples of stability are made of."""
        return [name for name in (STABILITY, LINES) if name in self.files]

    @property
    def samples(self) -> pd.DataFrame:
        """One row a sample of stability, of all weights together.

        Columns: variant, replicate, level, branch (`"ticket"`, at level 0 the dense network, or `"random_mask"`),
        measure (one of `claims.STABILITY`, or `"error_barrier"`) and value.
        """
        place = ["variant", "replicate", "level", "control"]
        pairs = self.stability[self.stability.weight == ALL].melt([*place, "kind"], ["angle", "distance"], "measure")
        pairs = pairs.assign(measure=pairs.kind + "_" + pairs.measure).drop(columns="kind")
        barriers = self.barriers.melt(place, ["error_barrier"], "measure")
        samples = pd.concat([pairs, barriers] if len(barriers) else [pairs], ignore_index=True)
        samples["control"] = samples.control.replace("", TICKET)
        return samples.rename(columns={"control": "branch"})


def read(run: Run) -> Findings:
    """Read a run, finished or not.

    Raises:
        RunError: no dense network has been trained yet, or (DamageError) a file is damaged.
    """
    trainings = analysis.rows(run)
    if trainings.empty:
        raise RunError(f"{run.path} has no finished training yet: there is nothing to report.")
    pairs, lines = (_of_trainings(rows, trainings) for rows in (stability.rows(run), stability.lines(run)))
    barriers = stability.barriers(lines)
    comparisons = claims.comparisons(trainings, pairs, barriers, variants.members(run.config))
    return Findings(run.config, trainings, pairs, lines, barriers, overlaps.rows(run), comparisons)


def _of_trainings(rows: pd.DataFrame, trainings: pd.DataFrame) -> pd.DataFrame:
    """Without what belongs to a ticket that has lost its dense network."""
    place = ["variant", "replicate", "level"]
    known = pd.MultiIndex.from_frame(trainings[place])
    return rows[pd.MultiIndex.from_frame(rows[place]).isin(known)].reset_index(drop=True)
