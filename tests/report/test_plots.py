import matplotlib.image
import pytest
from matplotlib.figure import Figure

from metarun.errors import MetarunError
from metarun.report.plots import _cut, _styles, support_plot


def test_png(summary, tmp_path):
    support_plot(summary, tmp_path / "rmse.png")
    pixels = matplotlib.image.imread(tmp_path / "rmse.png")
    assert pixels.shape[0] > 700
    assert pixels.shape[1] > 1500
    assert pixels[..., :3].std() > 0.05  # something is drawn
    support_plot(summary, tmp_path / "again.png")
    assert (tmp_path / "rmse.png").read_bytes() == (tmp_path / "again.png").read_bytes()


def test_one_method_one_panel_and_a_gap(summarise, tmp_path):
    one = summarise({"meta/ridge": (1.0, 0.9)}, synthetic=True)
    one["test"]["user-cold"]["3"]["meta/ridge"]["rmse"] = {"value": None, "ci95": None, "n": 3}
    support_plot(one, tmp_path / "a.png")
    support_plot(one, tmp_path / "b.png", "mae")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_the_oracle_of_a_ranking_is_named_not_drawn(summarise, tmp_path, monkeypatch):
    seen = []
    write = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda figure, *args, **more: (seen.append(figure), write(figure, *args, **more))
    )
    found = summarise({"meta/ials": (0.1, 0.2), "baseline/oracle": (1.0, 1.0)}, protocol="full", paired={})
    support_plot(found, tmp_path / "a.png")
    (axes,) = seen[0].axes
    assert len(axes.lines) == 1
    assert axes.get_xlabel() == "known interactions"
    assert "oracle" in seen[0].get_supxlabel()
    assert seen[0].get_supxlabel().endswith(", not drawn")


def test_bad_values_leave_the_frame():
    class Axes:
        def set_ylim(self, low, high):
            self.limits = low, high

    axes = Axes()
    good = {f"m{i}": [(0.9 + 0.01 * i, 0.01)] * 3 for i in range(5)}
    bad = {"wild": [(0.9, 0.1), (1e6, 1.0), (0.9, 0.1)], "broken": [(float("nan"), float("nan"))] * 3}
    assert _cut(axes, good | bad, 1) == ["wild", "broken"]
    assert axes.limits[0] < 0.9 - 0.01
    assert 0.94 <= axes.limits[1] < 1.1
    assert _cut(axes, bad, 1) == ["broken"] or axes.limits


def test_styles_tell_methods_apart(summary):
    methods = list(summary["test"]["user-cold"]["0"])
    styles = _styles(methods, "baseline/ridge", "meta/ridge")
    looks = {(s["color"], str(s.get("linestyle")), s.get("marker")) for s in styles.values()}
    assert len(looks) == len(methods)
    assert styles["meta/ridge"]["linewidth"] > styles["meta/maml"]["linewidth"]


def test_a_folder_that_cannot_be_written(summary, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MetarunError, match=r"paths\.outputs"):
        support_plot(summary, tmp_path / "file" / "rmse.png")
