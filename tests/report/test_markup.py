"""Pieces of HTML, read back with a parser."""

from html.parser import HTMLParser

import pandas as pd
import pytest

from tf_lottery.report import markup
from tf_lottery.report.figures.catalogue import Drawn

HOSTILE = "<script>alert('&')</script> \"quoted\""


class Read(HTMLParser):
    """A parser that collects tags with their attributes, and the text between them."""

    def __init__(self, content):
        super().__init__()
        self.tags, self.attributes, self.texts = [], [], []
        self.feed(content)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes.append(dict(attributes))

    def handle_data(self, data):
        self.texts.append(data)


@pytest.mark.parametrize(
    "content",
    [
        markup.paragraph(HOSTILE),
        markup.warning(HOSTILE),
        markup.points([HOSTILE], "conclusions"),
        markup.details(HOSTILE, ""),
        markup.table(pd.DataFrame({"level": [HOSTILE]}), "t.csv"),
        markup.table(pd.DataFrame({HOSTILE: ["1"]}), "t.csv"),
        markup.definitions({"model": HOSTILE}),
        markup.definitions({HOSTILE: 1}),
        markup.figures({"line": Drawn(b"image", HOSTILE, "t.csv")}),
    ],
)
def test_no_text_breaks_the_page(content):
    read = Read(content)
    assert "script" not in read.tags
    assert HOSTILE in "".join(read.texts)


def test_what_is_not_there_leaves_nothing():
    assert markup.warning("") == markup.points([], "conclusions") == ""


def test_a_table_has_its_rows_and_the_classes_of_its_verdicts():
    frame = pd.DataFrame({"claim": ["wins", "is fast"], "verdict": ["✓ shown", "○ not shown"]})
    read = Read(markup.table(frame, "t.csv", row_classes=["first", "second"], verdicts=True))
    assert [text for text in read.texts if text.strip()] == [
        *("claim", "verdict", "wins", "✓ shown", "is fast", "○ not shown", "Numbers: ", "t.csv")
    ]
    classes = [found.get("class") for tag, found in zip(read.tags, read.attributes, strict=True) if tag in ("tr", "td")]
    assert classes == [None, "first", "words long", "shown", "second", "words long", "not-shown"]


def test_columns_in_groups_have_a_head_over_them():
    columns = pd.MultiIndex.from_tuples([("", "level"), ("accuracy", "ticket"), ("accuracy", "reinit")])
    read = Read(markup.table(pd.DataFrame([["1", "2", "3"]], columns=columns), "t.csv"))
    spans = [(found["colspan"]) for found in read.attributes if "colspan" in found]
    assert spans == ["1", "2"]
    assert "accuracy" in read.texts


def test_an_image_is_in_the_page_itself_and_says_where_its_numbers_are():
    read = Read(markup.figures({"a_line": Drawn(b"\x00\xff", "A caption.", "lines.csv")}))
    (image,) = [found for found in read.attributes if "src" in found]
    assert image == {"src": "data:image/png;base64,AP8=", "alt": "Figure: a line. Its numbers are in lines.csv."}
    assert [found["href"] for found in read.attributes if "href" in found] == ["lines.csv"]
    assert "".join(read.texts).strip() == "A caption. Numbers: lines.csv"


def test_a_table_links_all_files_it_is_made_of():
    read = Read(markup.table(pd.DataFrame({"level": ["1"]}), "stability.csv", "lines.csv"))
    assert [found["href"] for found in read.attributes if "href" in found] == ["stability.csv", "lines.csv"]


def test_markdown_has_a_line_per_row_and_both_names_of_a_column():
    frame = pd.DataFrame([["1", "a|b"]], columns=pd.MultiIndex.from_tuples([("", "level"), ("test", "ticket")]))
    assert markup.markdown_table(frame) == "| level | test ticket |\n| --- | --- |\n| 1 | a\\|b |\n"
