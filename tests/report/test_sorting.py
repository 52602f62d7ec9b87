"""The script of the page that sorts its tables; needs Node.js."""

import json
import re
import shutil
import subprocess
from importlib import resources

import pytest

NODE = shutil.which("node")
PAGE = (resources.files("tf_lottery.report") / "page.html").read_text(encoding="utf-8")
(SCRIPT,) = re.findall("(?s)<script>(.*?)  for \\(const table of document", PAGE)  # what needs no page
SORT = """
const rows = JSON.parse(process.argv[1]).map(text => ({ cells: [{ textContent: text }] }));
const sign = Number(process.argv[2]), isOfWords = process.argv[3] === "words";
console.log(JSON.stringify(sorted(rows, 0, isOfWords, sign).map(row => row.cells[0].textContent)));
"""

pytestmark = pytest.mark.skipif(NODE is None, reason="needs Node.js")


def in_order(cells, sign=1, kind="numbers"):
    command = [NODE, "-e", SCRIPT + SORT, json.dumps(cells), str(sign), kind]
    return json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


@pytest.mark.parametrize(
    "cells",
    [
        ["9.81 [9.5–9.9]", "10.05 [9.0–94.4]", "93.81 [93.58–94.08]"],
        ["✗ -1.50", "○ +0.25", "✓ +12.00"],
        ["<0.001", "0.002", "0.010"],
        ["0", "9", "10"],
        ["200/4,200", "1,200/4,200"],
        ["-∞", "-1.0", "∞"],
        ["0.5x", "1.21x"],
    ],
)
def test_numbers_are_sorted_by_value_upwards_and_downwards(cells):
    assert in_order(cells[::-1]) == cells
    assert in_order(cells, sign=-1) == cells[::-1]


def test_what_is_no_number_comes_last_in_both_directions():
    assert in_order(["–", "2.0", "", "1.0"]) == ["1.0", "2.0", "–", ""]
    assert in_order(["–", "2.0", "", "3.0"], sign=-1) == ["3.0", "2.0", "–", ""]


def test_words_are_sorted_as_words_with_the_numbers_in_them_by_value():
    assert in_order(["k=100", "k=20", "k=3"], kind="words") == ["k=3", "k=20", "k=100"]
    assert in_order(["winning", "dense", "later"]) == ["dense", "later", "winning"]


def test_equal_cells_keep_their_order():
    assert in_order(["1.0 a", "1.0 b", "0.5"]) == ["0.5", "1.0 a", "1.0 b"]
    assert in_order(["1.0 a", "1.0 b", "0.5"], sign=-1) == ["1.0 a", "1.0 b", "0.5"]
