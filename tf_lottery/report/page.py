"""The report of a run: figures, tables, and a self-contained `index.html` that shows them."""

import html
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import pandas as pd

from tf_lottery.experiment import config as config_lib
from tf_lottery.experiment.environment import flat
from tf_lottery.experiment.storage import Run
from tf_lottery.report import analysis, findings as findings_lib, markdown, markup, sparsest, tables, text
from tf_lottery.report.figures import catalogue
from tf_lottery.report.figures.catalogue import Drawn
from tf_lottery.report.findings import COMPARISONS, LINES, OVERLAPS, STABILITY, TICKETS, Findings

# What there is to fetch beside the page, and what it holds.
_FILES = {
    TICKETS: "every ticket and control",
    COMPARISONS: "every comparison",
    STABILITY: "every pair of networks, weight by weight",
    LINES: "every point of every line",
    OVERLAPS: "every pair of masks",
    "tables.md": "the tables of this page in Markdown",
}


def write(run: Run) -> Path:
    """Build the report of what `run` has so far.

    Returns:
        The path of `index.html`, in the run's folder `report/`.

    Raises:
        RunError: no dense network has been trained yet.
    """
    return run.write_report(lambda: _contents(run)) / "index.html"


def _contents(run: Run) -> dict[str, bytes]:
    findings = findings_lib.read(run)
    of_run = catalogue.of_run(findings)
    of_variants = {label: catalogue.of_variant(rows) for label, rows in analysis.pruned(findings.by_variant).items()}
    images = {f"{name}.png": drawn.image for name, drawn in of_run.items()}
    for label, figures in of_variants.items():
        images |= {f"{label}_{name}.png".removeprefix("_"): drawn.image for name, drawn in figures.items()}
    files = _tables(findings)
    page = render(run, findings, of_run, of_variants, [*files])
    return {**images, **{name: content.encode() for name, content in files.items()}, "index.html": page.encode()}


def _tables(findings: Findings) -> dict[str, str]:
    """Return the tables by file name."""
    return {name: frame.to_csv(index=False) for name, frame in findings.files.items()} | {
        "tables.md": markdown.document(findings)
    }


def render(
    run: Run,
    findings: Findings,
    of_run: Mapping[str, Drawn],
    of_variants: Mapping[str, Mapping[str, Drawn]],
    files: Sequence[str],
) -> str:
    """Return the page as HTML, with the images inside.

    Args:
        run: What it is of.
        findings: What the run has so far.
        of_run: Its figures; see `catalogue.of_run`.
        of_variants: Those of each variant, by label; see `catalogue.of_variant`.
        files: The names of the tables beside the page.
    """
    environments = analysis.environments(run)
    template = Template((resources.files("tf_lottery.report") / "page.html").read_text(encoding="utf-8"))
    results = _sweep if run.config.variants else _single
    return template.substitute(
        title=html.escape(f"Lottery tickets: {text.subject(run.config)}"),
        description=html.escape(text.description(run.config)),
        warnings=markup.warning(text.exactness(environments)) + markup.warning(text.completeness(run)),
        results=results(findings, of_run, of_variants),
        files="".join(f"<li>{markup.link(name)}: {_FILES[name]}</li>" for name in files),
        config=markup.definitions(config_lib.fields(run.config)),
        environments=_environments(environments),
    )


def _single(findings: Findings, of_run: Mapping[str, Drawn], of_variants: Mapping[str, Mapping[str, Drawn]]) -> str:
    ((label, rows),) = findings.by_variant.items()
    return "\n".join(
        [
            markup.paragraph(text.headline(rows), "headline"),
            markup.source(TICKETS),
            markup.figures({**of_variants[label], **of_run}),
            "<h2>Levels</h2>",
            _levels(rows),
            *_stability(findings),
            *_claims(findings),
        ]
    )


def _sweep(findings: Findings, of_run: Mapping[str, Drawn], of_variants: Mapping[str, Mapping[str, Drawn]]) -> str:
    """What compares the variants, then each behind its label."""
    of_accuracy = findings.comparisons[findings.comparisons.measure == "test_accuracy"]
    conclusions = tables.conclusions(of_accuracy)
    details = (
        markup.details(f"{label}: {text.headline(rows)}", markup.figures(of_variants[label]) + "\n" + _levels(rows))
        for label, rows in analysis.pruned(findings.by_variant).items()
    )
    dense = ["<h2>Dense networks</h2>", markup.table(text.dense_networks(findings.trainings), TICKETS)]
    parts = [
        markup.points(conclusions, "conclusions"),
        markup.source(COMPARISONS) if conclusions else "",
        *_sparsest(findings),
        markup.figures(of_run),
        *_claims(findings),
        *_stability(findings),
        *dense,
    ]
    return "\n".join([*parts, markup.paragraph(text.DENSE_MEANING), "<h2>Variants</h2>", *details])


def _sparsest(findings: Findings) -> list[str]:
    found = sparsest.table(findings)
    if found.empty:
        return []
    table = markup.table(found, TICKETS, *findings.of_stability)
    return ["<h2>Sparsest tickets</h2>", table, markup.paragraph(sparsest.MEANING)]


def _levels(rows: pd.DataFrame) -> str:
    table = text.table(rows)
    classes = [line.replace(" ", "-") for line in table["", "verdict"]]
    return "\n".join(
        [
            markup.table(table, TICKETS, rows=classes),
            markup.paragraph(text.CELLS_MEANING),
            markup.paragraph(text.VERDICT_MEANING),
        ]
    )


def _stability(findings: Findings) -> list[str]:
    found = tables.stability(findings)
    if found.empty:
        return []
    table = markup.table(found, *findings.of_stability)
    return ["<h2>Stability</h2>", table, markup.paragraph(tables.STABILITY_MEANING)]


def _claims(findings: Findings) -> list[str]:
    """What is shown, level by level, then in full."""
    if findings.comparisons.empty:
        return []
    claims = tables.claims_in_full(findings.comparisons)
    full = markup.table(claims, COMPARISONS, verdicts=True)
    return [
        "<h2>Claims</h2>",
        markup.table(tables.claims_by_level(findings), COMPARISONS, verdicts=True),
        markup.paragraph(tables.SYMBOLS_MEANING),
        markup.paragraph(tables.CLAIMS_MEANING),
        markup.details(f"All {len(claims)} comparisons in numbers", full),
    ]


def _environments(environments: Sequence[Mapping[str, Any]]) -> str:
    """Return each under a heading of its own, numbered if there are several."""
    numbers = [f" {number}" for number, _ in enumerate(environments, start=1)] if environments[1:] else [""]
    return "\n".join(
        f"<h2>Environment{number}</h2>\n<dl>{markup.definitions(flat(environment))}</dl>"
        for number, environment in zip(numbers, environments, strict=False)
    )
