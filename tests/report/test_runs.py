import json

import pytest

from metarun.config import run_id
from metarun.errors import MetarunError
from metarun.report import find_run, find_runs

RUNS = {"maml/aa11bb22": 1, "maml/aa33cc44": 3, "maml/aa33cc44.2": 4, "ridge/dd55ee66": 2}


@pytest.fixture
def outputs(tmp_path):
    for name, hour in RUNS.items():
        (tmp_path / "outputs" / name).mkdir(parents=True)
        start = {"attempts": [{"start": f"2030-01-01T0{hour}:00:00+00:00"}]}
        (tmp_path / "outputs" / name / "manifest.json").write_text(json.dumps(start))
    return tmp_path / "outputs"


def names(runs):
    return [f"{run.parent.name}/{run.name}" for run in runs]


def test_references(outputs):
    assert names(find_runs(["latest"], outputs)) == ["maml/aa33cc44.2"]
    assert names(find_runs(["maml"], outputs)) == ["maml/aa11bb22", "maml/aa33cc44", "maml/aa33cc44.2"]
    assert names(find_runs(["dd"], outputs)) == ["ridge/dd55ee66"]
    assert names(find_runs(["aa33cc44"], outputs)) == ["maml/aa33cc44"]
    assert names(find_runs([str(outputs / "ridge" / "dd55ee66")], outputs)) == ["ridge/dd55ee66"]
    assert len(find_runs([str(outputs)], outputs)) == 4
    assert names(find_runs(["dd", "ridge", "aa1"], outputs)) == ["ridge/dd55ee66", "maml/aa11bb22"]
    assert names([find_run("maml", outputs)]) == ["maml/aa33cc44.2"]


def test_what_a_sweep_leaves_beside_its_runs_is_no_run(outputs):
    (outputs / "maml" / "multirun.yaml").touch()
    everything = sorted(map(str, (outputs / "maml").iterdir()))
    assert len(find_runs(everything, outputs)) == 3


def test_a_folder_here_does_not_hide_an_experiment(outputs, monkeypatch):
    (outputs.parent / "ridge").mkdir()
    monkeypatch.chdir(outputs.parent)
    assert names(find_runs(["ridge"], "outputs")) == ["ridge/dd55ee66"]


def test_errors(outputs, tmp_path):
    with pytest.raises(MetarunError, match=r"no run 'mamml' in .*outputs: give .* Did you mean 'maml'\?"):
        find_runs(["mamml"], outputs)
    with pytest.raises(MetarunError, match=r"'aa' is the start of 3 runs: .*aa11bb22, .*aa33cc44\.2"):
        find_runs(["aa"], outputs)
    with pytest.raises(MetarunError, match=r"no run in .*empty yet"):
        find_runs(["latest"], tmp_path / "empty")
    with pytest.raises(MetarunError, match="no run ''"):
        find_runs([""], tmp_path / "empty")


def test_a_broken_manifest_is_the_oldest(outputs):
    (outputs / "maml" / "aa33cc44.2" / "manifest.json").write_text("{")
    assert names(find_runs(["latest"], outputs)) == ["maml/aa33cc44"]


def test_latest_is_the_sweep_whose_job_was_started_last(outputs):
    words = ["+experiment=maml", "seed=0,1,2"]
    ids = {seed: run_id(["+experiment=maml", f"seed={seed}"]) for seed in range(3)}
    for seed, hour in ((0, 6), (1, 7)):
        (outputs / "maml" / ids[seed]).mkdir()
        start = {"attempts": [{"start": f"2030-01-01T0{hour}:00:00+00:00"}]}
        (outputs / "maml" / ids[seed] / "manifest.json").write_text(json.dumps(start))
    told = outputs / "maml" / "multirun.yaml"
    told.write_text(json.dumps({"hydra": {"overrides": {"task": words}}}))
    assert names(find_runs(["latest"], outputs)) == [f"maml/{ids[0]}", f"maml/{ids[1]}"]
    assert find_run("latest", outputs).name == ids[1]
    told.write_text(json.dumps({"hydra": {"overrides": {"task": ["+experiment=maml", "seed=3,4"]}}}))
    assert names(find_runs(["latest"], outputs)) == [f"maml/{ids[1]}"]
    told.write_text(json.dumps({"hydra": {"overrides": {"task": [*words, "+sweep=inner_loop"]}}}))
    assert names(find_runs(["latest"], outputs)) == [f"maml/{ids[1]}"]
