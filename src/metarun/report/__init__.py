"""What a run leaves for a reader: tables, one sentence, plots, and a comparison over runs.

Everything is made from summary.json alone (see report/summary.py), so a finished run can be shown again at any time.
"""

from metarun.report.runs import find_run, find_runs
from metarun.report.screen import report, show

__all__ = ["find_run", "find_runs", "report", "show"]
