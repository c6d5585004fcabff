"""The shell completes commands, options and their values."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ASK = 'source "$HOME/.bashrc"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _orderkeep; echo "${COMPREPLY[@]}"'


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of somebody who has asked for completion in bash."""
    home = tmp_path_factory.mktemp("home")
    install = [sys.executable, "-m", "orderkeep", "--install-completion", "--shell", "bash"]
    subprocess.run(install, env={**os.environ, "HOME": str(home)}, check=True, capture_output=True)
    return home


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["orderkeep", "mig"], {"migrate"}),
        (["orderkeep", "demo", "--broker", ""], {"kafka", "jetstream", "stan"}),
        (["orderkeep", "rejects", ""], {"list", "show", "replay", "export"}),
        (["orderkeep", "rejects", "list", "--kind", "conf"], {"conflict"}),
    ],
)
def test_completion(home: Path, words: list[str], completed: set[str]) -> None:
    """What `orderkeep --install-completion` installs completes a line in bash."""
    bash = ["bash", "-c", ASK, "bash", *words]
    done = subprocess.run(bash, env={"HOME": str(home)}, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) >= completed
