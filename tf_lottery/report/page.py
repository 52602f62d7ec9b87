"""The report of a run: `tickets.csv`, the figures, and a self-contained `index.html`."""

import base64
import html
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import pandas as pd

from tf_lottery.errors import RunError
from tf_lottery.experiment import config as config_lib, drift
from tf_lottery.experiment.storage import Run
from tf_lottery.report import analysis, plots, text

_FIGURES = {
    "accuracy_at_early_stopping": (
        plots.accuracy_at_early_stopping,
        "Lines are means, bands run from the lowest to the highest replicate. The controls: “random mask” keeps as "
        "many weights in each layer, chosen at random; “reinit” keeps the ticket's weights, newly initialised.",
    ),
    "accuracy_at_the_end": (plots.accuracy_at_the_end, "The same when training has gone on to its last step."),
    "early_stopping": (
        plots.early_stopping,
        "Lower is faster. The validation set alone decides where this step is; where it is the last one, the loss was "
        "still falling when training ended.",
    ),
    "density_by_layer": (plots.density_by_layer, "How much of each weight the tickets keep."),
}


def write(run: Run) -> Path:
    """Builds the report of what `run` has so far.

    Returns:
        The path of `index.html`, in the run's folder `report/`.

    Raises:
        RunError: no dense network has been trained yet.
    """
    return run.write_report(lambda: _contents(run)) / "index.html"


def _contents(run: Run) -> dict[str, bytes]:
    frame = analysis.rows(run)
    if frame.empty:
        raise RunError(f"{run.path} has no finished training yet: there is nothing to report.")
    frames = analysis.by_variant(frame)
    images = {
        _file(label, name): plots.png(draw, rows)
        for label, rows in frames.items()
        for name, (draw, _) in _FIGURES.items()
    }
    page = render(run, frames, images)
    tickets = frame.to_csv(index=False)
    return {**images, "tickets.csv": tickets.encode(), "index.html": page.encode()}


def render(run: Run, frames: Mapping[str, pd.DataFrame], images: Mapping[str, bytes]) -> str:
    """The page as HTML, with the images inside."""
    environments = analysis.environments(run)
    template = Template((resources.files("tf_lottery.report") / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=html.escape(f"Lottery tickets: {text.subject(run.config)}"),
        description=html.escape(text.description(run.config)),
        results="\n".join(_results(label, rows, images) for label, rows in frames.items()),
        cells_meaning=html.escape(text.CELLS_MEANING),
        verdict_meaning=html.escape(text.VERDICT_MEANING),
        config=_definitions(config_lib.fields(run.config)),
        warnings=_warning(text.exactness(environments)) + _warning(text.completeness(run)),
        environments=_environments(environments),
    )


def _file(label: str, name: str) -> str:
    return f"{label}_{name}.png" if label else f"{name}.png"


def _results(label: str, frame: pd.DataFrame, images: Mapping[str, bytes]) -> str:
    """Headline, figures and table; of a variant behind its label."""
    figures = "\n".join(_figure(name, images[_file(label, name)], caption) for name, (_, caption) in _FIGURES.items())
    headline = html.escape(text.headline(frame))
    results = f"""<p class="headline">{headline}</p>
<div class="figures">
{figures}
</div>
<h2>Levels</h2>
<div class="scroll">{_table(text.table(frame))}</div>"""
    if not label:
        return results
    return f"<details><summary><b>{html.escape(label)}</b>: {headline}</summary>\n{results}\n</details>"


def _figure(name: str, image: bytes, caption: str) -> str:
    source = f"data:image/png;base64,{base64.b64encode(image).decode()}"
    caption = f"<figcaption>{html.escape(caption)}</figcaption>"
    return f'<figure><img src="{source}" alt="{name.replace("_", " ")}">{caption}</figure>'


def _table(frame: pd.DataFrame) -> str:
    groups = frame.columns.get_level_values(0)
    spans = "".join(f'<th colspan="{(groups == group).sum()}">{html.escape(group)}</th>' for group in groups.unique())
    names = "".join(f"<th>{html.escape(name)}</th>" for name in frame.columns.get_level_values(1))
    body = "".join(
        f'<tr class="{line["", "verdict"].replace(" ", "-")}">'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in line)
        + "</tr>\n"
        for _, line in frame.iterrows()
    )
    return f'<table>\n<thead><tr class="groups">{spans}</tr>\n<tr>{names}</tr></thead>\n<tbody>\n{body}</tbody></table>'


def _warning(sentence: str) -> str:
    return f'<p class="warning">{html.escape(sentence)}</p>' if sentence else ""


def _environments(environments: Sequence[Mapping[str, Any]]) -> str:
    """Each under a heading of its own, numbered if there are several."""
    numbers = [f" {number}" for number, _ in enumerate(environments, start=1)] if environments[1:] else [""]
    return "\n".join(
        f"<h2>Environment{number}</h2>\n<dl>{_definitions(drift.flat(environment))}</dl>"
        for number, environment in zip(numbers, environments, strict=False)
    )


def _definitions(content: Mapping[str, Any]) -> str:
    return "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(str(value))}</dd>" for name, value in content.items())
