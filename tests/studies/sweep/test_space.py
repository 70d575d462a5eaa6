"""The settings of a sweep are those that the text describes, and no others."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment
from cnn_jax.studies.sweep import space


def parsed(text: str) -> list[space.Dimension]:
    return space.parse_dimensions(text, Experiment())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pooling=true,false", [{"model.pooling": True}, {"model.pooling": False}]),
        ("optimizer=adam|sgd", [{"optimizer": "adam"}, {"optimizer": "sgd"}]),
        ("widths=4,8", [{"model.widths": (4, 8)}]),
        (" model.widths = 4,8 | 16 ; ", [{"model.widths": (4, 8)}, {"model.widths": (16,)}]),
        ("model=dense,cnn; widths=8", [{"model": m, "model.widths": (8,)} for m in ("dense", "cnn")]),
        ("optimizer.decay=0.5:0.9:lin2", [{"optimizer.decay": 0.5}, {"optimizer.decay": 0.9}]),
        ("learning_rate=1e-4:1e-2:log5", [{"learning_rate": x} for x in (0.0001, 0.0003162, 0.001, 0.003162, 0.01)]),
        ("learning_rate=0.1:0.2:lin3", [{"learning_rate": x} for x in (0.1, 0.15, 0.2)]),
        ("learning_rate=1:2:lin2", [{"learning_rate": 1.0}, {"learning_rate": 2.0}]),
        ("batch_size=16:256:log3", [{"batch_size": 16}, {"batch_size": 64}, {"batch_size": 256}]),
        ("batch_size=1:3:lin9", [{"batch_size": 1}, {"batch_size": 2}, {"batch_size": 3}]),
        ("train_examples=100,none", [{"train_examples": 100}, {"train_examples": None}]),
        (
            "epochs=1,2;dtype=bfloat16,float32",
            [{"epochs": e, "dtype": d} for e in (1, 2) for d in ("bfloat16", "float32")],
        ),
    ],
)
def test_grid_is_what_the_text_says(text: str, expected: list[dict]) -> None:
    assert space.grid(parsed(text)) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (" ; ", "names no field"),
        ("pooling", "must be FIELD=VALUES"),
        ("learning_rat=1", "no chosen part has such a setting. Did you mean --learning_rate?"),
        ("model.width=1", "the model cnn has no setting width. It has widths, kernel_size, pooling"),
        ("model=dense; pooling=true", "no chosen part has such a setting"),
        ("widths=4,8|none", "model.widths=none: must be a whole number"),
        ("epochs=1; epochs=2", "epochs is named twice"),
        ("epochs=1,1", "epochs: 1 is named twice"),
        ("epochs=", "epochs: names no value"),
        ("epochs=1.5", "epochs=1.5: must be a whole number"),
        ("epochs=1,,2", "must be a whole number"),
        ("epochs=0", "--epochs=0: must be at least 1"),
        ("optimizer=sgd,adan", "--optimizer=adan: no such optimizer. Did you mean adam?"),
        ("learning_rate=1e-2:1e-4:log5", "the range is empty: 0.01 is not below 0.0001"),
        ("learning_rate=1e-2:1e-2:log5", "is empty"),
        ("learning_rate=1e-4:1e-2:log1", "must have between 2 and 10,000 points"),
        ("learning_rate=1e-4:1e-2:log10001", "must have between 2 and 10,000 points"),
        ("learning_rate=0:1:log3", "must be above 0"),
        ("learning_rate=1:inf:lin3", "must be a finite number"),
        ("learning_rate=1e-4:1e-2", "a range is LOW:HIGH:logN"),
        ("learning_rate=1e-4:1e-2:5", "a range is LOW:HIGH:logN"),
        ("learning_rate=1e-4:1e-2:log", "give the number of points"),
        ("train_examples=none:5:lin2", "an end of a range must be a finite number"),
        (f"train_examples=1:{'9' * 400}:lin2", "an end of a range must be a finite number"),
        ("pooling=0:1:lin2", "only numbers have ranges"),
        ("seed=1,2", "use --seeds"),
        ("dataset=mnist,kmnist", "would be scored on different images"),
        ("task=plain,permuted", "would be scored on different images"),
        ("validation_examples=1,2", "would be scored on different images"),
        ("epochs=1:200:lin200; batch_size=1:200:lin200", "40,000 combinations"),
    ],
)
def test_text_that_breaks_the_grammar_is_an_error_in_one_line(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        space.grid(parsed(text))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "samples", "said"),
    [
        ("epochs=1,2", 0, "--samples=0: must be between 1 and 10,000"),
        ("epochs=1,2; pooling=true,false", 5, "--samples=5: there are only 4 combinations"),
        ("epochs=1:3:lin", 4, "only 3 different settings were found"),
    ],
)
def test_more_samples_than_there_are_settings_are_refused(text: str, samples: int, said: str) -> None:
    with pytest.raises(InputError, match=said):
        space.random_search(parsed(text), samples, seed=0)


ENDS = st.floats(1e-12, 1e12)


@pytest.mark.slow
@given(ENDS, ENDS, st.sampled_from(["log", "lin"]), st.integers(2, 50))
def test_points_of_a_range_go_up_from_its_low_end_to_its_high_end(one: float, other: float, scale: str, n: int) -> None:
    low, high = sorted([one, other])
    if low == high:
        return
    [dimension] = parsed(f"learning_rate={low!r}:{high!r}:{scale}{n}")
    points = [setting["learning_rate"] for setting in space.grid([dimension])]
    assert (points[0], points[-1], points) == (low, high, sorted(set(points)))
    assert 2 <= len(points) <= n
    for point in points[1:-1]:
        assert point == float(f"{point:.4g}") or point in (low, high)
    assert all(Experiment().vary(learning_rate=point) for point in points)


@given(ENDS, st.floats(1.5, 1e6), st.integers(0, 2**32 - 1))
def test_random_settings_are_reproducible_within_the_range_and_can_be_extended(
    low: float, span: float, seed: int
) -> None:
    dimensions = parsed(f"learning_rate={low!r}:{low * span!r}:log; pooling=true,false; batch_size=1:1000:lin")
    settings = space.random_search(dimensions, 20, seed)
    assert settings == space.random_search(dimensions, 20, seed)
    assert settings[:7] == space.random_search(dimensions, 7, seed)
    assert len({tuple(setting.values()) for setting in settings}) == 20
    for setting in settings:
        assert low <= setting["learning_rate"] <= low * span
        assert 1 <= setting["batch_size"] <= 1000 and type(setting["batch_size"]) is int


def test_as_many_samples_as_combinations_are_all_of_them() -> None:
    dimensions = parsed("epochs=1,2,3; pooling=true,false")
    drawn = space.random_search(dimensions, 6, seed=4)
    assert sorted(drawn, key=space.setting_words) == sorted(space.grid(dimensions), key=space.setting_words)


def test_random_values_of_a_logarithmic_range_are_uniform_in_the_logarithm() -> None:
    drawn = space.random_search(parsed("learning_rate=1e-4:1:log"), 400, seed=0)
    logarithms = [math.log10(setting["learning_rate"]) for setting in drawn]
    assert [sum(low <= x < low + 1 for x in logarithms) for low in (-4, -3, -2, -1)] == pytest.approx([100] * 4, abs=30)
