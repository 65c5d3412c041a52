"""What every command says to the shell when it ends."""

DONE = 0
TRY_AGAIN = 1
"""Not everything could be done now; the next run will try again."""
MISTAKE = 2
"""A person must correct something."""
TAKEN = 3
"""Another poller works on the same database."""
