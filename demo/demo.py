"""Serves the sample models, shows them pictures, and prints and draws what they saw.

Run by ``make demo``. The pictures in demo/pictures were not used in training; what is really in
each stands in its file name. Pictures with boxes drawn on them go to demo-output/.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from deciding import Found, decide, named
from gluonserve.pictures import Detection, detections, draw_detections
from gluonserve_client import Client
from starting import Serving, serving
from telling import print_metrics

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "demo/pictures"
OUTPUT = ROOT / "demo-output"
LABELS = {digit: str(digit) for digit in range(10)}
SURE = 0.5
LOAD_SECONDS, CALLERS = 3.0, 16


def main() -> int:
    """Start the server, go through the models, read the metrics back, stop the server."""
    OUTPUT.mkdir(exist_ok=True)
    print("starting the server ...")
    with serving(ROOT / "models") as server, Client(server.grpc) as client:
        print(f"ready: gRPC on {server.grpc}, metrics on {server.metrics}\n")
        right = show_digits(client)
        right &= show_scenes(client)
        put_under_load(client, server)
    return 0 if right else 1


def show_digits(client: Client) -> bool:
    """Every picture of one digit, to both classifiers."""
    print("one digit             lenet_digits    resnet_digits")
    right = 0
    paths = sorted(PICTURES.glob("digit-*.png"))
    for path in paths:
        picture = np.asarray(Image.open(path).convert("L"))
        whole = picture[np.newaxis, :, :, np.newaxis]
        unit = (picture[np.newaxis, np.newaxis] / 255).astype(np.float32)
        seen = [named(one_output(client, "lenet_digits", whole))]
        seen.append(named(one_output(client, "resnet_digits", unit)))
        shown = "".join(f"{digit} ({share:6.1%})    " for digit, share in seen)
        print(f"  {path.name:<20}{shown}")
        right += sum(str(digit) == path.stem[-1] for digit, _ in seen)
    print(f"  {right} of {2 * len(paths)} named rightly\n")
    return right >= 2 * len(paths) - 2


def show_scenes(client: Client) -> bool:
    """Every picture of several digits, to both detectors; boxes are drawn on the picture."""
    print("several digits        toy_ssd_detect (in the graph)   toy_ssd (boxes picked here)")
    found = there = 0
    for path in sorted(PICTURES.glob("scene-*.png")):
        picture = np.asarray(Image.open(path).convert("RGB"))
        data = np.moveaxis(picture, -1, 0)[np.newaxis].astype(np.float32) / 255
        seen = detections(one_output(client, "toy_ssd_detect", data), SURE)
        picked = decide(client.infer("toy_ssd", {"data": data}), SURE)
        target = OUTPUT / path.name
        draw_detections(path, seen, LABELS, target)
        print(f"  {path.name:<20}{_digits(seen):<32}{_digits(picked)}")
        for one in seen:
            left, top, right, bottom = (round(128 * side) for side in one.corners)
            print(f"    {one.label} ({one.score:.1%}) at {left},{top} to {right},{bottom}")
        found += _common(_digits(seen), path.stem.partition("-")[2])
        there += len(path.stem.partition("-")[2])
    print(f"  {found} of {there} found; drawn in {OUTPUT.relative_to(ROOT)}/\n")
    return found >= there - 2


def put_under_load(client: Client, server: Serving) -> None:
    """Callers that send one row after another for a few seconds, then what /metrics tells."""
    pictures = [np.asarray(Image.open(path).convert("L")) for path in PICTURES.glob("digit-*.png")]
    rows = [picture[np.newaxis, :, :, np.newaxis] for picture in pictures]
    print(f"{CALLERS} callers send single rows to lenet_digits for {LOAD_SECONDS:.0f} seconds ...")
    before, began = server.scrape(), time.perf_counter()

    def call(caller: int) -> None:
        turn = caller
        while time.perf_counter() - began < LOAD_SECONDS:
            client.infer("lenet_digits", {"data": rows[turn % len(rows)]})
            turn += 1

    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(call, range(CALLERS)))
    print_metrics(before, server.scrape(), time.perf_counter() - began)


def one_output(client: Client, model: str, data: np.ndarray) -> np.ndarray:
    """The first row of the only output."""
    (output,) = client.infer(model, {"data": data}).values()
    first: np.ndarray = output[0]
    return first


def _digits(seen: list[Detection] | list[Found]) -> str:
    return "".join(sorted(LABELS[one.label] for one in seen))


def _common(seen: str, there: str) -> int:
    return sum(min(seen.count(digit), there.count(digit)) for digit in set(there))


if __name__ == "__main__":
    sys.exit(main())
