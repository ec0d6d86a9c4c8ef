from run_folders import write_run

from metarun.report.cost import Amount, cost, method_cost, spelled
from metarun.report.reading import read_runs

START = {"start": "2030-01-01T00:00:00+00:00"}
DONE = START | {"end": "2030-01-01T00:00:08+00:00", "cpu_seconds": 4.0, "peak_memory_mb": 100.0}
KILLED = START | {"end": None, "cpu_seconds": None, "peak_memory_mb": None}


def runs(home, *runs_, **fields):
    return read_runs([write_run(home / f"r{n}", [f"seed={n}"], **one, **fields) for n, one in enumerate(runs_)])[0]


def test_attempts_are_summed_and_runs_averaged(tmp_path):
    found = cost(runs(tmp_path, {"attempts": [DONE, DONE]}, {"attempts": [DONE]}))
    assert found["wall_seconds"] == Amount(12.0)
    assert found["cpu_seconds"] == Amount(6.0)
    assert found["peak_memory_mb"] == Amount(100.0)
    assert found["optimiser_steps"] == Amount(7.0)


def test_a_killed_attempt_makes_it_a_lower_bound(tmp_path):
    found = cost(runs(tmp_path, {"attempts": [KILLED, DONE]}))
    assert found["wall_seconds"] == Amount(8.0, least=True)
    assert spelled(found["wall_seconds"]) == "≥8"


def test_what_one_run_does_not_know_is_missing(tmp_path):
    known = {"manifest": {"model": {"parameters": 1234, "labels": 99}}}
    assert cost(runs(tmp_path / "a", known))["parameters"] == Amount(1234.0)
    assert "parameters" not in cost(runs(tmp_path / "b", known, {}))
    assert "wall_seconds" not in cost(runs(tmp_path / "c", {}))
    assert spelled(None) == "-"


def test_methods_alone(tmp_path):
    found = runs(
        tmp_path, {"cost": {"meta/ridge": {"seconds": 3.0, "steps": 10}}}, {"cost": {"meta/ridge": {"seconds": 5.0}}}
    )
    assert method_cost(found, "meta/ridge") == {"seconds": Amount(4.0)}
    assert method_cost(found, "baseline/ridge") == {}


def test_spelled():
    assert [spelled(Amount(v)) for v in (3.25, 7.0, 36.4, 1204.0)] == ["3.2", "7", "36", "1,204"]
