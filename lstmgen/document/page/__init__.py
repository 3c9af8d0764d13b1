"""The page: one HTML file that shows a cell's derivation and computes with it in the reader's browser.

`data.py` turns the records of derivation, schedule, notation and drawing into JSON; `templates/page/` has the scripts that
show it and compute with it, a file for each concern; `compose.py` puts all into one file.

Start reading at `compose.py`. May import: everything before `document` in the order of folders, and `document`.
"""
