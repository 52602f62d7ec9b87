"""Writes the report of a run: `index.html`, which is self-contained, and beside it figures, CSV and Markdown tables."""

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import pandas as pd

from tf_lottery.experiment import config as config_lib
from tf_lottery.experiment.environment import flat
from tf_lottery.experiment.storage import Run
from tf_lottery.report import findings as findings_lib, markup, results, tables, text
from tf_lottery.report.figures import catalogue
from tf_lottery.report.figures.catalogue import Drawn
from tf_lottery.report.findings import COMPARISONS, LINES, OVERLAPS, STABILITY, TICKETS, Findings

_MARKDOWN = "tables.md"
# The content of each file that the page links.
_FILES = {
    TICKETS: "every ticket and control",
    COMPARISONS: "every comparison",
    STABILITY: "every pair of networks, weight by weight",
    LINES: "every point of every line",
    OVERLAPS: "every pair of masks",
    _MARKDOWN: "the tables of this page in Markdown",
}


def write(run: Run) -> Path:
    """Write the report of the results that a run has so far.

    Returns:
        The path of `index.html`, in the folder `report/` of the run.

    Raises:
        RunError: no dense network is finished yet, or a file is damaged (DamageError).
    """
    return run.write_report(lambda: _contents(run)) / "index.html"


def markdown(findings: Findings) -> str:
    """Return the tables of the page as a document in Markdown."""
    parts = ["# " + text.subject(findings.config), text.description(findings.config)]
    if findings.config.variants:
        if not (found := tables.sparsest_tickets(findings)).empty:
            parts += ["## Sparsest tickets", markup.markdown_table(found), tables.SPARSEST_MEANING]
        dense = markup.markdown_table(tables.dense_networks(findings.results))
        parts += ["## Dense networks", dense, tables.DENSE_MEANING]
    for label, rows in results.pruned(findings.by_variant).items():
        heading = f"## Levels{': ' * bool(label)}{label}"
        parts += [heading, text.headline(rows), markup.markdown_table(tables.levels(rows))]
    parts += [tables.CELLS_MEANING, tables.VERDICT_MEANING]
    if not (found := tables.stability(findings)).empty:
        parts += ["## Stability", markup.markdown_table(found), tables.STABILITY_MEANING]
    if not findings.comparisons.empty:
        claims = markup.markdown_table(tables.claims_in_full(findings.comparisons))
        parts += ["## Claims", claims, tables.CLAIMS_MEANING]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _contents(run: Run) -> dict[str, bytes]:
    """Build all files of the report, by name."""
    findings = findings_lib.read(run)
    run_figures = catalogue.run_figures(findings)
    variant_figures = {
        label: catalogue.variant_figures(rows) for label, rows in results.pruned(findings.by_variant).items()
    }
    images = {f"{name}.png": drawn.image for name, drawn in run_figures.items()}
    for label, figures in variant_figures.items():
        images |= {f"{label}_{name}.png".removeprefix("_"): drawn.image for name, drawn in figures.items()}
    files = {name: frame.to_csv(index=False) for name, frame in findings.files.items()}
    files[_MARKDOWN] = markdown(findings)
    build = _sweep if run.config.variants else _single
    page = _page(run, build(findings, run_figures, variant_figures), [*files])
    return {**images, **{name: content.encode() for name, content in files.items()}, "index.html": page.encode()}


def _page(run: Run, results_html: str, files: Sequence[str]) -> str:
    """Fill the template of the page.

    Args:
        run: The run.
        results_html: The sections with its results, from `_single` or `_sweep`.
        files: The names of the files to link.
    """
    environments = results.environments(run)
    template = Template((resources.files("tf_lottery.report") / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=markup.escaped(f"Lottery tickets: {text.subject(run.config)}"),
        description=markup.escaped(text.description(run.config)),
        warnings=markup.warning(text.exactness(environments)) + markup.warning(text.completeness(run)),
        results=results_html,
        files="".join(f"<li>{markup.link(name)}: {_FILES[name]}</li>" for name in files),
        config=markup.definitions(config_lib.fields(run.config)),
        environments=_environments(environments),
    )


def _single(
    findings: Findings, run_figures: Mapping[str, Drawn], variant_figures: Mapping[str, Mapping[str, Drawn]]
) -> str:
    """Build the sections of a run without variants: headline, figures, levels, stability, claims."""
    ((label, rows),) = findings.by_variant.items()
    return "\n".join(
        [
            markup.paragraph(text.headline(rows), "headline"),
            markup.source(TICKETS),
            markup.figures({**variant_figures[label], **run_figures}),
            "<h2>Levels</h2>",
            _levels(rows),
            *_stability(findings),
            *_claims(findings),
        ]
    )


def _sweep(
    findings: Findings, run_figures: Mapping[str, Drawn], variant_figures: Mapping[str, Mapping[str, Drawn]]
) -> str:
    """Build the sections of a sweep: comparisons of the variants, then each variant folded away."""
    of_accuracy = findings.comparisons[findings.comparisons.measure == "test_accuracy"]
    conclusions = tables.conclusions(of_accuracy)
    variants = (
        markup.details(f"{label}: {text.headline(rows)}", markup.figures(variant_figures[label]) + "\n" + _levels(rows))
        for label, rows in results.pruned(findings.by_variant).items()
    )
    return "\n".join(
        [
            markup.points(conclusions, "conclusions"),
            markup.source(COMPARISONS) if conclusions else "",
            *_sparsest_tickets(findings),
            markup.figures(run_figures),
            *_claims(findings),
            *_stability(findings),
            "<h2>Dense networks</h2>",
            markup.table(tables.dense_networks(findings.results), TICKETS),
            markup.paragraph(tables.DENSE_MEANING),
            "<h2>Variants</h2>",
            *variants,
        ]
    )


def _sparsest_tickets(findings: Findings) -> list[str]:
    found = tables.sparsest_tickets(findings)
    if found.empty:
        return []
    table = markup.table(found, TICKETS, *findings.stability_files)
    return ["<h2>Sparsest tickets</h2>", table, markup.paragraph(tables.SPARSEST_MEANING)]


def _levels(rows: pd.DataFrame) -> str:
    table = tables.levels(rows)
    verdicts = [verdict.replace(" ", "-") for verdict in table["", "verdict"]]
    return "\n".join(
        [
            markup.table(table, TICKETS, row_classes=verdicts),
            markup.paragraph(tables.CELLS_MEANING),
            markup.paragraph(tables.VERDICT_MEANING),
        ]
    )


def _stability(findings: Findings) -> list[str]:
    found = tables.stability(findings)
    if found.empty:
        return []
    table = markup.table(found, *findings.stability_files)
    return ["<h2>Stability</h2>", table, markup.paragraph(tables.STABILITY_MEANING)]


def _claims(findings: Findings) -> list[str]:
    """Build the claims by level, and all their numbers folded away."""
    if findings.comparisons.empty:
        return []
    claims = tables.claims_in_full(findings.comparisons)
    return [
        "<h2>Claims</h2>",
        markup.table(tables.claims_by_level(findings), COMPARISONS, verdicts=True),
        markup.paragraph(tables.SYMBOLS_MEANING),
        markup.paragraph(tables.CLAIMS_MEANING),
        markup.details(f"All {len(claims)} comparisons in numbers", markup.table(claims, COMPARISONS, verdicts=True)),
    ]


def _environments(environments: Sequence[Mapping[str, Any]]) -> str:
    """Build a section for each environment, numbered if there are several."""
    numbers = [f" {number}" for number, _ in enumerate(environments, start=1)] if environments[1:] else [""]
    return "\n".join(
        f"<h2>Environment{number}</h2>\n<dl>{markup.definitions(flat(environment))}</dl>"
        for number, environment in zip(numbers, environments, strict=False)
    )
