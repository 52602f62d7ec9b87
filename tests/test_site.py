"""docs/ as a site."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENVIRONMENT = os.environ | {"NO_MKDOCS_2_WARNING": "1"}  # the theme's makers advertise what comes after it


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", "scripts/docs/mkdocs.yml"]
    done = subprocess.run(
        [*command, "--site-dir", folder], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "WARN" not in done.stderr + done.stdout, done.stderr
    return folder


@pytest.mark.nightly
def test_it_builds_without_a_warning_and_has_every_page(site):
    sources = [path.relative_to(ROOT / "docs") for path in ROOT.glob("docs/**/*") if path.suffix in (".md", ".ipynb")]
    pages = [path.with_suffix(".html") for path in sources if path.name != "README.md"]
    assert not [page for page in [*pages, "index.html", "tutorials/index.html"] if not (site / page).exists()]


@pytest.mark.nightly
def test_links_of_the_code_host_lead_to_pages_and_files_that_are_none_are_named(site):
    front, notebook = ((site / page).read_text() for page in ("index.html", "tutorials/from_tfmot.html"))
    assert '<a href="export.html">' in front
    assert '<a href="contributing.html">' in front
    assert "<code>configs/fashion_lenet.py</code>" in front
    assert '<a href="../tfmot.html">' in notebook


@pytest.mark.nightly
def test_it_loads_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        assert not re.findall(r'<(?:script|img|iframe)[^>]*\ssrc="(?:https?:)?//[^"]*"', page.read_text()), page
        assert not re.findall(r'<link[^>]*rel="stylesheet"[^>]*href="(?:https?:)?//[^"]*"', page.read_text()), page


@pytest.mark.nightly
def test_no_markdown_is_left_in_it(site):
    for page in site.rglob("*.html"):
        text = re.sub(r"<(pre|code)\b.*?</\1>", "", page.read_text(), flags=re.DOTALL)
        assert not re.findall(r"```|\]\([\w./]+\)|^:::|&gt;&gt;&gt;", text, re.MULTILINE), page


@pytest.mark.nightly
def test_every_link_in_it_leads_somewhere(site):
    for page in site.rglob("*.html"):
        for target in re.findall(r'<(?:a|img|link|script)\b[^>]*\s(?:href|src)="([^"#]+)[^"]*"', page.read_text()):
            if not re.match(r"\w+:", target):
                path = site / target[1:] if target.startswith("/") else page.parent / target
                assert path.exists(), (page.name, target)
