"""Loops and branches, compared with live MXNet: nested, capturing, and of no step at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from oracle import Network

from gluonserve.loader.importing import InputHint, import_model

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.mxnet


def drawn(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, shape).astype("float32")


def number(value: float) -> np.ndarray:
    return np.array([value], np.float32)


def grouped(*parts: object) -> object:
    """One symbol of everything that loops answer, lists of lists as they come."""
    import mxnet as mx  # noqa: PLC0415

    flat: list[object] = []
    for part in parts:
        flat.extend(part if isinstance(part, (list, tuple)) else [part])
    return mx.sym.Group(flat)


def test_foreach_with_states_and_captures_at_several_lengths() -> None:
    import mxnet as mx  # noqa: PLC0415

    data, state, seen = mx.sym.var("data"), mx.sym.var("state"), mx.sym.var("seen")
    weight = mx.sym.var("weight")

    def step(row: object, states: object) -> tuple[object, object]:
        mixed = mx.sym.FullyConnected(row + seen, weight, no_bias=True, num_hidden=4)
        renewed = mx.sym.tanh(mixed + states)
        return [renewed * 2, mx.sym.sum(renewed, axis=1)], renewed

    outputs, final = mx.sym.contrib.foreach(step, data, state)
    examples = {"data": drawn(0, 3, 2, 4), "state": drawn(1, 2, 4), "seen": drawn(2, 2, 4)}
    network = Network(grouped(outputs, final), examples, {"weight": drawn(3, 4, 4)})

    for steps, rows in ((3, 2), (1, 1), (8, 3)):
        network.check(
            {
                "data": drawn(4, steps, rows, 4),
                "state": drawn(5, rows, 4),
                "seen": drawn(6, rows, 4),
            }
        )


def test_foreach_over_several_tensors_and_states() -> None:
    import mxnet as mx  # noqa: PLC0415

    names = ("a", "b", "s", "t")
    a, b, s, t = (mx.sym.var(name) for name in names)

    def step(rows: Sequence[object], states: Sequence[object]) -> tuple[object, object]:
        return rows[0] * states[0] + rows[1], [states[1] + rows[0], states[0] - rows[1]]

    outputs, finals = mx.sym.contrib.foreach(step, [a, b], [s, t])
    examples = {
        "a": drawn(0, 4, 3), "b": drawn(1, 4, 3), "s": drawn(2, 3), "t": drawn(3, 3),
    }  # fmt: skip

    Network(grouped(outputs, finals), examples).check()


def test_foreach_over_a_vector_takes_rows_of_one() -> None:
    import mxnet as mx  # noqa: PLC0415

    data, state = mx.sym.var("data"), mx.sym.var("state")
    outputs, final = mx.sym.contrib.foreach(lambda x, s: (x * s, x + s), data, state)

    Network(grouped(outputs, final), {"data": drawn(0, 5), "state": number(2)}).check()


def test_foreach_that_answers_only_states() -> None:
    import mxnet as mx  # noqa: PLC0415

    data, state = mx.sym.var("data"), mx.sym.var("state")
    outputs, final = mx.sym.contrib.foreach(lambda x, s: ([], [x + s[0]]), data, [state])

    Network(grouped(outputs, final), {"data": drawn(0, 5, 2), "state": drawn(1, 2)}).check()


def test_loops_within_loops() -> None:
    import mxnet as mx  # noqa: PLC0415

    data, state, seen = mx.sym.var("data"), mx.sym.var("state"), mx.sym.var("seen")

    def inner(row: object, states: object) -> tuple[object, object]:
        return row * states + seen, states + row

    def outer(rows: object, states: object) -> tuple[object, object]:
        outputs, final = mx.sym.contrib.foreach(inner, rows, states)
        return mx.sym.sum(outputs, axis=0), final * 0.5

    outputs, final = mx.sym.contrib.foreach(outer, data, state)
    network = Network(
        grouped(outputs, final),
        {"data": drawn(0, 3, 2, 4), "state": drawn(1, 4), "seen": drawn(2, 4)},
    )

    for steps, more in ((3, 2), (1, 5)):
        network.check({"data": drawn(3, steps, more, 4)})


@pytest.mark.parametrize("layout", ["NTC", "TNC"])
def test_unrolling_a_cell_for_any_length_from_unknown_begin_states(layout: str) -> None:
    import mxnet as mx  # noqa: PLC0415
    from mxnet.gluon.contrib.rnn.rnn_cell import dynamic_unroll  # noqa: PLC0415

    cell = mx.gluon.rnn.LSTMCell(5, input_size=3)
    cell.initialize(mx.init.Uniform(0.5))
    begin = [mx.sym.var("h"), mx.sym.var("c")]
    outputs, states = dynamic_unroll(
        cell, mx.sym.var("data"), begin, layout=layout, valid_length=mx.sym.var("ends")
    )
    stored = {name: value.data().asnumpy() for name, value in cell.collect_params().items()}

    def given(steps: int, rows: int) -> dict[str, np.ndarray]:
        shape = (rows, steps, 3) if layout == "NTC" else (steps, rows, 3)
        ends = np.random.default_rng(steps).integers(1, steps + 1, rows)
        return {
            "data": drawn(steps, *shape), "h": drawn(1, rows, 5), "c": drawn(2, rows, 5),
            "ends": ends.astype(np.float32),
        }  # fmt: skip

    network = Network(grouped(outputs, states), given(4, 2), stored)

    for steps, rows in ((4, 2), (1, 1), (6, 3)):
        network.check(given(steps, rows))


def counting_loop(most: int) -> object:
    """Counts up to a limit; each step answers its number and a growing sum."""
    import mxnet as mx  # noqa: PLC0415

    count, total, limit = mx.sym.var("count"), mx.sym.var("total"), mx.sym.var("limit")
    outputs, finals = mx.sym.contrib.while_loop(
        cond=lambda i, s: i < limit,
        func=lambda i, s: ([i * 2, s + i], [i + 1, s + mx.sym.broadcast_add(s, i)]),
        loop_vars=[count, total],
        max_iterations=most,
    )
    return grouped(outputs, finals)


@pytest.mark.parametrize("limit", [0, 1, 3, 7, 9])
def test_while_loop_fills_with_zeros_what_it_does_not_reach(limit: int) -> None:
    most = 7
    network = Network(
        counting_loop(most), {"count": number(0), "total": drawn(0, 1), "limit": number(limit)}
    )
    steps = min(limit, most)

    wanted = network.ask(network.data) if steps else ()

    for run in network.engines.values():
        answers = run(network.data)
        for rows, known in zip(answers[:2], wanted[:2], strict=bool(steps)):
            np.testing.assert_allclose(rows[:steps], known[:steps], rtol=1e-5)
        for rows in answers[:2]:
            assert rows.shape == (most, 1)
            assert not rows[steps:].any()
        for final, known in zip(answers[2:], wanted[2:], strict=bool(steps)):
            np.testing.assert_allclose(final, known, rtol=1e-5)
        if not steps:
            np.testing.assert_array_equal(answers[3], network.data["total"])


def test_while_loop_over_matrices_with_captured_weights() -> None:
    import mxnet as mx  # noqa: PLC0415

    count, rows = mx.sym.var("count"), mx.sym.var("rows")
    weight, seen = mx.sym.var("weight"), mx.sym.var("seen")

    def step(i: object, x: object) -> tuple[object, object]:
        mixed = mx.sym.FullyConnected(x, weight, no_bias=True, num_hidden=3)
        renewed = mx.sym.tanh(mixed) + seen
        return renewed, [i + 1, renewed]

    outputs, finals = mx.sym.contrib.while_loop(
        cond=lambda i, x: i < 4, func=step, loop_vars=[count, rows], max_iterations=4
    )
    network = Network(
        grouped(outputs, finals),
        {"count": number(0), "rows": drawn(0, 2, 3), "seen": drawn(1, 2, 3)},
        {"weight": drawn(2, 3, 3)},
    )

    network.check()
    network.check({"rows": drawn(3, 5, 3), "seen": drawn(4, 5, 3)})


@pytest.mark.parametrize("value", [-1, 0, 1])
def test_branches_with_captures(value: int) -> None:
    import mxnet as mx  # noqa: PLC0415

    test, data, weight = mx.sym.var("test"), mx.sym.var("data"), mx.sym.var("weight")
    outputs = mx.sym.contrib.cond(
        test > 0,
        lambda: [mx.sym.FullyConnected(data, weight, no_bias=True, num_hidden=3), data + 1],
        lambda: [mx.sym.tanh(data), data * 3],
    )
    network = Network(
        grouped(outputs),
        {"test": number(value), "data": drawn(0, 2, 3)},
        {"weight": drawn(1, 3, 3)},
    )

    network.check()
    network.check({"data": drawn(2, 4, 3)})


def test_loops_within_branches_within_branches() -> None:
    import mxnet as mx  # noqa: PLC0415

    test, data, state = mx.sym.var("test"), mx.sym.var("data"), mx.sym.var("state")

    def looped() -> object:
        return mx.sym.contrib.foreach(lambda x, s: (x * s, x - s), data, state)[0]

    def branched() -> object:
        return mx.sym.contrib.cond(test > -1, lambda: data * 2, lambda: mx.sym.tanh(data))

    outputs = mx.sym.contrib.cond(test > 0, looped, branched)
    network = Network(
        grouped(outputs), {"test": number(1), "data": drawn(0, 4, 3), "state": drawn(1, 3)}
    )

    for value in (1, -0.5, -2):
        network.check({"test": number(value)})
    network.check({"data": drawn(2, 6, 3)})


def test_loops_within_while_loops() -> None:
    import mxnet as mx  # noqa: PLC0415

    data, state, count = mx.sym.var("data"), mx.sym.var("state"), mx.sym.var("count")

    def step(i: object, x: object) -> tuple[object, object]:
        _, final = mx.sym.contrib.foreach(lambda row, s: (s, mx.sym.tanh(s) + row), data, x)
        return final, [i + 1, final]

    outputs, finals = mx.sym.contrib.while_loop(
        cond=lambda i, x: i < 3, func=step, loop_vars=[count, state], max_iterations=3
    )
    network = Network(
        grouped(outputs, finals),
        {"data": drawn(0, 4, 3), "state": drawn(1, 3), "count": number(0)},
    )

    network.check()
    network.check({"data": drawn(2, 2, 3)})


def test_what_a_loop_goes_through_and_what_a_branch_depends_on_is_not_batched() -> None:
    import mxnet as mx  # noqa: PLC0415

    data, state = mx.sym.var("data"), mx.sym.var("state")
    looped, _ = mx.sym.contrib.foreach(lambda x, s: (x + s, x + s), data, state)
    branched = mx.sym.contrib.cond(mx.sym.sum(data) > 0, lambda: data + 1, lambda: data - 1)

    shapes = {"data": InputHint(shape=(-1, 3)), "state": InputHint(shape=(3,))}
    through = import_model(looped.tojson().encode(), inputs=shapes)
    chosen = import_model(branched.tojson().encode(), inputs={"data": shapes["data"]})

    assert not through.signature.batchable
    assert not chosen.signature.batchable
