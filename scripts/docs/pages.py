"""What mkdocs is told about pages: those from outside docs/, and where links lead to."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
# Pages that the code host wants at the top of the repository, and what they are called in the site.
OUTSIDE = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
_SOURCES = {page: source for source, page in OUTSIDE.items()}
# Our tables and code have lines of 100 characters, and names in tables are not to be cut in two.
_WIDE = ".md-grid { max-width: 76rem; } .md-typeset td code { word-break: normal; overflow-wrap: break-word; }"
_LINK = re.compile(r"(!?)\[((?:[^][]|\[[^][]*\])*)\]\(([^()\s#:]+)(#[\w-]+)?\)")
_HTML_LINK = re.compile(r'<a href="([^"#:]+)(#[\w-]+)?"[^>]*>(.*?)</a>', re.DOTALL)


def on_config(config: Any) -> Any:
    """Give the tutorials the order in which their own page names them."""
    (entry,) = (entry for entry in config.nav if "Tutorials" in entry)
    named = re.findall(r"\((\w+\.ipynb)\)", (ROOT / "docs/tutorials/README.md").read_text())
    entry["Tutorials"] += [f"tutorials/{name}" for name in named if (ROOT / "docs/tutorials" / name).exists()]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages from outside docs/, and room."""
    for source, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    files.append(File.generated(config, "wide.css", content=_WIDE))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Make links lead to pages of the site; where there is none, to files of the repository, says which file."""

    def mended(link: re.Match[str]) -> str:
        image, text, target, anchor = link.groups(default="")
        path = _path(page, target)
        if inside := _file(path, files):
            return f"{image}[{text}]({'../' * page.file.src_uri.count('/')}{inside.src_uri}{anchor})"
        return f"`{path}`" if text.strip("`*") in path else f"{text} (`{path}`)"

    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.DOTALL | re.MULTILINE)
    parts[::2] = [_LINK.sub(mended, part) for part in parts[::2]]
    # The code host reads a word after the language as a remark, mkdocs as an error.
    parts[1::2] = [re.sub(r"^```(\w+) .*", r"```\1", part) for part in parts[1::2]]
    return "".join(parts)


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """Return the same for notebooks, which come without having been Markdown."""

    def mended(link: re.Match[str]) -> str:
        target, anchor, text = link.groups(default="")
        path = _path(page, target)
        if inside := _file(path, files):
            return f'<a href="{inside.url_relative_to(page.file)}{anchor}">{text}</a>'
        return f"{text} (<code>{path}</code>)"

    return _HTML_LINK.sub(mended, html) if page.file.src_uri.endswith(".ipynb") else html


def _path(page: Any, target: str) -> str:
    """What a link of a page leads to, as a path in the repository."""
    source = ROOT / _SOURCES.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    return str((source.parent / target).resolve().relative_to(ROOT))


def _file(path: str, files: Any) -> Any:
    """What the site has of a path in the repository; None if nothing."""
    return files.get_file_from_path(OUTSIDE.get(path) or path.removeprefix("docs/"))
