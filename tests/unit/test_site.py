"""The site of the documents; that its links lead somewhere is checked by `make site`."""

import re

from tests.documents import DOCUMENTS, ROOT, read

NAMED = re.findall(r"^ +- .+: (\S+\.md)$", read("mkdocs.yml"), re.MULTILINE)


def test_navigation() -> None:
    """The navigation names documents that are there, each once."""
    assert len(NAMED) == len(set(NAMED))
    assert set(NAMED) <= {file.relative_to(ROOT).as_posix() for file in DOCUMENTS}


def test_no_other_host() -> None:
    """The site is set up to ask no other host: it names none, and takes no fonts from elsewhere."""
    assert re.findall(r"https?://", read("mkdocs.yml")) == []
    assert re.search(r"^  font: false", read("mkdocs.yml"), re.MULTILINE)
