"""Faults at length: real processes of the product between the stand-ins, everything that breaks, and a judge.

`python -m tests.faults --help` is the way in. Read `judge.py` for what is promised, `classes.py` for what breaks.
"""
