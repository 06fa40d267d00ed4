"""``python -m refscore`` is the command ``refscore``."""

from refscore.cli import command

command()
