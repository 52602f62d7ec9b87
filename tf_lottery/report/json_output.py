"""What commands answer programs, as plain objects for JSON. The names of the fields stay.

Shares (density, accuracies) are 0-1, steps are optimizer steps, times are seconds; null is what is not known.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tf_lottery.experiment.storage import Run, Unit
from tf_lottery.report import analysis, overview, text
from tf_lottery.report.overview import Overview, Training

_WHOLE = ("bytes", "parameters", "multiply_adds")


def of_report(run: Run, page: Path) -> dict[str, Any]:
    """What a run has come to, one entry a level and branch of each variant; `tickets.csv` has every training.

    Args:
        run: The run.
        page: From `page.write`.
    """
    found = overview.overview(run)
    return {
        "run_dir": run.path,
        "report": page,
        "trainings_done": found.done,
        "trainings_total": len(found.trainings),
        "bit_exact": not text.exactness(analysis.environments(run)),
        "levels": [
            level for label, rows in analysis.by_variant(analysis.rows(run)).items() for level in _levels(label, rows)
        ],
    }


def of_run(run: Overview) -> dict[str, Any]:
    """Return how far a run is."""
    steps_done, steps_total = run.steps or (None, None)
    return {
        "run_dir": run.run.path,
        "model": run.run.config.model.name,
        "data": run.run.config.data.name,
        "state": "going on" if run.holders else run.state,
        "processes": run.holders,
        "trainings_done": run.done,
        "trainings_total": len(run.trainings),
        "steps_done": steps_done,
        "steps_total": steps_total,
        "seconds_left": run.seconds_left,
        "faults": run.faults,
    }


def of_training(training: Training) -> dict[str, Any]:
    """Return how far a training is, and what it has reached."""
    is_under_way = training.step is not None
    return {
        **dataclasses.asdict(training.unit),
        "state": "under way" if is_under_way else training.state,
        "step": training.step,
        **{measure: training.metrics.get(measure) for measure in analysis.MEASURES},
        "seconds": training.seconds,
        "fault": training.fault or None,
    }


def of_files(run: Run, faults: Sequence[tuple[Path, str]]) -> dict[str, Any]:
    """Return how many files of a run were checked, and what is wrong with those that are damaged."""
    damaged = [{"path": path, "fault": fault} for path, fault in faults if fault]
    return {"run_dir": run.path, "files": len(faults), "damaged": damaged}


def of_export(run: Run, unit: Unit, form: str, path: Path, size: int, density: float) -> dict[str, Any]:
    """What was exported, and where to; `size` in bytes."""
    return {
        "run_dir": run.path,
        **dataclasses.asdict(unit),
        "format": form,
        "path": path,
        "bytes": size,
        "density": density,
    }


def of_forms(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return one entry a form that a ticket can be exported in; see `export.report.compare`."""
    return [
        {name: int(value) if name in _WHOLE and not pd.isna(value) else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def _levels(variant: str, rows: pd.DataFrame) -> Iterator[Mapping[str, Any]]:
    verdicts, shown = analysis.verdicts(rows), [name for name in analysis.MEASURES if name != "density"]
    for (branch, level), found in analysis.spread(rows).iterrows():
        yield {
            "variant": variant,
            "level": level,
            "branch": branch,
            "replicates": int(found["density", "count"]),
            "density": found["density", "mean"],
            "verdict": verdicts.get(level) if branch == analysis.TICKET else None,
            **{
                f"{measure}_{statistic}": found[measure, statistic]
                for measure in shown
                for statistic in ("mean", "min", "max")
            },
        }
