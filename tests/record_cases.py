"""Record small cases of operators that the corpus of recorded ones lacks, from live MXNet.

    .venv-mxnet/bin/python tests/record_cases.py [NAME ...]

The inputs are those of the live tests; each file in tests/data/recorded is one operator's cases.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "conformance")]

import test_live_anchors as anchors  # noqa: E402 - on the path by now
import test_live_boxes as boxes  # noqa: E402
import test_live_patches as patches  # noqa: E402
import test_live_pictures as pictures  # noqa: E402
import test_live_rois as rois  # noqa: E402
import test_live_sampling as sampling  # noqa: E402
from oracle import Operator  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_FIRST = 10_000
"""Where numbers of these cases begin; the corpus has lower ones."""


def main() -> None:
    """Write a file for each operator."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    wanted = parser.parse_args().names
    for name, cases in recipes().items():
        if not wanted or name in wanted:
            record(ROOT / "tests" / "data" / "recorded" / f"{name}.npz", name, cases)
            print(f"{name}: {len(cases)} cases")


def recipes() -> Mapping[str, Sequence[tuple[dict[str, np.ndarray], dict[str, object]]]]:
    """Inputs and attributes of each operator's cases."""
    proposals = {"scales": (2, 4), "ratios": (0.5, 1, 2), "rpn_post_nms_top_n": 20}
    moves = {"data": sampling.noise(1, 4, 6, 7), "offset": sampling.noise(1, 18, 6, 7, scale=2)}
    mask = {"mask": sampling.noise(1, 9, 6, 7)}
    weight = {"weight": sampling.noise(4, 4, 3, 3, seed=3)}
    taps = {"kernel": (3, 3), "pad": (1, 1), "num_filter": 4, "no_bias": True}
    bytes_ = {"data": pictures.picture((10, 12, 3))}
    return {
        "_contrib_MultiBoxPrior": [
            ({"data": np.zeros((1, 1, 3, 4), np.float32)}, attributes)
            for attributes in (
                {"sizes": (0.2, 0.272), "ratios": (1, 2, 0.5)},
                {"sizes": (0.75,), "ratios": (3, 0.3), "clip": True},
                {"steps": (0.1, 0.2), "offsets": (0.25, 1.0)},
            )
        ],
        "_contrib_MultiBoxDetection": [
            (anchors.predictions(seed), attributes)
            for seed, attributes in enumerate(
                ({}, {"nms_topk": 10}, {"force_suppress": True, "threshold": 0.5, "clip": False})
            )
        ],
        "_contrib_Proposal": [(rois.predictions(0, 1, 6), proposals)],
        "_contrib_MultiProposal": [(rois.predictions(1, 2, 6), proposals)],
        "_contrib_DeformableConvolution": [({**moves, **weight}, taps)],
        "_contrib_ModulatedDeformableConvolution": [({**moves, **mask, **weight}, taps)],
        "_contrib_ROIAlign": [
            ({"data": rois.picture(2), "rois": rois.regions()}, attributes)
            for attributes in (
                {"pooled_size": (2, 3), "spatial_scale": 0.5, "sample_ratio": 2},
                {"pooled_size": (2, 2), "spatial_scale": 1.0, "aligned": True},
            )
        ],
        "_image_resize": [
            (bytes_, attributes)
            for attributes in ({"size": (7, 15)}, {"size": 8, "keep_ratio": True}, {"size": 24})
        ],
        "_image_to_tensor": [(bytes_, {})],
        "_image_flip_left_right": [(bytes_, {})],
        "Crop": [
            ({"data": patches.noise(1, 2, 6, 7)}, {"num_args": 1, "h_w": (3, 4), "offset": (2, 1)}),
            (
                {"data": patches.noise(1, 2, 6, 7), "like": patches.noise(1, 1, 3, 4)},
                {"num_args": 2, "center_crop": True},
            ),
        ],
        "_contrib_box_nms": [
            (
                {"data": boxes.scored_boxes(seed)},
                {"id_index": 0, "topk": topk, "overlap_thresh": 0.25},
            )
            for seed, topk in enumerate((-1, 7))
        ],
    }  # fmt: skip


def record(
    target: Path, name: str, cases: Sequence[tuple[dict[str, np.ndarray], dict[str, object]]]
) -> None:
    """Ask MXNet, and add what it says to the cases that are there."""
    index, arrays = _present(target)
    for number, (inputs, attributes) in enumerate(cases):
        operator = Operator(name, inputs, **attributes)
        outputs = operator.ask(inputs)
        prefix = f"c{_FIRST + number}"
        stored = {f"{prefix}_in{at}": value for at, value in enumerate(inputs.values())}
        stored |= {f"{prefix}_out{at}": value for at, value in enumerate(outputs)}
        arrays |= stored
        index = [record for record in index if record["id"] != prefix]
        index.append(
            {
                "id": prefix,
                "op": name,
                "attrs": operator.attributes,
                "symbol": operator.symbol,
                "inputs": [
                    {"name": key, "role": "param" if key in ("weight", "bias") else "data"}
                    | _kind(value)
                    for key, value in inputs.items()
                ],
                "outputs": [_kind(value) for value in outputs],
            }
        )
    np.savez_compressed(target, index=np.array(json.dumps(index)), **arrays)


def _present(target: Path) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    if not target.exists():
        return [], {}
    with np.load(target, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files if name != "index"}
        return json.loads(str(stored["index"])), arrays


def _kind(value: np.ndarray) -> dict[str, object]:
    return {"dtype": value.dtype.name, "shape": list(value.shape)}


if __name__ == "__main__":
    main()
