"""What the program ends with. 130 and 143: stopped by a signal, after saving."""

SUCCESS = 0
FAULT = 1
"""Ours, or a run that diverged."""
MISTAKE = 2
"""In what was asked, or something that the machine refuses."""
INTERRUPTED = 130
BROKEN_PIPE = 141
"""Nobody reads stdout any more."""
