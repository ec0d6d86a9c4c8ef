"""Comments that are a schema: their grammar, and where they stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from metarun import schema
from metarun.errors import MetarunError
from metarun.schema import Field, problem, split


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        ("int >= 1; width", ("int >= 1", "width")),
        ("null|int>=1 ;  threads; or none", ("null | int>=1", "threads; or none")),
        ("users | time; what a round brings", ("users | time", "what a round brings")),
        ("list of float > 0; rates", ("list of float > 0", "rates")),
        ("just help", ("", "just help")),
        ("two words; are no spec", ("", "two words; are no spec")),
    ],
)
def test_comment_is_a_spec_and_help(comment: str, expected: tuple[str, str]) -> None:
    assert split(comment) == expected


@pytest.mark.parametrize(
    ("spec", "good", "bad"),
    [
        ("int >= 1", [1, 10**9], [0, 1.0, "1", True, None]),
        ("float > 0", [1, 0.5, 1e-9], [0, -1.0, float("nan"), "x", True]),
        ("float 0..1", [0, 1, 0.5], [1.1, -0.1]),
        ("int < 3", [2, -5], [3]),
        ("null | int >= 1", [None, 1], [0, "null"]),
        ("a | b | 3", ["a", "b", 3], ["c", None, 4]),
        ("bool", [True, False], [0, "true"]),
        ("str", ["", "x"], [1, None]),
        ("list", [[], [1, "a"]], [(), {}, "a"]),
        ("dict", [{}, {"a": 1}], [[], None]),
        ("list of int >= 0", [[], [0, 1]], [[-1], [0.5], 3]),
        ("nonempty list of int >= 0", [[0], [0, 1]], [[], [-1], ["a"], 3]),
        ("", [None, 1, "a", []], []),
    ],
)
def test_values_against_specs(spec: str, good: list[object], bad: list[object]) -> None:
    assert [value for value in good if problem(spec, value)] == []
    assert [value for value in bad if problem(spec, value) is None] == []


TEXT = """\
# metarun backbone=x
# A file.
_target_: mylab.X
plain: 1
rate: 1e-3  # float > 0; with # inside
quoted: "a # b"  # str; a text
empty:  # null | int; none
flow: [1, 2]  # list; two
nested:  # a section
  inner: 0.5  # float 0..1; a share
  deeper: {a: true, b: x}
grid:  # dict; open
  anything: [1]
chosen: ${oc.select:dataset.tuned.x.chosen,3}
"""


def test_fields_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "backbone").mkdir()
    (tmp_path / "backbone" / "x.yaml").write_text(TEXT, encoding="utf-8")
    monkeypatch.setenv("METARUN_CONF", str(tmp_path))
    fields = schema.schema("backbone/x")
    assert fields[1:] == [
        Field("plain", 1, "int", ""),
        Field("rate", 0.001, "float > 0", "with # inside"),
        Field("quoted", "a # b", "str", "a text"),
        Field("empty", None, "null | int", "none"),
        Field("flow", [1, 2], "list", "two"),
        Field("nested.inner", 0.5, "float 0..1", "a share"),
        Field("nested.deeper.a", True, "bool", ""),
        Field("nested.deeper.b", "x", "str", ""),
        Field("grid", {"anything": [1]}, "dict", "open"),
        Field("chosen", "${oc.select:dataset.tuned.x.chosen,3}", "int", ""),
    ]
    (tmp_path / "backbone" / "x.yaml").write_text("plain: 2\n", encoding="utf-8")
    assert schema.schema("backbone/x") == [Field("plain", 2, "int", "")]


def test_broken_yaml_names_file_and_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "backbone").mkdir()
    (tmp_path / "backbone" / "x.yaml").write_text("a: 1\nb: [1\n", encoding="utf-8")
    monkeypatch.setenv("METARUN_CONF", str(tmp_path))
    with pytest.raises(MetarunError, match=r"x\.yaml: line 3"):
        schema.schema("backbone/x")
