import base64
import csv
import math
import re
import zlib
from html.parser import HTMLParser

import fakes
import pandas as pd
import pytest

from tf_lottery.errors import RunError
from tf_lottery.experiment import backups, open_run, plan, run_stability
from tf_lottery.experiment.config import Data, Experiment, Prune, Stability
from tf_lottery.experiment.storage import Run
from tf_lottery.report import findings, overlaps, page

FIGURES = ("accuracy_at_early_stopping", "accuracy_at_the_end", "early_stopping", "density_by_layer")

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def page_of_sweep(tmp_path_factory):
    return page.write(fakes.sweep(tmp_path_factory.mktemp("page") / "run"))


def headings(html):
    return re.findall(r"<h2>(.*)</h2>", html)


def test_the_report_of_a_plain_run_is_a_page_its_figures_and_its_tables(tmp_path):
    path = page.write(fakes.run(tmp_path / "run"))
    assert sorted(file.name for file in path.parent.iterdir()) == sorted(
        [
            *(f"{name}.png" for name in (*FIGURES, "overlap")),
            *("comparisons.csv", "index.html", "overlaps.csv", "report.lock", "tables.md", "tickets.csv"),
        ]
    )
    assert len(pd.read_csv(path.parent / "tickets.csv")) == 21
    assert len(pd.read_csv(path.parent / "comparisons.csv")) == 2 * 4


def test_a_page_holds_its_figures_links_its_tables_and_asks_no_network(page_of_sweep):
    html, folder = page_of_sweep.read_text(), page_of_sweep.parent
    images = [base64.b64decode(image.partition(",")[2]) for image in re.findall(r'src="([^"]*)"', html)]
    assert sorted(images) == sorted(path.read_bytes() for path in folder.glob("*.png"))
    linked = set(re.findall(r'href="([^"]*)"', html))
    assert linked == {path.name for path in folder.iterdir() if path.suffix in (".csv", ".md")}
    assert len(linked) == 6
    without_images = re.sub(r'src="data:image/png;base64,[^"]*"', "", html)
    for address in ("http", "src=", "url(", "@import", "<link", "<iframe"):
        assert address not in without_images


def test_a_plain_page_begins_with_the_headline_and_the_figures_of_levels(tmp_path):
    html = page.write(fakes.run(tmp_path / "run")).read_text()
    assert html.index("winning tickets keep 64.0%") < html.index("<figure>")
    assert re.findall(r'alt="([^"]*)"', html)[:4] == [
        f"Figure: {name.replace('_', ' ')}. Its numbers are in tickets.csv." for name in FIGURES
    ]


def test_the_page_of_a_sweep_compares_the_variants_then_shows_each(page_of_sweep):
    html = page_of_sweep.read_text()
    assert headings(html) == [
        *("Sparsest tickets", "Claims", "Stability", "Dense networks", "Variants", "Files", "Experiment", "Environment")
    ]
    assert html.index("✓ shown: the ticket is more accurate than that of k=0: k=60 at 80, 64%") < html.index("<figure>")
    summaries = re.findall("<summary>(.*)</summary>", html)
    assert [summary.partition(":")[0] for summary in summaries] == ["All 36 comparisons in numbers", "k=0", "k=60"]
    assert (page_of_sweep.parent / "k=60_early_stopping.png").exists()


def test_claims_are_coloured_by_verdict_and_say_it_without_colour_too(page_of_sweep):
    found = re.findall(r'<td class="(shown|contradicted|not-shown)">(.)', page_of_sweep.read_text())
    assert {symbol for _, symbol in found} == {"✓", "✗", "○"}
    assert set(found) == {("shown", "✓"), ("contradicted", "✗"), ("not-shown", "○")}
    assert "p-values are not corrected for their number" in page_of_sweep.read_text()


def test_the_tables_beside_the_page_hold_what_was_found(page_of_sweep):
    folder = page_of_sweep.parent
    run = Run.load(folder.parent)
    for name, expected in (("stability", run_stability.rows(run)), ("lines", run_stability.lines(run))):
        pd.testing.assert_frame_equal(pd.read_csv(folder / f"{name}.csv").fillna({"control": ""}), expected)
    assert len(pd.read_csv(folder / "overlaps.csv")) == len(overlaps.rows(run))
    assert (folder / "tables.md").read_text() == page.markdown(findings.read(run))


@pytest.mark.parametrize("levels", [0, 1])
def test_one_replicate_and_few_levels_are_enough_for_a_page(tmp_path, levels):
    stability = Stability(levels=(1,), shuffle_seeds=1, points=3)
    config = fakes.experiment(replicates=1, prune=Prune(levels=levels), stability=stability)
    html = page.write(fakes.sweep(tmp_path / "run", config)).read_text()
    assert "✓" not in re.sub("(?s)<p>.*?</p>|<script>.*</script>", "", html)
    assert ("Claims" in headings(html)) == (levels > 0)


@pytest.mark.slow
def test_an_unfinished_sweep_has_a_page_at_any_moment(tmp_path):
    config = fakes.sweep_of(
        replicates=1, stability=Stability(levels=(1,), shuffle_seeds=1, points=3), prune=Prune(levels=1)
    )
    units = plan.units(config)
    run = open_run.open_run(tmp_path / "run", config, fakes.ENVIRONMENT)
    for start in range(0, len(units), 4):
        fakes.sweep(run.path, config, units[start : start + 4])
        assert ("Unfinished" in page.write(run).read_text()) == (start + 4 < len(units))


def test_the_page_is_well_formed(tmp_path, page_of_sweep):
    class Checker(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in ("meta", "img"):
                open_tags.append(tag)

        def handle_endtag(self, tag):
            assert open_tags.pop() == tag

    open_tags = []
    for path in (page.write(fakes.run(tmp_path / "run")), page_of_sweep):
        Checker().feed(path.read_text())
        assert open_tags == []


def test_only_winning_levels_are_marked_as_such(tmp_path):
    def results(unit):
        return (0.9 if unit.level < 2 else 0.8), 100

    html = page.write(fakes.run(tmp_path / "run", results=results)).read_text()
    assert re.findall(r'<tr class="([^"]*)">', html) == ["groups", "dense", "winning", "less-accurate"]


def test_what_a_config_says_cannot_break_the_page(tmp_path):
    config = Experiment(replicates=3, data=Data("<script>alert(1)</script>"))
    run = open_run.open_run(tmp_path / "run", config, fakes.ENVIRONMENT)
    fakes.save(run, fakes.unit(1, 0))
    html = page.write(run).read_text()
    assert html.count("<script>") == 1  # the page's own
    assert "&lt;script&gt;alert" in html


def test_what_an_environment_says_cannot_break_the_page(tmp_path):
    run = fakes.run(tmp_path / "run")
    open_run.open_run(run.path, run.config, {"switches": {"XLA_FLAGS": "<script>"}}, any_environment=True)
    html = page.write(run).read_text()
    assert html.count("<script>") == 1  # the page's own
    assert html.count("&lt;script&gt;") == 2  # in the sentence and among the definitions


def test_a_bit_exact_run_has_one_environment_and_no_warning(tmp_path):
    html = page.write(fakes.run(tmp_path / "run")).read_text()
    assert "bit-exact" not in html
    assert headings(html) == ["Levels", "Claims", "Files", "Experiment", "Environment"]
    assert "<dl><dt>python</dt><dd>3.x</dd><dt>packages.keras</dt><dd>3.x</dd></dl>" in html


def test_a_run_that_was_resumed_in_another_environment_says_so_and_shows_both(tmp_path):
    run = fakes.run(tmp_path / "run")
    open_run.open_run(run.path, run.config, {"python": "3.x", "packages": {"keras": "4.x"}}, any_environment=True)
    html = page.write(run).read_text()
    warning = "Not bit-exact: the run was resumed in another environment: packages.keras=3.x, then 4.x."
    assert f'<p class="warning">{warning}</p>' in html
    assert headings(html) == ["Levels", "Claims", "Files", "Experiment", "Environment 1", "Environment 2"]
    assert "<dd>4.x</dd>" in html


def test_a_damaged_record_of_the_environment_stops_no_report(tmp_path):
    run = fakes.run(tmp_path / "run")
    for path in backups.paths(run.path, "environment"):
        path.write_text("{}")
    html = page.write(run).read_text()
    assert "Perhaps not bit-exact: the record of the environment of this run is damaged." in html
    assert "<dt>record</dt><dd>damaged</dd>" in html


def test_the_same_run_gives_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.undo()  # figures are drawn
    first = page.write(fakes.run(tmp_path / "a")).parent
    second = page.write(fakes.run(tmp_path / "b")).parent
    for file in set(first.iterdir()) - {first / "report.lock"}:
        assert file.read_bytes() == (second / file.name).read_bytes()


def test_a_run_with_nothing_done_has_nothing_to_report(tmp_path):
    run = open_run.open_run(tmp_path / "run", fakes.experiment(), {})
    with pytest.raises(RunError, match="no finished dense network yet"):
        page.write(run)


def test_a_sweep_of_dense_networks_alone_is_a_table_to_choose_by_validation(tmp_path):
    config = fakes.sweep_of(
        {"low": {"train.learning_rate": 0.01}, "high": {"train.learning_rate": 0.1}}, prune=Prune(levels=0)
    )
    html = page.write(fakes.run(tmp_path / "run", config)).read_text()
    assert headings(html)[0] == "Dense networks"
    assert "high</td><td>90.00 [90.00–90.00]</td>" in html
    assert "<figure>" not in html
    assert "<details>" not in html


def tables(html):
    """Yield the tables of a page: the cells of each row, and the files that hold its numbers."""
    pattern = r'(?s)<table>.*?<tbody>(.*?)</tbody></table></div>\n<p class="source">Numbers: (.*?)</p>'
    for body, source in re.findall(pattern, html):
        rows = re.findall("(?s)<tr[^>]*>(.*?)</tr>", body)
        yield [re.findall("<td[^>]*>(.*?)</td>", row) for row in rows], re.findall('href="(.*?)"', source)


def test_every_table_and_figure_says_where_its_numbers_are(page_of_sweep):
    html = page_of_sweep.read_text()
    assert len([*tables(html)]) == html.count("<table>") == 7
    assert all(files for _, files in tables(html))
    captions = re.findall("<figcaption>(.*?)</figcaption>", html)
    assert len(captions) == html.count("<img") == len([*page_of_sweep.parent.glob("*.png")])
    assert all(re.search(r'Numbers: <a href="\w+\.csv">', caption) for caption in captions)


def test_the_numbers_of_the_levels_are_in_the_file_that_is_named(tmp_path):
    def results(unit):
        return 0.9 + 0.001 * (zlib.crc32(str(unit).encode()) % 50), 100 + zlib.crc32(str(unit).encode()) % 90

    path = page.write(fakes.run(tmp_path / "run", results=results))
    (levels, files), *_ = tables(path.read_text())
    assert files == ["tickets.csv"]
    with path.with_name("tickets.csv").open() as file:
        trainings = list(csv.DictReader(file))
    assert len(levels) == 3
    for level, row in enumerate(levels):
        expected = []
        for name, scale, digits in (("early_stop_test_accuracy", 100, 2), ("early_stop_step", 1, 0)):
            for branch in ("ticket", "random_mask", "reinit"):
                found = [
                    scale * float(training[name])
                    for training in trainings
                    if (training["level"], training["branch"]) == (str(level), branch)
                ]
                if found:
                    mean = math.fsum(found) / len(found)
                    expected.append(f"{mean:.{digits}f} [{min(found):.{digits}f}–{max(found):.{digits}f}]")
        assert [cell for cell in row[3:] if cell] == expected
        assert row[:2] == [str(level), f"{0.8**level:.1%}"]


def test_the_numbers_of_all_comparisons_are_in_the_file_that_is_named(page_of_sweep):
    found = [(rows, files) for rows, files in tables(page_of_sweep.read_text()) if len(rows) == 36]
    ((rows, files),) = found
    assert files == ["comparisons.csv"]
    with page_of_sweep.with_name("comparisons.csv").open() as file:
        comparisons = list(csv.DictReader(file))
    assert [row[:2] for row in rows] == [[line["variant"], line["claim"]] for line in comparisons]
    assert [row[8] for row in rows] == [line["n"] for line in comparisons]
    effects = [float(line["effect"] or "nan") for line in comparisons]
    assert [row[10] for row in rows] == [f"{effect:.1f}" if math.isfinite(effect) else "–" for effect in effects]


def test_columns_have_names_that_a_screen_reader_finds(page_of_sweep):
    assert set(re.findall("<th[ >][^>]*>", page_of_sweep.read_text())) <= {
        *('<th scope="col">', '<th scope="col" class="words">', '<th scope="col" class="words long">'),
        *(f'<th scope="colgroup" colspan="{number}">' for number in (1, 2, 3)),
    }


def test_the_markdown_document_has_all_tables(sweep):
    document = page.markdown(findings.read(sweep))
    headings = [line for line in document.splitlines() if line.startswith("## ")]
    assert headings == [
        *("## Sparsest tickets", "## Dense networks", "## Levels: k=0", "## Levels: k=60", "## Stability", "## Claims")
    ]
    assert "p-values are not corrected" in document
    for block in document.split("\n\n"):
        if block.startswith("|"):
            assert len({line.replace("\\|", "").count("|") for line in block.splitlines()}) == 1
