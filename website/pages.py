"""Which files the site is made of: the documents as they lie in the project, and what they link to.

MkDocs reads one folder, and ours are in two. So its list of files is replaced by one whose paths begin at the
project's root, as the links between the documents do: none has to be rewritten.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

LOOKS = ("src/orderkeep/api/static/favicon.svg", "website/site.css")
BELOW, ABOVE = "Running it", "Project"
"""The sections for documents that mkdocs.yml does not name: those of a folder, and those of the root."""

_LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Complete the navigation, and derive anchors from headings as code hosts do."""
    named = set(_pages(config.nav))
    unnamed = [path for path in _documents(_root(config)) if path not in named]
    for section in config.nav or []:
        if BELOW in section:
            section[BELOW] += [path for path in unnamed if "/" in path]
        if ABOVE in section:
            section[ABOVE] += [path for path in unnamed if "/" not in path]
    config.mdx_configs["toc"]["slugify"] = slug
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The theme's own files, the documents, and every file of the project that they link to."""
    root = _root(config)
    documents = _documents(root)
    paths = {*LOOKS, *documents, *(path for name in documents for path in _linked(root, name))}
    ours = [File.generated(config, path, abs_src_path=str(root / path)) for path in sorted(paths)]
    return Files([*(file for file in files if file.src_dir != config.docs_dir), *ours])


def slug(heading: str, separator: str) -> str:
    """`Log events: what?` is `log-events-what`."""
    return re.sub(r"\s", separator, re.sub(r"[^\w\s-]", "", heading.strip().lower()))


def _root(config: MkDocsConfig) -> Path:
    return Path(config.config_file_path).parent


def _documents(root: Path) -> list[str]:
    found = [*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("deploy/**/*.md")]
    return sorted(file.relative_to(root).as_posix() for file in found)


def _linked(root: Path, document: str) -> Iterator[str]:
    for target in _LINK.findall((root / document).read_text()):
        file = (root / document).parent.joinpath(target).resolve()
        if file.is_file() and file.is_relative_to(root):
            yield file.relative_to(root).as_posix()


def _pages(nav: object) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, dict | list):
        for inner in nav.values() if isinstance(nav, dict) else nav:
            yield from _pages(inner)
