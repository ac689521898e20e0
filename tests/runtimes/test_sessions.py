"""Which device runs an exported file, by what the installed runtime says that it has."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from panoptic_deeplab.runtimes import sessions
from panoptic_deeplab.runtimes.sessions import OnnxRuntimeSession, OpenVinoSession

onnxruntime = pytest.importorskip("onnxruntime")

CUDA, TENSORRT, CPU = (f"{name}ExecutionProvider" for name in ("CUDA", "Tensorrt", "CPU"))
NO_GPU = "--device gpu: this ONNX Runtime has no GPU (onnxruntime-gpu has); the CPU computes"
NO_DRIVER = "--device gpu: this ONNX Runtime finds no NVIDIA driver; the CPU computes"
NOT_STARTED = (
    "--device {}: this ONNX Runtime cannot start its GPU; `pip install "
    "'onnxruntime-gpu[cuda,cudnn]'` brings CUDA's libraries; the CPU computes"
)


class FakeSession:
    """A session that starts those of its providers that are `working`."""

    working: tuple[str, ...] = ()
    failure = ""
    asked: list[str]

    def __init__(
        self, path: str, options: object, providers: list, enable_fallback: bool = True
    ) -> None:
        names = [name if isinstance(name, str) else name[0] for name in providers]
        if self.failure and names != [CPU]:
            raise RuntimeError(self.failure)
        type(self).asked = self.providers = names

    def get_providers(self) -> list[str]:
        return [name for name in self.providers if name in (*self.working, CPU)]

    def get_modelmeta(self) -> SimpleNamespace:
        return SimpleNamespace(custom_metadata_map={})

    def get_inputs(self) -> list:
        return []

    get_outputs = get_inputs


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> type[FakeSession]:
    """An ONNX Runtime with all of CUDA's libraries, on a machine with a driver."""
    monkeypatch.setattr(onnxruntime, "InferenceSession", FakeSession)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)
    monkeypatch.setattr(sessions, "_has_driver", lambda: True)
    monkeypatch.setattr(FakeSession, "working", (CUDA, TENSORRT))
    _offer(monkeypatch, CUDA, CPU)
    return FakeSession


def _offer(monkeypatch: pytest.MonkeyPatch, *available: str) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(available))


def _told(device: str, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What is logged as the session starts."""
    with caplog.at_level(logging.WARNING):
        OnnxRuntimeSession(Path("model.onnx"), device)
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    ("device", "available", "working", "asked", "told"),
    [
        ("gpu", [TENSORRT, CUDA, CPU], [CUDA], [CUDA, CPU], []),
        ("auto", [TENSORRT, CUDA, CPU], [CUDA], [CUDA, CPU], []),
        ("gpu", [TENSORRT, CPU], [TENSORRT], [TENSORRT, CPU], []),
        ("cpu", [TENSORRT, CUDA, CPU], [CUDA], [CPU], []),
        ("gpu", [CPU], [], [CPU], [NO_GPU]),
        ("auto", [CPU], [], [CPU], []),
        ("gpu", [CUDA, CPU], [], [CPU], [NOT_STARTED.format("gpu")]),
        ("auto", [CUDA, CPU], [], [CPU], [NOT_STARTED.format("auto")]),
    ],
)
def test_a_gpu_is_used_where_the_runtime_has_one(
    device: str,
    available: list[str],
    working: list[str],
    asked: list[str],
    told: list[str],
    runtime: type[FakeSession],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    _offer(monkeypatch, *available)
    monkeypatch.setattr(runtime, "working", tuple(working))
    assert _told(device, caplog) == told
    assert runtime.asked == asked


@pytest.mark.parametrize(("device", "told"), [("gpu", [NO_DRIVER]), ("auto", [])])
def test_without_a_driver_the_cpu_computes(
    device: str,
    told: list[str],
    runtime: type[FakeSession],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(sessions, "_has_driver", lambda: False)
    assert _told(device, caplog) == told
    assert runtime.asked == [CPU]


def test_a_missing_library_is_named_and_nothing_else_printed(
    runtime: type[FakeSession],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    missing = "Failed to load libcublasLt.so.13: cannot open shared object file"
    monkeypatch.setattr(
        onnxruntime,
        "preload_dlls",
        lambda: print(f"{missing}\nPlease follow a page"),
        raising=False,
    )
    (told,) = _told("gpu", caplog)
    assert f"cannot start its GPU ({missing}); `pip install 'onnxruntime-gpu[cuda,cudnn]'`" in told
    assert runtime.asked == [CPU]
    assert capsys.readouterr().out == ""


def test_what_cuda_says_is_told(
    runtime: type[FakeSession],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = "/src/cuda_call.cc:154 std::conditional_t<THRW, void> CudaCall(ERRTYPE, const char*) "
    failure = "CUDA failure 100: no CUDA-capable device is detected"
    monkeypatch.setattr(runtime, "failure", f"{place * 5}{failure} ; GPU=-1 ; hostname=here")
    (told,) = _told("gpu", caplog)
    assert told.endswith(f"cannot start its GPU ({failure}); the CPU computes")


def test_a_full_gpu_is_a_lack_of_memory(
    runtime: type[FakeSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    lack = "Failed to allocate memory for requested buffer of size 100663296"

    def fail(self: FakeSession, names: None, inputs: dict) -> None:
        raise RuntimeError(f"while running Cast node. /src/bfc_arena.cc:360 BFCArena() {lack}\n")

    monkeypatch.setattr(runtime, "run", fail, raising=False)
    session = OnnxRuntimeSession(Path("model.onnx"), "gpu")
    with pytest.raises(MemoryError, match=f"^{lack}$"):
        session.run({})


def test_openvino_says_that_the_cpu_computes(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("openvino")
    with pytest.raises(RuntimeError):  # there is no such file
        OpenVinoSession(Path("nowhere.onnx"), "gpu")
    assert "OpenVINO is run on the CPU here" in caplog.text
