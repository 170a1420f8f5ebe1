"""Which axes count rows, told from shapes, settings and what operators couple."""

from __future__ import annotations

from gluonserve.loader.axes import BATCH, batch_facts
from gluonserve.loader.hints import InputHint
from gluonserve.loader.lowering.dims import free

ROWS = free(BATCH)


def shape(name: str, *sizes: int | None) -> tuple[object, ...]:
    return tuple(free(f"{name}_{at}") if size is None else size for at, size in enumerate(sizes))


def test_axis_0_of_every_input_counts_rows() -> None:
    shapes = {"a": shape("a", None, 3), "b": shape("b", None)}

    assert batch_facts(shapes, {}) == {"a_0": ROWS, "b_0": ROWS}


def test_only_one_input_counts_rows_where_they_stand_apart_unless_settings_name_others() -> None:
    shapes = {"a": shape("a", None, 3), "b": shape("b", None), "c": (free("b_0"),)}
    said = {"a": InputHint(batch_axis=0)}

    assert batch_facts(shapes, {}, apart=True) == {"b_0": ROWS}
    assert batch_facts(shapes, said, apart=True) == {"a_0": ROWS}


def test_a_tie_to_lengths_decides_for_the_second_axis() -> None:
    shapes = {"data": shape("data", None, None, 3), "ends": (free("data_1"),)}

    assert batch_facts(shapes, {}, coupled={"data_0"}) == {"data_1": ROWS}


def test_a_coupled_axis_counts_rows_only_if_settings_say_so() -> None:
    shapes = {"data": shape("data", None, None, 3)}
    said = {"data": InputHint(batch_axis=0)}

    assert batch_facts(shapes, {}, coupled={"data_0"}) == {}
    assert batch_facts(shapes, said, coupled={"data_0"}) == {"data_0": ROWS}


def test_what_a_recurrent_layer_takes_for_rows_counts_where_nothing_else_does() -> None:
    shapes = {"data": shape("data", None, None, 3)}
    none = {"data": InputHint(batch_axis="none")}

    assert batch_facts(shapes, {}, {"data_0"}, {"data_1"}) == {"data_1": ROWS}
    assert batch_facts(shapes, {}, set(), {"data_1"}) == {"data_0": ROWS}
    assert batch_facts(shapes, {}, {"data_0", "data_1"}, {"data_1"}) == {}
    assert batch_facts(shapes, none, {"data_0"}, {"data_1"}) == {}
