import io

import fakes
import pandas as pd
import pytest
from rich.console import Console

from tf_lottery.core.controls import CONTROLS
from tf_lottery.experiment import open_run
from tf_lottery.experiment.config import Prune
from tf_lottery.report import page, terminal

pytestmark = pytest.mark.usefixtures("undrawn")


def output(monkeypatch, **settings):
    stream = io.StringIO()
    monkeypatch.setattr(terminal, "console", lambda **_: Console(file=stream, width=160, **settings))
    return stream


def test_a_path_is_shown_as_it_is(monkeypatch, tmp_path):
    stream = output(monkeypatch)
    run = fakes.run(tmp_path / "x[/y]")
    terminal.show_report(run, page.write(run))
    terminal.say("a[b]c")
    assert "x[/y]" in stream.getvalue()
    assert "a[b]c" in stream.getvalue()


def test_the_table_the_headline_and_the_page_are_shown(monkeypatch, tmp_path):
    stream = output(monkeypatch)
    run = fakes.run(tmp_path / "run")
    terminal.show_report(run, page.write(run))
    shown = stream.getvalue()
    assert "winning" in shown
    assert "The sparsest winning tickets keep 64.0% of the weights (level 2)" in shown
    assert "index.html" in shown
    assert "bit-exact" not in shown


def test_a_run_that_is_not_bit_exact_says_so(monkeypatch, tmp_path):
    stream = output(monkeypatch)
    run = fakes.run(tmp_path / "run")
    open_run.open_run(run.path, run.config, {"python": "4.x", "packages": {"keras": "3.x"}}, any_environment=True)
    terminal.show_report(run, page.write(run))
    assert "Not bit-exact: the run was resumed in another environment: python=3.x, then 4.x." in stream.getvalue()


def test_what_is_shown_or_contradicted_is_printed_after_the_tables(monkeypatch, tmp_path):
    stream = output(monkeypatch)
    run = fakes.sweep(tmp_path / "run")
    terminal.show_report(run, page.write(run))
    lines = stream.getvalue().splitlines()
    start = lines.index("Claims, compared in pairs over replicates; p-values are not corrected for their number:")
    assert lines[start + 4] == "✓ shown: the ticket is more accurate than that of k=0: k=60 at 80, 64%"
    assert not any("not shown: the" in line for line in lines[start:])


def test_conclusions_fill_no_more_than_a_screen(monkeypatch, tmp_path):
    stream = output(monkeypatch)
    monkeypatch.setattr(terminal.tables, "conclusions", lambda comparisons: ["line"] * 40)
    run = fakes.run(tmp_path / "run")
    terminal.show_report(run, page.write(run))
    assert stream.getvalue().count("line\n") == 16
    assert "… and 24 more, on the page." in stream.getvalue()


def test_a_search_among_dense_networks_is_one_short_table(monkeypatch, tmp_path):
    stream = output(monkeypatch)
    config = fakes.sweep_of(
        {"low": {"train.learning_rate": 0.01}, "high": {"train.learning_rate": 0.1}}, prune=Prune(levels=0)
    )
    run = fakes.run(tmp_path / "run", config)
    terminal.show_report(run, page.write(run))
    shown = stream.getvalue()
    assert "validation accuracy (%)" in shown
    assert "high" in shown
    assert "verdict" not in shown
    assert "winning" not in shown


def test_no_cell_is_cut_however_many_controls_there_are(monkeypatch, tmp_path):
    stream = output(monkeypatch)
    run = fakes.run(tmp_path / "run", fakes.experiment(replicates=3, controls=tuple(CONTROLS)))
    terminal.show_report(run, page.write(run))
    assert "…" not in stream.getvalue()


def test_a_table_of_texts_is_shown_under_its_title(monkeypatch):
    stream = output(monkeypatch)
    terminal.show_table(
        pd.DataFrame({"format": ["dense", "sparse [packed]"], "bytes": ["1,234", "56"]}), "runs/a, level 5"
    )
    lines = [line.split() for line in stream.getvalue().splitlines() if line.strip()]
    assert lines[:2] == [["runs/a,", "level", "5"], ["format", "bytes"]]
    assert lines[-2:] == [["dense", "1,234"], ["sparse", "[packed]", "56"]]
