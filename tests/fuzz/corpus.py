"""Bytes that are tried first in every run: what once went wrong, and what is close to a limit."""

from pathlib import Path

FOLDER = Path(__file__).parents[1] / "corpus"


def corpus(name: str) -> dict[str, bytes]:
    """The files of a corpus, by their names."""
    return {file.name: file.read_bytes() for file in sorted((FOLDER / name).iterdir())}
