"""A spec: from a YAML file to a `CellSpec`, the cell as written, and back.

May import: errors, files, resources, language. Start reading at cell.py, the records; then reader.py.
"""
