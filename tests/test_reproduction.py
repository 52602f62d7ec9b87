"""What docs/reproduction.md and the headers of its configs say is what the runs packed beside it hold."""

import importlib.util
import re
import tarfile
from pathlib import Path

import pandas as pd
import pytest

from tf_lottery.experiment import open_run, run_stability
from tf_lottery.experiment.storage import Run
from tf_lottery.report import overlaps, page

ROOT = Path(__file__).parents[1]
FOLDERS = sorted(path.parent for path in (ROOT / "docs/reproduction").glob("*/run.tar.xz"))
NAMES = [folder.name for folder in FOLDERS]


QUICK = ("digits_controls", "fashion_lenet")  # of one variant; sweeps take seconds each


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(folder, marks=pytest.mark.slow if folder.name in QUICK else pytest.mark.nightly)
        for folder in FOLDERS
    ],
    ids=NAMES,
)
def reported(request, tmp_path_factory):
    """A folder of docs/reproduction, and the report made anew from its run."""
    folder, path = request.param, tmp_path_factory.mktemp("runs") / request.param.name
    with tarfile.open(folder / "run.tar.xz") as archive:
        archive.extractall(path, filter="data")
    with pytest.MonkeyPatch.context() as patch:
        if not list(path.rglob("ticket.tfl")):  # of large networks: what weights are needed for is taken as it is
            for module, name in ((run_stability, "stability"), (overlaps, "overlaps")):
                table = pd.read_csv(folder / f"{name}.csv", keep_default_na=False)
                patch.setattr(module, "rows", lambda run, table=table: table)
        return folder, page.write(Run.load(path)).parent


def test_the_tables_are_those_of_the_packed_run(reported):
    folder, report = reported
    tables = sorted(path.name for path in folder.glob("*.csv"))
    assert tables == sorted(path.name for path in report.glob("*.csv"))
    for name in tables:
        stored, made = (pd.read_csv(where / name) for where in (folder, report))
        pd.testing.assert_frame_equal(stored, made, rtol=1e-6)  # of other processors' sums


def test_the_packed_run_is_of_its_config(reported):
    folder, report = reported
    packed = Run.load(report.parent).config
    assert open_run.existing_run(report.parent, config(folder.name).get_config()).config == packed


def test_the_header_of_the_config_says_what_was_seen(reported):
    """Each line of figures begins with the name of a row, or with the end of the names of columns."""
    folder, report = reported
    stated = re.findall(r"^    (\S.* \d\d\.\d\d \[.*)$", config(folder.name).__doc__, re.MULTILINE)
    assert stated
    for line in stated:
        name, *figures = re.split(r"  +", re.sub(r"(?<=\d)-(?=\d)", "–", line))
        assert any(
            (name in row.values() and is_part(figures, of=row.values()))
            or figures == [cell for column, cell in row.items() if f" {column}".endswith(f" {name}")][: len(figures)]
            for row in rows((report / "tables.md").read_text())
        ), line


def rows(markdown):
    """The rows of all tables, as cells by column."""
    for table in re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE):
        names, _, *lines = ([cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines())
        yield from (dict(zip(names, cells, strict=True)) for cells in lines)


def is_part(cells, of):
    """Whether all cells are there, in this order."""
    rest = iter(of)
    return all(cell in rest for cell in cells)


def test_every_row_of_a_table_in_the_text_is_a_row_of_the_report(reported):
    folder, report = reported
    made = (report / "tables.md").read_text().splitlines()
    told = [row for row in section(folder.name).splitlines() if row.startswith("|")]
    assert told
    assert [row for row in told if row not in made] == []


def section(name):
    """The part of docs/reproduction.md that a run is told of in."""
    parts = re.split(r"^## ", (ROOT / "docs/reproduction.md").read_text(), flags=re.MULTILINE)
    (found,) = (part for part in parts if f"(reproduction/{name}/" in part)
    return found


def test_the_figures_of_the_claims_stand_in_the_tables_below():
    _, claims, *others = re.split(r"^## ", (ROOT / "docs/reproduction.md").read_text(), flags=re.MULTILINE)
    figures = re.findall(r"\d+\.\d+(?=[%°x])", claims)
    known = {
        figure for line in "".join(others).splitlines() if line[:1] == "|" for figure in re.findall(r"[\d.]+", line)
    }
    assert len(figures) > 40
    assert [figure for figure in figures if figure not in known] == []


def test_every_folder_is_told_of():
    text = (ROOT / "docs/reproduction.md").read_text()
    for folder in FOLDERS:
        assert f"reproduction/{folder.name}/" in text


def config(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"configs/{name}.py")
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    return module
