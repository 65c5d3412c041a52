"""Programs of the peers' own virtual environment: each reads the whole log that is served and says what it took.

They import nothing of ours, and we nothing of theirs: `python -m bench` starts them with .venv-bench/bin/python.
"""
