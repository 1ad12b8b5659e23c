from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.errors import OutputError, RequestError
from edgehybrid.exporters import ExportOptions, load_recipe, save_recipe


@given(
    metric=st.sampled_from([None, "accuracy", 'odd "name"\\', "module:function"]),
    max_drop=st.none() | st.floats(0, 10),
    levels=st.integers(1, 5),
    effort=st.sampled_from(["quick", "standard", "thorough"]),
    seed=st.integers(0, 2**31),
    shape=st.dictionaries(st.text("ab.:/é ", min_size=1), st.tuples(st.just("batch"), st.integers(1, 99))),
)
def test_recipe_comes_back(tmp_path_factory: pytest.TempPathFactory, **values: Any) -> None:
    """What is saved is what is loaded, whatever the names."""
    path = tmp_path_factory.mktemp("recipe") / "r.toml"
    options = ExportOptions(**values)
    save_recipe(options, path)

    assert options == load_recipe(path)


def test_command_line_counts_more(tmp_path: Path) -> None:
    """An override wins over the recipe; what belongs to one call is not in it."""
    path = tmp_path / "r.toml"
    save_recipe(ExportOptions(levels=2, seed=7, overwrite=True), path)
    loaded = load_recipe(path, levels=3)

    assert (3, 7, False) == (loaded.levels, loaded.seed, loaded.overwrite)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("levels = [", "no valid TOML"),
        ("colour = 'red'", "colour"),
        ("levels = 'many'", "does not validate"),
        ("schema = 99", "schema 99"),
        ("levels = 9", "levels 9"),
        ("effort = 'none'", "effort"),
    ],
)
def test_bad_recipe_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """A recipe that is no TOML, names what is not there or holds nonsense is refused with its place."""
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(RequestError, match=words):
        load_recipe(path)


def test_missing_recipe_and_bad_place(tmp_path: Path) -> None:
    """Reading from nowhere and writing to nowhere are errors of ours."""
    with pytest.raises(RequestError, match="cannot be read"):
        load_recipe(tmp_path / "none.toml")
    with pytest.raises(OutputError, match="cannot be written"):
        save_recipe(ExportOptions(), tmp_path / "none" / "r.toml")


@pytest.mark.parametrize("values", [{"levels": 0}, {"threads": 0}, {"max_drop": -1.0}, {"calibration": 1.0}])
def test_impossible_options_are_refused(values: dict[str, Any]) -> None:
    """What cannot be is refused when it is said, not after minutes."""
    with pytest.raises(RequestError):
        ExportOptions(**values)
