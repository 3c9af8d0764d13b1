"""The code that lstmgen hands out: a folder for each target.

May import: everything up to schedule. Start reading at numpy/module.py.
"""
