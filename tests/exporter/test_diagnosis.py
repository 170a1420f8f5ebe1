"""``diagnose``: the right code at the right child, and nothing where nothing is wrong."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import odd_networks as odd
import pytest
from mxnet.gluon import nn

from gluonserve_export import KINDS, diagnose

pytestmark = pytest.mark.mxnet


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@dataclass
class Case:
    name: str
    make: Any
    expected: tuple = ()
    inputs: tuple = ((3, 4),)
    line: str = ""
    initialize: bool = True
    run: bool = True

    def __str__(self):
        return self.name


FINE = [
    Case("residual", odd.Fine),
    Case("convolutional", odd.fine_sequential, inputs=((2, 3, 8, 8),)),
    Case("loop", odd.FineLoop, inputs=((3, 2, 4),)),
    Case("registered_list", odd.FineIndexed),
    Case("nested_outputs", odd.FineOutputs),
    Case("lstm", odd.fine_recurrent, inputs=((3, 2, 4),)),
    Case("dense", lambda: nn.Dense(3)),
    Case("lambda", lambda: nn.HybridLambda("relu")),
]

BROKEN = [
    Case("plain", odd.Plain, (("plain-block", ""),)),
    Case("in_sequential", odd.InSequential, (("plain-block", ""), ("sequential", "layers"))),
    Case("sequential", odd.sequential, (("sequential", ""),)),
    Case("sequential_of_plain", odd.sequential_of_plain, (("plain-block", "1"),)),
    Case("nested_sequential", odd.nested_sequential, (("sequential", ""), ("sequential", "0"))),
    Case(
        "plain_child_of_hybrid",
        odd.HybridWithPlainChild,
        (("plain-child-of-hybrid", ""),),
        line="self.body = nn.Sequential()",
    ),
    Case("list", odd.InList, (("hidden-blocks", ""),)),
    Case("dictionary", odd.InDictionary, (("hidden-blocks", ""),)),
    Case("hidden_in_child", odd.Holder, (("hidden-blocks", "inner"),)),
    Case("clash", odd.Clash, (("name-clash", "two"),), run=False, initialize=False),
    Case("overridden", odd.Overridden, (("overridden-forward", ""),)),
    Case("shape", odd.UsesShape, (("hybrid-shape", ""),), line="x.shape[0]"),
    Case("type", odd.UsesType, (("hybrid-attribute", ""),), line="x.dtype"),
    Case("reads_parameter", odd.ReadsParameter, (("hybrid-value", ""),), line="scale.asnumpy()"),
    Case("by_parameter", odd.BranchesOnParameter, (("hybrid-branch", ""),), line="if scale"),
    Case("reads_value", odd.ReadsValue, (("value-read", ""),), line="asscalar()"),
    Case("branches", odd.Branches, (("value-branch", ""),), line="if x.sum() > 0:"),
    Case("nd", odd.UsesNd, (("hybrid-nd", ""),), line="nd.relu(x)"),
    Case("constant", odd.AddsConstant, (("hybrid-nd", ""),), line="nd.array"),
    Case("in_place", odd.AddsInPlace, (("hybrid-assignment", ""),), line="y += 1"),
    Case("part", odd.AssignsPart, (("hybrid-assignment", ""),), line="y[:, 0:2] = 0"),
    Case("row", odd.IndexesRow, (("hybrid-differs", ""), ("mixed-rows", "")), line="return y[0]"),
    Case("columns", odd.IndexesColumns, (("hybrid-fails", ""),), line="y[:, 1:3]"),
    Case("rows_of", odd.ReadsRow, (("hybrid-fails", ""), ("mixed-rows", "")), line="return y[1:3]"),
    Case("in_object", odd.InObject, (("hidden-blocks", ""),)),
    Case(
        "elsewhere",
        odd.CallsElsewhere,
        (("plain-block", ""), ("hidden-blocks", "")),
        line="return ELSEWHERE(x) * 2",
    ),
    Case("lambda_in_sequential", odd.with_lambda, (("plain-block", "1"),), line="nn.Lambda(lambda"),
    Case("concurrent", odd.with_concurrent, (("plain-block", ""),)),
    Case("counter", odd.CountsCalls, (("random", ""),), line="* self.calls"),
    Case("unseen", odd.Unseen, (("plain-block", ""), ("not-proven", "")), line="doubled(x) + x"),
    Case("all_unseen", odd.AllUnseen, (("plain-block", ""), ("constant", ""))),
    Case("ignored", odd.IgnoresInput, (("unused-input", ""),), inputs=((3, 1), (3, 4))),
    Case("loops_over_rows", odd.LoopsOverRows, (("plain-block", ""), ("fixed-dimension", "")),
         line="for row in x"),
    Case("deep", odd.DeepDefect, (("hybrid-shape", "outer.1"),)),
    Case("two", odd.TwoDefects, (("hybrid-assignment", ""), ("hybrid-shape", "child"))),
    Case("unused", odd.Unused, (("unused", "auxiliary"),)),
    Case("shared", odd.Shared, (("shared", "one"),)),
    Case("custom", odd.Custom, (("custom-operator", ""),)),
    Case(
        "unsupported", odd.Unsupported, (("unsupported-operator", ""),), inputs=((4, 5, 3),)
    ),
    Case(
        "tree",
        odd.StructureByValue,
        (("plain-block", ""), ("value-branch", "")),
        inputs=((3, 4), (1,)),
        line="if children.max() > 0:",
    ),
    Case("count", odd.CountsByValue, (("plain-block", ""), ("value-read", "")), line="asscalar"),
    Case("state", odd.KeepsState, (("plain-block", ""), ("state-written", "")), line="count += 1"),
    Case("view", odd.WritesView, (("plain-block", ""), ("view-written", "")), line="first[:] = 0"),
    Case("scale", odd.ScalesByShape, (("plain-block", ""), ("fixed-dimension", "")), line="** 0.5"),
    Case("rows", odd.CountsRows, (("plain-block", ""), ("fixed-dimension", "")), line="x.shape[0]"),
    Case("mixed", odd.MixesRows, (("mixed-rows", ""),)),
    Case("random", odd.Random, (("plain-block", ""), ("random", "")), line="nd.random.normal"),
    Case("raises", odd.Raises, (("plain-block", ""), ("forward-fails", "")), line="nd.dot(x, x)",
         run=False),
    Case("text", odd.AnswersText, (("plain-block", ""), ("not-arrays", ""))),
    Case("empty", lambda: nn.Dense(3), (("uninitialised", ""),), initialize=False, run=False),
    Case("deferred", lambda: nn.Dense(3), (("deferred", ""),), run=False),
    Case("flattened", odd.FlattensByHand, (("plain-block", ""),), inputs=((2, 3, 5, 4),)),
]  # fmt: skip


def diagnosed(case):
    inputs = [odd.rows(*shape) for shape in case.inputs]
    if case.name == "plain_child_of_hybrid":
        return diagnose(case.make, *inputs)
    net = case.make()
    if case.initialize:
        net.initialize()
    if case.run:
        net(*inputs)
    return diagnose(net, *inputs)


@pytest.mark.parametrize("case", FINE, ids=str)
def test_nothing_is_found_where_nothing_is_wrong(case):
    diagnosis = diagnosed(case)

    assert diagnosis.codes == (), str(diagnosis)
    assert "Nothing found" in str(diagnosis)


@pytest.mark.parametrize("case", BROKEN, ids=str)
def test_finding_has_its_code_at_its_child(case):
    diagnosis = diagnosed(case)

    found = sorted({(finding.code, finding.path) for finding in diagnosis.findings})
    assert found == sorted(case.expected), str(diagnosis)


@pytest.mark.parametrize("case", [case for case in BROKEN if case.line], ids=str)
def test_finding_names_the_line(case):
    diagnosis = diagnosed(case)

    codes = [finding.where.code for finding in diagnosis.findings if finding.where]
    assert any(case.line in code for code in codes), codes


def test_every_kind_of_finding_has_a_network():
    shown = {code for case in BROKEN for code, _ in case.expected}

    assert set(KINDS) - shown == set()


def test_hybrid_form_of_a_plain_block_is_named():
    (finding,) = diagnose(odd.with_concurrent()).findings[:1]

    assert "HybridConcurrent" in finding.what


def test_attribute_that_every_call_sets_is_named():
    findings = diagnose(odd.CountsCalls(), odd.rows(3, 4)).findings

    assert [one.what for one in findings if one.code == "random"] == [
        "two runs on the sample gave different outputs; each sets calls"
    ]


def test_unused_input_is_named():
    diagnosis = diagnose(odd.IgnoresInput(), odd.rows(3, 1), odd.rows(3, 4))

    assert [one.what for one in diagnosis.findings] == ["data0 changes no output"]


def test_error_that_only_shows_when_values_are_awaited_is_the_networks(capfd):
    net = nn.Dense(3, in_units=4, dtype="float16")  # MXNet has no such product on CPUs
    net.initialize()

    (finding,) = diagnose(net, odd.rows(2, 4).astype("float16")).findings

    assert finding.code == "forward-fails"
    assert "float16" in finding.what
    assert "Traceback" not in finding.what


def test_diagnosis_prints_nothing(capfd):
    net = odd.CountsRows()

    diagnose(net, odd.rows(3, 4))

    assert capfd.readouterr().out == ""


def test_diagnosis_without_samples_runs_nothing():
    net = odd.InSequential()

    codes = set(diagnose(net).codes)

    assert codes == {"plain-block", "sequential", "uninitialised"}


def test_hidden_blocks_are_named_with_attribute_index_and_class():
    net = odd.InDictionary()

    (finding,) = [one for one in diagnose(net).findings if one.code == "hidden-blocks"]

    assert "heads['b'][0] (Dense)" in finding.what
    assert "dict" in finding.what


def test_tree_shows_findings_at_their_children():
    net = odd.DeepDefect()
    net.initialize()
    net(odd.rows(3, 4))

    lines = str(diagnose(net, odd.rows(3, 4))).splitlines()

    child = next(at for at, line in enumerate(lines) if "1: UsesShape (hybrid)" in line)
    assert "hybrid-shape" in lines[child + 1]
    assert "Fix: " in "".join(lines[child:])
    assert "export_model exports it as it is" in lines[-1]


def test_diagnosis_leaves_the_network_as_it_was():
    net = odd.InSequential()
    net.initialize()
    x = odd.rows(3, 4)
    expected = net(x).asnumpy()
    net.hybridize()
    before = {key: dict(vars(one)) for key, one in _blocks(net)}

    diagnose(net, x)

    assert {key: dict(vars(one)) for key, one in _blocks(net)} == before
    assert (net(x).asnumpy() == expected).all()


def test_diagnosis_leaves_deferred_parameters_deferred():
    net = nn.Dense(3)
    net.initialize()

    diagnose(net, odd.rows(3, 4))

    assert net.weight._deferred_init


def _blocks(net):
    found = []
    net.apply(lambda block: found.append((id(block), block)))
    return found
