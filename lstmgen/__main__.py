"""`python -m lstmgen`."""

from .cli import main

main(prog_name="lstmgen")
