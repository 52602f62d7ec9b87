"""Hooks of mkdocs: pages from outside docs/, and the targets of links."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
# Pages at the top of the repository, where the code host shows them, and their names in the site.
OUTSIDE = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
_SOURCES = {page: source for source, page in OUTSIDE.items()}
# Tables and code have lines of 100 characters, and names in tables must not be broken.
_WIDE = ".md-grid { max-width: 76rem; } .md-typeset td code { word-break: normal; overflow-wrap: break-word; }"
_LINK = re.compile(r"(!?)\[((?:[^][]|\[[^][]*\])*)\]\(([^()\s#:]+)(#[\w-]+)?\)")
_HTML_LINK = re.compile(r'<a href="([^"#:]+)(#[\w-]+)?"[^>]*>(.*?)</a>', re.DOTALL)


def on_config(config: Any) -> Any:
    """List the tutorials in the navigation, in the order of their own page."""
    (entry,) = (entry for entry in config.nav if "Tutorials" in entry)
    named = re.findall(r"\((\w+\.ipynb)\)", (ROOT / "docs/tutorials/README.md").read_text())
    entry["Tutorials"] += [f"tutorials/{name}" for name in named if (ROOT / "docs/tutorials" / name).exists()]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages from outside docs/, and the style sheet of a wide page."""
    for source, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    files.append(File.generated(config, "wide.css", content=_WIDE))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Change links to pages of the site; replace links to other files by the path of the file."""

    def mended(link: re.Match[str]) -> str:
        image, text, target, anchor = link.groups(default="")
        path = _path(page, target)
        if inside := _file(path, files):
            return f"{image}[{text}]({'../' * page.file.src_uri.count('/')}{inside.src_uri}{anchor})"
        return f"`{path}`" if text.strip("`*") in path else f"{text} (`{path}`)"

    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.DOTALL | re.MULTILINE)
    parts[::2] = [_LINK.sub(mended, part) for part in parts[::2]]
    # mkdocs, unlike the code host, does not accept a second word after the language of a code block.
    parts[1::2] = [re.sub(r"^```(\w+) .*", r"```\1", part) for part in parts[1::2]]
    return "".join(parts)


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """Change the links of notebooks, which mkdocs reads as HTML, in the same way."""

    def mended(link: re.Match[str]) -> str:
        target, anchor, text = link.groups(default="")
        path = _path(page, target)
        if inside := _file(path, files):
            return f'<a href="{inside.url_relative_to(page.file)}{anchor}">{text}</a>'
        return f"{text} (<code>{path}</code>)"

    return _HTML_LINK.sub(mended, html) if page.file.src_uri.endswith(".ipynb") else html


def _path(page: Any, target: str) -> str:
    """Return the target of a link of a page, as a path in the repository."""
    source = ROOT / _SOURCES.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    return str((source.parent / target).resolve().relative_to(ROOT))


def _file(path: str, files: Any) -> Any:
    """Return the file of the site for a path in the repository, or None."""
    return files.get_file_from_path(OUTSIDE.get(path) or path.removeprefix("docs/"))
