"""Which device runs an exported file, by what the installed runtime says that it has."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from panoptic_deeplab.runtimes.sessions import OnnxRuntimeSession, OpenVinoSession

onnxruntime = pytest.importorskip("onnxruntime")

CUDA, TENSORRT, CPU = (f"{name}ExecutionProvider" for name in ("CUDA", "Tensorrt", "CPU"))
NO_GPU = "--device gpu: this ONNX Runtime has no GPU (onnxruntime-gpu has); the CPU computes"
NOT_STARTED = "--device gpu: this ONNX Runtime cannot start its GPU; the CPU computes"


class FakeSession:
    """A session that starts those of its providers that are `working`."""

    working: tuple[str, ...] = ()
    asked: list[str]

    def __init__(self, path: str, options: object, providers: list[str]) -> None:
        type(self).asked = providers
        self.providers = providers

    def get_providers(self) -> list[str]:
        return [name for name in self.providers if name in (*self.working, CPU)]

    def get_modelmeta(self) -> SimpleNamespace:
        return SimpleNamespace(custom_metadata_map={})

    def get_inputs(self) -> list:
        return []

    get_outputs = get_inputs


@pytest.mark.parametrize(
    ("device", "available", "working", "asked", "told"),
    [
        ("gpu", [TENSORRT, CUDA, CPU], [CUDA], [CUDA, CPU], None),
        ("auto", [TENSORRT, CUDA, CPU], [CUDA], [CUDA, CPU], None),
        ("gpu", [TENSORRT, CPU], [TENSORRT], [TENSORRT, CPU], None),
        ("cpu", [TENSORRT, CUDA, CPU], [CUDA], [CPU], None),
        ("gpu", [CPU], [], [CPU], NO_GPU),
        ("auto", [CPU], [], [CPU], None),
        ("gpu", [CUDA, CPU], [], [CUDA, CPU], NOT_STARTED),
    ],
)
def test_a_gpu_is_used_where_the_runtime_has_one(
    device: str,
    available: list[str],
    working: list[str],
    asked: list[str],
    told: str | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: available)
    monkeypatch.setattr(onnxruntime, "InferenceSession", FakeSession)
    monkeypatch.setattr(FakeSession, "working", tuple(working))
    with caplog.at_level(logging.WARNING):
        OnnxRuntimeSession(Path("model.onnx"), device)
    assert FakeSession.asked == asked
    assert [record.getMessage() for record in caplog.records] == [told] * (told is not None)


def test_openvino_says_that_the_cpu_computes(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("openvino")
    with pytest.raises(RuntimeError):  # there is no such file
        OpenVinoSession(Path("nowhere.onnx"), "gpu")
    assert "OpenVINO is run on the CPU here" in caplog.text
