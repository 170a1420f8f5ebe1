"""MXNet 1.9.1's operator table: canonical names, aliases, inputs, attributes and their defaults."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

RENAMED: Mapping[str, str] = MappingProxyType(
    {
        "_npx_cond": "_cond",
        "_npx_deformable_convolution": "_contrib_DeformableConvolution",
        "_npx_foreach": "_foreach",
        "_npx_modulated_deformable_convolution": "_contrib_ModulatedDeformableConvolution",
        "_npx_while_loop": "_while_loop",
    }
)
"""Names that MXNet 2.0 gave to operators of 1.9 without changing them."""
_PREFIXES_2_0 = {"_npi_": "_np_", "_sg_onednn_": "_sg_mkldnn_"}


@dataclass(frozen=True, slots=True)
class AttributeSchema:
    """MXNet's own words for an attribute's type, and its default as text; None if required."""

    type: str
    default: str | None


@dataclass(frozen=True, slots=True)
class OperatorSchema:
    """One operator; ``variadic`` names the attribute that counts inputs, if there is one."""

    name: str
    aliases: tuple[str, ...]
    inputs: tuple[str, ...]
    attributes: Mapping[str, AttributeSchema]
    variadic: str | None


@functools.cache
def operators() -> Mapping[str, OperatorSchema]:
    """Every operator of MXNet 1.9.1 by its canonical name."""
    text = resources.files("gluonserve.loader").joinpath("operators.json").read_text("utf-8")
    return MappingProxyType(
        {
            name: OperatorSchema(
                name=name,
                aliases=tuple(entry.get("aliases", ())),
                inputs=tuple(entry.get("inputs", ())),
                attributes=MappingProxyType(
                    {
                        attribute: AttributeSchema(described[0], *described[1:] or (None,))
                        for attribute, described in entry.get("attributes", {}).items()
                    }
                ),
                variadic=entry.get("variadic"),
            )
            for name, entry in json.loads(text).items()
        }
    )


@functools.cache
def _canonical_names() -> Mapping[str, str]:
    table = operators()
    aliases = {alias: name for name, schema in table.items() for alias in schema.aliases}
    return {**RENAMED, **aliases, **{name: name for name in table}}


def canonical(op: str) -> str:
    """MXNet 1.9.1's own name of an operator; unknown names come back as they are."""
    names = _canonical_names()
    if op in names:
        return names[op]
    for new, old in _PREFIXES_2_0.items():
        if op.startswith(new) and (known := names.get(old + op.removeprefix(new))):
            return known
    return op
