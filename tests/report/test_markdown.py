import pandas as pd

from tf_lottery.report import findings, markdown


def test_markdown_has_a_line_a_row_and_both_names_of_a_column():
    frame = pd.DataFrame([["1", "a|b"]], columns=pd.MultiIndex.from_tuples([("", "level"), ("test", "ticket")]))
    assert markdown.table(frame) == "| level | test ticket |\n| --- | --- |\n| 1 | a\\|b |\n"


def test_the_document_has_the_levels_of_each_variant_stability_and_claims(sweep):
    document = markdown.document(findings.read(sweep))
    headings = [line for line in document.splitlines() if line.startswith("## ")]
    assert headings == [
        *("## Sparsest tickets", "## Dense networks", "## Levels: k=0", "## Levels: k=60", "## Stability", "## Claims")
    ]
    assert "p-values are not corrected" in document
    for block in document.split("\n\n"):
        if block.startswith("|"):
            assert len({line.replace("\\|", "").count("|") for line in block.splitlines()}) == 1
