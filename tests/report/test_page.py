import base64
import re
from html.parser import HTMLParser

import made_up
import pandas as pd
import pytest

from tf_lottery.errors import RunError
from tf_lottery.experiment import generations, opening
from tf_lottery.experiment.config import Data, Experiment
from tf_lottery.report import page

FIGURES = ("accuracy_at_early_stopping", "accuracy_at_the_end", "early_stopping", "density_by_layer")


def headings(html):
    return re.findall(r"<h2>(.*)</h2>", html)


def test_the_report_is_a_page_four_figures_and_a_table(tmp_path):
    path = page.write(made_up.run(tmp_path / "run"))
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "accuracy_at_early_stopping.png",
        "accuracy_at_the_end.png",
        "density_by_layer.png",
        "early_stopping.png",
        "index.html",
        "report.lock",
        "tickets.csv",
    ]
    assert len(pd.read_csv(path.parent / "tickets.csv")) == 21


def test_the_page_holds_its_figures_and_asks_no_network(tmp_path):
    path = page.write(made_up.run(tmp_path / "run"))
    html = path.read_text()
    images = re.findall(r'src="([^"]*)"', html)
    for image, name in zip(images, FIGURES, strict=True):
        assert (
            base64.b64decode(image.removeprefix("data:image/png;base64,")) == (path.parent / f"{name}.png").read_bytes()
        )
    assert re.findall(r'href="([^"]*)"', html) == ["tickets.csv"]
    assert "http" not in re.sub(r'src="[^"]*"', "", html)
    assert "winning tickets keep 64.0%" in html


def test_the_page_is_well_formed(tmp_path):
    class Checker(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in ("meta", "img"):
                open_tags.append(tag)

        def handle_endtag(self, tag):
            assert open_tags.pop() == tag

    open_tags = []
    Checker().feed(page.write(made_up.run(tmp_path / "run")).read_text())
    assert open_tags == []


def test_only_winning_levels_are_marked_as_such(tmp_path):
    def results(unit):
        return (0.9 if unit.level < 2 else 0.8), 100

    html = page.write(made_up.run(tmp_path / "run", results=results)).read_text()
    assert re.findall(r'<tr class="([^"]*)">', html) == ["groups", "dense", "winning", "less-accurate"]


def test_what_a_config_says_cannot_break_the_page(tmp_path):
    config = Experiment(replicates=3, data=Data("<script>alert(1)</script>"))
    run = opening.open_run(tmp_path / "run", config, made_up.ENVIRONMENT)
    made_up.save(run, made_up.unit(1, 0))
    html = page.write(run).read_text()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_what_an_environment_says_cannot_break_the_page(tmp_path):
    run = made_up.run(tmp_path / "run")
    opening.open_run(run.path, run.config, {"switches": {"XLA_FLAGS": "<script>"}}, allow_drift=True)
    html = page.write(run).read_text()
    assert "<script>" not in html
    assert html.count("&lt;script&gt;") == 2  # in the sentence and among the definitions


def test_a_bit_exact_run_has_one_environment_and_no_warning(tmp_path):
    html = page.write(made_up.run(tmp_path / "run")).read_text()
    assert "bit-exact" not in html
    assert headings(html) == ["Levels", "Experiment", "Environment"]
    assert "<dl><dt>python</dt><dd>3.x</dd><dt>packages.keras</dt><dd>3.x</dd></dl>" in html


def test_a_run_that_went_on_in_another_environment_says_so_and_shows_both(tmp_path):
    run = made_up.run(tmp_path / "run")
    opening.open_run(run.path, run.config, {"python": "3.x", "packages": {"keras": "4.x"}}, allow_drift=True)
    html = page.write(run).read_text()
    assert (
        '<p class="warning">Not bit-exact: the run went on in another environment: packages.keras=3.x, then 4.x.</p>'
    ) in html
    assert headings(html) == ["Levels", "Experiment", "Environment 1", "Environment 2"]
    assert "<dd>4.x</dd>" in html


def test_a_damaged_record_of_the_environment_stops_no_report(tmp_path):
    run = made_up.run(tmp_path / "run")
    for path in generations.paths(run.path, "environment"):
        path.write_text("{}")
    html = page.write(run).read_text()
    assert "Perhaps not bit-exact: the record of the environment that the run was made in is damaged." in html
    assert "<dt>record</dt><dd>damaged</dd>" in html


def test_the_same_run_gives_the_same_bytes(tmp_path):
    first = page.write(made_up.run(tmp_path / "a")).parent
    second = page.write(made_up.run(tmp_path / "b")).parent
    for file in set(first.iterdir()) - {first / "report.lock"}:
        assert file.read_bytes() == (second / file.name).read_bytes()


def test_a_run_with_nothing_done_has_nothing_to_report(tmp_path):
    run = opening.open_run(tmp_path / "run", made_up.experiment(), {})
    with pytest.raises(RunError, match="no finished training yet"):
        page.write(run)
