"""What a run leaves for a reader: tables, one sentence, plots, and a comparison over runs.

One run is shown from its summary.json alone (see report/summary.py), at any time. Several are compared from their
task_scores.npz: reading.py (folders), groups.py (replicates), views.py (what was tested), pooled.py and contrast.py
(the numbers), then comparison.py (terminal), sheet.py (CSV) and page.py (HTML).
"""

from metarun.report.groups import Asked
from metarun.report.runs import find_run, find_runs
from metarun.report.screen import report, show

__all__ = ["Asked", "find_run", "find_runs", "report", "show"]
