"""The commands, in the order in which a user needs them. Each file holds one kind of command.

Status 0: success. 1: the command ran and the answer is no. 2: wrong input, nothing was written.
A command imports what it needs inside its function: `--help` must not wait for SymPy.
"""

from __future__ import annotations

import click

from .. import __version__
from ..resources import DOCS
from .audit import audit
from .code import cases
from .group import Group
from .making import build, verify
from .reading import diff, draw, explain, flow, show
from .specs import expand, list_functions, list_specs, new, schema

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
EPILOG = f"Example:  lstmgen build peephole_lstm --pdf\n\nDocumentation:  {DOCS / 'index.md'}"


@click.group(cls=Group, context_settings=CONTEXT, epilog=EPILOG)
@click.version_option(__version__, prog_name="lstmgen")
def main() -> None:
    """From the spec of a recurrent cell to its verified backward pass, as code and as a document."""


for _command in (
    build, verify, show, explain, diff, draw, flow, expand, list_specs, list_functions, new, schema, audit, cases,
):
    main.add_command(_command)
