"""`python -m lstmgen`."""

from .cli.commands import main

main(prog_name="lstmgen")
