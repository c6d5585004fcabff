"""`orderkeep rejects`: list, show, replay and export the messages that were kept aside."""

from cyclopts import App

rejects = App(name="rejects", help="Work with the messages that were kept aside.", help_format="markdown")
