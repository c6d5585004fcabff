"""`orderkeep demo`: the whole service on real servers, with one command."""

from orderkeep.demo.run import Demo, run_demo

__all__ = ["Demo", "run_demo"]
