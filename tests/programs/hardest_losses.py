"""Means of the hardest losses over processes; run under paddle.distributed.launch.

    hardest_losses.py CASES OUTPUT

CASES is a JSON list of {"losses": one list for each process, "fraction": number}. The mean of each
case over the processes, and its gradients, go to OUTPUT, a JSON list of {"mean", "gradients"}.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import paddle

from panoptic_deeplab.engine import distributed
from panoptic_deeplab.losses.across_ranks import hardest_mean_of


def mean_and_gradients(case: dict[str, Any]) -> dict[str, Any]:
    """Return the mean over all processes and the gradients of each process's losses."""
    own = case["losses"][distributed.rank()]
    losses = paddle.to_tensor(own, "float32", stop_gradient=False)
    mean = hardest_mean_of(lambda places: losses.gather(places), len(own), case["fraction"])
    mean.backward()
    parts = distributed.gather((float(mean), losses.grad.numpy().tolist()))
    return {
        "mean": sum(mean for mean, _ in parts) / len(parts),
        "gradients": [[value / len(parts) for value in gradient] for _, gradient in parts],
    }


def main(cases: str, output: str) -> None:
    distributed.start("cpu")
    found = [mean_and_gradients(case) for case in json.loads(Path(cases).read_text())]
    if distributed.is_main():
        Path(output).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
