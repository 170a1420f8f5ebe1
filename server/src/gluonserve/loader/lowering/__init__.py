"""Lowers MXNet operators to ONNX: one module per family, joined in ``TABLE``.

To add an operator:

1. Find its row in MXNet's schema (``loader/operators.json``) and write a function in the family's
   module under ``@OPS.lowers("Name", ignoring=(...))``: ``op: Emit`` first, then its inputs by
   position (``= None`` where one may be absent, ``*args`` where there are any number), then its
   attributes keyword-only, with MXNet's names and defaults, annotated as their text is read
   (``int``, ``bool``, ``float``, ``Dims``, ``OptDims``, ``Literal[...]``, ``... | None``).
   ``ignoring`` names attributes that cannot change inference, ``without`` inputs that play no part.
2. Write the body as ONNX: ``op.Conv(x, w, kernel_shape=kernel)`` emits a node and answers a
   :class:`Value` with type and symbolic shape; ``op.node(..., outputs=2)`` where there are several.
   Use ``op.reshape``, ``op.cast``, ``op.slice``, ``op.length`` and friends for what depends on
   shapes; say ``op.equate(a, b)`` where the operator demands that two dimensions are the same
   (inputs learn their shapes from it), and ``op.static(dim, "what")`` where a number is needed.
   What is new about the mapping goes into the docstring. Several outputs: answer a tuple.
3. A new family's ``OPS`` goes into ``TABLE`` below; operators that are refused on purpose say why
   with ``OPS.refuses(..., reason=...)``. If inputs of the network feed the operator directly and
   it tells their rank, add it to ``loader/hints.py``.
4. Replay its recorded cases: ``python -m tests.replay Name`` runs them on both engines (with
   ``--free`` with free dimensions, too); then give it live cases in ``tests/conformance``.
"""

from __future__ import annotations

from gluonserve.loader.lowering import (
    activation,
    anchors,
    attention,
    boxes,
    casting,
    control,
    convolution,
    counting,
    creation,
    deformed_rois,
    densities,
    diagonals,
    elementwise,
    factorization,
    fused,
    indexing,
    joining,
    likelihoods,
    linalg,
    normalization,
    numpy_creation,
    numpy_elementwise,
    numpy_linear,
    numpy_reducing,
    numpy_selecting,
    numpy_shaping,
    numpy_spectral,
    numpy_statistics,
    patches,
    pictures,
    pooling,
    products,
    proposals,
    quantization,
    quantized,
    recurrent,
    reducing,
    refusals,
    resizing,
    rois,
    sampling,
    selection,
    sequences,
    shaping,
    special,
)
from gluonserve.loader.lowering.table import OpTable

TABLE = OpTable(
    activation.OPS,
    anchors.OPS,
    attention.OPS,
    boxes.OPS,
    casting.OPS,
    control.OPS,
    convolution.OPS,
    counting.OPS,
    creation.OPS,
    densities.OPS,
    deformed_rois.OPS,
    diagonals.OPS,
    elementwise.OPS,
    factorization.OPS,
    fused.OPS,
    indexing.OPS,
    joining.OPS,
    likelihoods.OPS,
    linalg.OPS,
    normalization.OPS,
    patches.OPS,
    numpy_creation.OPS,
    numpy_elementwise.OPS,
    numpy_linear.OPS,
    numpy_reducing.OPS,
    numpy_selecting.OPS,
    numpy_shaping.OPS,
    numpy_spectral.OPS,
    numpy_statistics.OPS,
    pictures.OPS,
    pooling.OPS,
    products.OPS,
    proposals.OPS,
    quantization.OPS,
    quantized.OPS,
    recurrent.OPS,
    reducing.OPS,
    refusals.OPS,
    resizing.OPS,
    rois.OPS,
    sampling.OPS,
    selection.OPS,
    sequences.OPS,
    shaping.OPS,
    special.OPS,
)

__all__ = ["TABLE"]
