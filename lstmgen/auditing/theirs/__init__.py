"""Somebody's code as it stands: how it is laid out, how it is called, and what its answers are in our names.

May import: what the audit may. Start reading at judging.py; records.py has what a layout file says.
"""
