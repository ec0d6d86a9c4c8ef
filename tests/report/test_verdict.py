from metarun.report.verdict import verdict


def with_pairs(summarise, **differences):
    paired = {
        size[1:]: {"meta/ridge": {"difference": d, "ci95": 0.004, "n": 300, "against": "baseline/ridge"}}
        for size, d in differences.items()
    }
    return verdict(summarise({"meta/ridge": (1, 1)}, paired={"user-cold": paired}))


def test_significant_everywhere(summarise):
    assert with_pairs(summarise, s1=-0.015, s5=-0.011) == (
        "meta/ridge won on validation (movielens/1m); on test its RMSE is significantly below baseline/ridge by "
        ".011 to .015 at support 1 and 5 (paired 95 % intervals over 300 users); "
        "files in outputs/movielens_compare/3fa9c01e."
    )


def test_mixed(summarise):
    words = with_pairs(summarise, s0=0.001, s1=-0.015, s5=0.011)
    assert "below baseline/ridge by .015 at support 1 but significantly above baseline/ridge by .011 at" in words
    assert "with no significant difference at 0 (" in words


def test_nothing_significant(summarise):
    words = with_pairs(summarise, s1=-0.001, s5=0.001)
    assert "its RMSE is not significantly different from baseline/ridge at support 1 and 5" in words


def test_higher_is_better(summarise):
    words = verdict(
        summarise(
            {"meta/ridge": (1, 1)},
            metric="ndcg@10",
            paired={"user-cold": {"1": {"meta/ridge": {"difference": 0.02, "ci95": 0.01, "n": 3}}}},
        )
    )
    assert "its nDCG@10 is significantly above baseline/ridge by .020 at support 1" in words


def test_synthetic_data_is_no_evidence(summarise):
    words = verdict(summarise(synthetic=True, dataset="movielens/sample (synthetic)"))
    assert words.startswith("A plumbing check, not evidence")
    assert "won on validation" not in words


def test_the_reference_itself_won(summarise):
    assert "no strategy did better than the reference itself" in verdict(summarise(winner="baseline/ridge"))


def test_without_a_comparison(summarise):
    assert "baseline/ridge was not judged on the same tasks" in verdict(summarise(paired={}))
    assert verdict(summarise(winner=None)).startswith("Nothing was compared on validation tasks")


def test_without_a_strategy(summarise):
    baselines = {"baseline/bias": 24, "baseline/ridge": 24}
    words = verdict(summarise(winner=None, trials=baselines, validation={"baseline/ridge": 0.95}))
    assert words.startswith("No strategy was chosen in this run (strategy=[]), so none is named; files in")
    diverged = {"winner": None, "trials": {"meta/maml": 1, **baselines}, "validation": {"baseline/ridge": 0.95}}
    assert verdict(summarise(**diverged)).startswith("No strategy has a finite value on all validation tasks")
