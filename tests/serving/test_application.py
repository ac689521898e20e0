"""The application answers clients of this machine alone, within bounds, and opens no path."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.structures import Category, DatasetInfo, Prediction, Segment

for package in ("httpx", "starlette", "uvicorn"):
    pytest.importorskip(package)

from httpx import Client  # noqa: E402

from panoptic_deeplab.serving import application as application_module  # noqa: E402
from panoptic_deeplab.serving.application import MAX_WAITING, application  # noqa: E402
from panoptic_deeplab.serving.server import LocalServer, listening  # noqa: E402

INFER = "/v2/models/panoptic/infer"
INFO = DatasetInfo(
    "two", (Category("sky", False, (0, 0, 9), 0), Category("car", True, (9, 0, 0), 1))
)


class Halves:
    """Predicts sky above and a car below; a threshold of 1 leaves no car."""

    info = INFO

    def __init__(self, settings: Mapping[str, float]) -> None:
        self.settings = settings
        self.free = threading.Event()
        self.free.set()

    def with_settings(self, settings: Mapping[str, float]) -> Halves:
        return Halves(settings)

    def predict(self, images: Sequence[np.ndarray]) -> list[Prediction]:
        assert self.free.wait(20)
        (image,) = images
        if image.shape[1] == 1:
            raise DataError("the network takes no image so thin")
        if image.shape[1] == 2:
            raise ZeroDivisionError("a defect")
        if image.shape[1] == 4:
            raise MemoryError("all is full")
        ids = np.ones(image.shape[:2], np.int32)
        segments = [Segment(1, 0, score=1.0)]
        if self.settings["threshold"] < 1:
            ids[len(ids) // 2 :] = 2
            segments.append(Segment(2, 1, score=0.5))
        return [Prediction(ids, segments)]


@pytest.fixture
def predictor() -> Halves:
    return Halves({"threshold": 0.1})


@pytest.fixture
def client(predictor: Halves, tmp_path: Path) -> Iterator[Client]:
    index = tmp_path / "index.html"
    index.write_text("<title>page</title>")
    (tmp_path / "secret").write_text("not listed")
    server = LocalServer(application(predictor, {"index.html": index}, {"name": "two"}))
    with listening(0) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with Client(base_url=address, timeout=20) as client:
            yield client
        server.should_exit = True
        thread.join()


def request(width: int = 3, **more: object) -> dict[str, object]:
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 2, width, 3]}
    return {"inputs": [tensor | {"data": [0] * (6 * width)}]} | more


def test_page_health_and_metadata(client: Client) -> None:
    assert client.get("/").text == client.get("/index.html").text == "<title>page</title>"
    assert client.get("/page.json").json() == {"name": "two"}
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2/models/panoptic/ready").status_code == 200
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    metadata = client.get("/v2/models/panoptic").json()
    assert metadata["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [1, -1, -1, 3]}]
    assert metadata["parameters"]["settings"] == {"threshold": 0.1}
    assert [entry["name"] for entry in metadata["parameters"]["classes"]] == ["sky", "car"]


def test_predictions_by_the_usual_and_by_other_settings(client: Client) -> None:
    found = client.post(INFER, json=request()).json()["outputs"]
    assert found[0]["data"] == [1, 1, 1, 2, 2, 2]
    found = client.post(INFER, json=request(parameters={"threshold": 1})).json()["outputs"]
    assert found[0]["data"] == [1] * 6


def test_bytes_come_back_behind_the_object_that_a_header_measures(client: Client) -> None:
    wanted = {"outputs": [{"name": "panoptic", "parameters": {"binary_data": True}}]}
    response = client.post(INFER, json=request(**wanted))
    length = int(response.headers["Inference-Header-Content-Length"])
    assert json.loads(response.content[:length])["outputs"][0]["shape"] == [1, 2, 3]
    assert np.frombuffer(response.content[length:], "<i4").tolist() == [1, 1, 1, 2, 2, 2]


def test_what_cannot_be_predicted_is_one_line(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    answer = client.post(INFER, json=request(1))
    assert (answer.status_code, answer.json()) == (
        400,
        {"error": "the network takes no image so thin"},
    )
    assert client.post(INFER, content=b"{").status_code == 400
    answer = client.post(INFER, json=request(2))
    assert (answer.status_code, answer.json()) == (
        500,
        {"error": "the prediction failed; the server's log says why"},
    )
    assert "a prediction failed: a defect" in caplog.text
    answer = client.post(INFER, json=request(4))
    assert answer.status_code == 400
    assert "the image needs more memory than there is" in answer.json()["error"]
    assert client.post(INFER, json=request()).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/secret",
        "/../secret",
        "/%2e%2e/secret",
        "//etc/passwd",
        "/v2/models/x",
        "/index.html/x",
    ],
)
def test_no_other_path_is_there(client: Client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_clients_of_other_sites_are_refused(client: Client) -> None:
    """A name that an attacker lets point to this machine, and a page of another site."""
    assert client.get("/", headers={"Host": "attacker.example"}).status_code == 400
    assert client.get("/", headers={"Host": "localhost:8080"}).status_code == 200
    for origin in ("http://attacker.example", "http://[", "null"):
        answer = client.post(INFER, json=request(), headers={"Origin": origin})
        assert answer.status_code == 403
    own = {"Origin": str(client.base_url).rstrip("/")}
    assert client.post(INFER, json=request(), headers=own).status_code == 200


def test_a_body_is_bounded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application_module, "MAX_BYTES", 100)
    answer = client.post(INFER, content=b" " * 101)
    assert answer.status_code == 413
    assert answer.json() == {"error": "more than the 100 bytes that are taken"}


def test_a_body_that_does_not_come_ends_the_connection(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application_module, "BODY_SECONDS", 0.1)
    url = client.base_url
    with socket.create_connection((url.host, url.port), 10) as connection:
        head = f"POST {INFER} HTTP/1.1\r\nHost: {url.host}\r\nContent-Length: 9\r\n\r\n"
        connection.sendall(head.encode())
        answer = b"".join(iter(partial(connection.recv, 4096), b""))  # to the end
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert answer.endswith(b'{"error":"the body did not come in 0.1 seconds"}')


def test_one_prediction_at_a_time_and_few_that_wait(client: Client, predictor: Halves) -> None:
    predictor.free.clear()
    with ThreadPoolExecutor(MAX_WAITING + 4) as pool:
        answers = [pool.submit(client.post, INFER, json=request()) for _ in range(MAX_WAITING + 4)]
        busy = [answer.result().status_code for answer in islice(as_completed(answers), 3)]
        predictor.free.set()
        codes = sorted(answer.result().status_code for answer in answers)
    assert busy == [503] * 3
    assert codes == [200] * (MAX_WAITING + 1) + [503] * 3


def test_every_response_keeps_other_sites_out_and_lets_threads_in(client: Client) -> None:
    for path in ("/", "/v2", "/none"):
        headers = client.get(path).headers
        assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["X-Content-Type-Options"] == "nosniff"
