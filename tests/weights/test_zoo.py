"""Models by name, fetched from a small server on this machine that has the publishers' layout."""

from __future__ import annotations

import http.server
import pickle
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import paddle
import pytest
import yaml
from conftest import TINY_CONFIG

import panoptic_deeplab as pdl
from panoptic_deeplab.cli.main import main as command
from panoptic_deeplab.cli.weights import main
from panoptic_deeplab.config import Config
from panoptic_deeplab.config.shipped import shipped_configs
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.formats.images import write_image
from panoptic_deeplab.inference.location import locate_model
from panoptic_deeplab.weights import (
    load_pretrained,
    read_info_beside,
    read_weights,
    zoo,
    zoo_model,
)
from panoptic_deeplab.weights.download import CACHE_VARIABLE, MIRROR_VARIABLE
from panoptic_deeplab.weights.zoo import ZOO_FILE

NAME = "panoptic_deeplab_resnet50_os32_cityscapes"
WEIGHTS = pickle.dumps({"a": np.arange(30_000, dtype=np.float32)}, 4)


class Server(http.server.ThreadingHTTPServer):
    """Serves one file; `break_at` closes the connection behind that many bytes."""

    content = WEIGHTS
    tag = '"1"'
    takes_ranges = True
    break_at: int | None = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, str | None]] = []


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers["Range"]
        self.server.requests.append((self.path, wanted))
        start = int(wanted[len("bytes=") : -1]) if wanted and self.server.takes_ranges else 0
        content = self.server.content
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if self.server.tag:
            self.send_header("ETag", self.server.tag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start : self.server.break_at])

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        monkeypatch.setenv(MIRROR_VARIABLE, f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
        yield server
        server.shutdown()


def cached(tmp_path: Path) -> list[str]:
    """Suffixes of all files in the cache."""
    return sorted(path.suffix for path in (tmp_path / "cache").iterdir())


def test_a_name_is_fetched_once_with_its_configuration(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = locate_model(NAME)
    assert "model.pdparams from bj.bcebos.com: " in capsys.readouterr().err
    assert files.config == zoo_model(NAME).config
    assert files.weights.parent == tmp_path / "cache"
    assert len(read_weights(files.weights)["a"]) == 30_000
    (path, _), *more = server.requests
    assert path == "/" + zoo_model(NAME).url.removeprefix("https://")
    assert not more

    server.shutdown()  # offline
    assert locate_model(NAME, "other.yml") == files._replace(config="other.yml")


def test_the_first_command_of_a_newcomer(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name and an image are enough, and no network is needed the second time."""
    (tmp_path / "tiny.yml").write_text(TINY_CONFIG.format(root=tmp_path / "nowhere"))
    facts = {"config": str(tmp_path / "tiny.yml"), "url": "https://host/models/tiny.pdparams"}
    told = {"license": "free", "score": "PQ 1 on nothing", "by": "nobody"}
    (tmp_path / "zoo.yml").write_text(yaml.safe_dump({"tiny_streets": facts | told}))
    monkeypatch.setattr(sys.modules[zoo.__module__], "ZOO_FILE", tmp_path / "zoo.yml")
    monkeypatch.chdir(tmp_path)
    network = Config(tmp_path / "tiny.yml").model
    server.content = pickle.dumps({n: v.numpy() for n, v in network.state_dict().items()}, 4)
    image = np.random.default_rng(0).integers(0, 256, (40, 64, 3), np.uint8)
    write_image("street.jpg", image)

    zoo.cache_clear()
    try:
        words = ["predict", "--model_path", "tiny_streets", "--image_path", "street.jpg"]
        assert command([*words, "--device", "cpu"]) == 0
        assert [path for path, _ in server.requests] == ["/host/models/tiny.pdparams"]
        server.shutdown()
        assert pdl.load_model("tiny_streets", "cpu")("street.jpg").ids.shape == (40, 64)
    finally:
        zoo.cache_clear()
    assert Path("output/result/panoptic/street_overlay.png").is_file()


def test_a_file_of_that_name_goes_first(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(NAME).write_bytes(WEIGHTS)
    assert locate_model(NAME, "my.yml").weights == Path(NAME)
    assert not server.requests


def test_a_training_starts_from_a_name(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever `pretrained` asks for a file; a folder of that name goes first."""
    layer = paddle.nn.Linear(2, 3)
    weights = {name: value.numpy() + 1 for name, value in layer.state_dict().items()}
    server.content = pickle.dumps(weights, 4)
    load_pretrained(layer, {"": NAME})
    np.testing.assert_array_equal(layer.weight.numpy(), weights["weight"])
    assert len(server.requests) == 1

    monkeypatch.chdir(tmp_path)
    Path(NAME).mkdir()
    (Path(NAME) / "model.pdparams").write_bytes(
        pickle.dumps({name: value * 2 for name, value in weights.items()}, 4)
    )
    load_pretrained(layer, {"": NAME})
    np.testing.assert_array_equal(layer.weight.numpy(), weights["weight"] * 2)
    with pytest.raises(DataError, match=rf'nor a name of the zoo \(did you mean "{NAME}"'):
        load_pretrained(layer, {"": f"{NAME}s"})


def broken_off(server: Server, at: int) -> str:
    """What a download tells whose connection is closed behind `at` bytes."""
    server.break_at = at
    with pytest.raises(DataError) as failure:
        locate_model(NAME)
    server.break_at = None
    return str(failure.value)


def test_a_broken_download_is_resumed(server: Server, tmp_path: Path) -> None:
    told = broken_off(server, 50_000)
    assert f"50000 of {len(WEIGHTS)} bytes came" in told
    assert "try again, or fetch it elsewhere and put it under" in told
    assert cached(tmp_path) == [".part"]
    assert f"70000 of {len(WEIGHTS)} bytes came" in broken_off(server, 70_000)

    assert locate_model(NAME).weights.read_bytes() == WEIGHTS
    assert [wanted for _, wanted in server.requests] == [None, "bytes=50000-", "bytes=70000-"]
    assert cached(tmp_path) == [".pdparams", ".sha256"]


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("panoptic_fpn_r50_1x_coco", ".pkl"), ("panoptic_fpn_r101_5x_bdd100k", ".pth")],
)
def test_files_of_other_frameworks_keep_their_form(server: Server, name: str, suffix: str) -> None:
    """By which they are known, and converted when they are read."""
    files = locate_model(name)
    assert files.config == name
    assert files.weights.suffix == suffix
    assert files.weights.read_bytes() == WEIGHTS


OTHERS = {
    "another version": {"tag": '"2"', "content": WEIGHTS + b"x"},
    "another length": {"content": WEIGHTS + b"x"},
    "a shorter one": {"content": WEIGHTS[:40_000]},
    "no ranges": {"takes_ranges": False},
    "no version": {"tag": ""},
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_download_of_something_else_starts_clean(
    server: Server, tmp_path: Path, kind: str
) -> None:
    broken_off(server, 50_000)
    for name, value in OTHERS[kind].items():
        setattr(server, name, value)
    assert locate_model(NAME).weights.read_bytes() == server.content
    assert cached(tmp_path) == [".pdparams", ".sha256"]


@pytest.mark.parametrize("tag", ["", 'W/"1"'])
def test_what_cannot_be_told_apart_is_not_resumed(server: Server, tmp_path: Path, tag: str) -> None:
    server.tag = tag
    broken_off(server, 50_000)
    assert cached(tmp_path) == []


@pytest.mark.parametrize("mirror", ["http://example.test", "ftp://127.0.0.1", "nonsense"])
def test_a_mirror_is_reached_by_https(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror: str
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setenv(MIRROR_VARIABLE, mirror)
    with pytest.raises(DataError, match="PANOPTIC_DEEPLAB_MIRROR: expected an https URL, got"):
        locate_model(NAME)


def test_what_only_a_person_can_fetch(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "efficientps_b5_cityscapes"
    place = tmp_path / "cache" / "efficientPS_cityscapes.zip"
    assert main(["download", name]) == 1
    told = capsys.readouterr().err
    assert f"only a browser can fetch {zoo_model(name).url}; put the file under {place}" in told
    assert not server.requests
    place.parent.mkdir()
    place.write_bytes(WEIGHTS)
    assert locate_model(name).weights == place


def test_commands(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    told = capsys.readouterr().out
    assert f"{NAME}\n    PQ 60.32 on Cityscapes val, as PaddleSeg" in told
    assert "is here" not in told
    assert main(["show", NAME]) == 0
    told = capsys.readouterr().out
    assert f"url:      {zoo_model(NAME).url}\nlicense:  Apache" in told
    assert "(not fetched yet)" in told

    assert main(["download", NAME]) == 0
    told = capsys.readouterr()
    assert f"{NAME}: {tmp_path / 'cache'}" in told.out
    assert "license: Apache License 2.0" in told.out
    assert main(["list"]) == 0
    assert "is here" in capsys.readouterr().out
    assert main(["show", "panoptic_deeplab_resnet50_os23_cityscapes"]) == 2
    told = capsys.readouterr().err
    assert f'no model of the zoo (did you mean "{NAME}"?)' in told


def test_an_unknown_name_suggests_one_of_the_zoo() -> None:
    with pytest.raises(DataError, match=rf'did you mean "{NAME}"'):
        locate_model("panoptic_deeplab_resnet50_os32_cityscape")


@pytest.mark.parametrize("name", zoo())
def test_every_entry_is_complete(name: str) -> None:
    model = zoo()[name]
    assert model.config in shipped_configs()
    if model.file:
        assert model.path.is_file()
        assert read_info_beside(model.path) == Config(model.config).info
    else:
        assert model.url.startswith("https://")
    for fact in (model.license, model.score, model.by):
        assert fact


def test_no_name_is_used_twice() -> None:
    """YAML lets the later of two equal keys win."""
    tree = yaml.compose(ZOO_FILE.read_text("utf-8"))
    names = [key.value for key, _ in tree.value]
    assert len(set(names)) == len(names)
