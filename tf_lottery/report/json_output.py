"""What commands print with --json, as plain objects. The names of the fields are stable.

Shares (density, accuracies) are 0-1, steps are optimizer steps, times are in seconds; null is what is unknown.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tf_lottery.experiment.storage import Run, Unit
from tf_lottery.report import overview, results, text
from tf_lottery.report.overview import Overview, UnitStatus

_COUNTS = ("bytes", "parameters", "multiply_adds")


def of_report(run: Run, page: Path) -> dict[str, Any]:
    """Return the results of a run, with one entry in `levels` per variant, branch and level.

    Args:
        run: The run.
        page: The path of its page, see `page.write`.
    """
    found = overview.read(run)
    frames = results.by_variant(results.rows(run))
    return {
        "run_dir": run.path,
        "report": page,
        "trainings_done": found.done,
        "trainings_total": len(found.units),
        "bit_exact": not text.exactness(results.environments(run)),
        "levels": [level for label, rows in frames.items() for level in _levels(label, rows)],
    }


def of_run(run: Overview) -> dict[str, Any]:
    """Return the status of a run."""
    steps_done, steps_total = run.steps or (None, None)
    return {
        "run_dir": run.run.path,
        "model": run.run.config.model.name,
        "data": run.run.config.data.name,
        "state": "going on" if run.holders else run.state,
        "processes": run.holders,
        "trainings_done": run.done,
        "trainings_total": len(run.units),
        "steps_done": steps_done,
        "steps_total": steps_total,
        "seconds_left": run.seconds_left,
        "faults": run.faults,
    }


def of_unit(status: UnitStatus) -> dict[str, Any]:
    """Return the status of a unit, and its results if it is finished."""
    is_under_way = status.step is not None
    return {
        **dataclasses.asdict(status.unit),
        "state": "under way" if is_under_way else status.state,
        "step": status.step,
        **{measure: status.metrics.get(measure) for measure in results.MEASURES},
        "seconds": status.seconds,
        "fault": status.fault or None,
    }


def of_files(run: Run, faults: Sequence[tuple[Path, str]]) -> dict[str, Any]:
    """Return the number of files that were verified, and the damaged ones.

    Args:
        run: The run.
        faults: The files and their damage, see `overview.verify`.
    """
    damaged = [{"path": path, "fault": fault} for path, fault in faults if fault]
    return {"run_dir": run.path, "files": len(faults), "damaged": damaged}


def of_export(run: Run, unit: Unit, *, format_name: str, path: Path, size: int, density: float) -> dict[str, Any]:
    """Return an export: the unit, the format, the path, and the size in bytes."""
    return {
        "run_dir": run.path,
        **dataclasses.asdict(unit),
        "format": format_name,
        "path": path,
        "bytes": size,
        "density": density,
    }


def of_formats(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return one entry for each export format.

    Args:
        frame: The frame of `export.comparison.compare`.
    """
    return [
        {name: int(value) if name in _COUNTS and not pd.isna(value) else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def _levels(variant: str, rows: pd.DataFrame) -> Iterator[Mapping[str, Any]]:
    verdicts, shown = results.verdicts(rows), [name for name in results.MEASURES if name != "density"]
    for (branch, level), found in results.spread(rows).iterrows():
        yield {
            "variant": variant,
            "level": level,
            "branch": branch,
            "replicates": int(found["density", "count"]),
            "density": found["density", "mean"],
            "verdict": verdicts.get(level) if branch == results.TICKET else None,
            **{
                f"{measure}_{statistic}": found[measure, statistic]
                for measure in shown
                for statistic in ("mean", "min", "max")
            },
        }
