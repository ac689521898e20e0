"""ONNX Runtime Web, which runs ONNX files in browsers: its npm package, pinned, and what is taken.

It is fetched where it is needed, and is no part of this project.
"""

from __future__ import annotations

import base64
import shutil
import tarfile
from importlib.util import find_spec
from pathlib import Path

from panoptic_deeplab.errors import DataError, UsageError, reason_of
from panoptic_deeplab.files import open_file
from panoptic_deeplab.web_page.files import RUNTIME_FILES, RUNTIME_LICENSES
from panoptic_deeplab.weights import checksum_of, fetched_file

VERSION = "1.30.0"
INTEGRITY = (
    "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
)
"""SHA-512 of the package in base 64, as npm's registry tells it."""

_URL = f"https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"
_HINT = f"fetch it elsewhere by `npm pack onnxruntime-web@{VERSION}` and give the file by --ort_web"


def find_package(given: Path | None = None) -> Path:
    """Return the npm package: the file that is given, else from the cache, else from npm.

    Raises:
        DataError: it cannot be fetched, or the file is another.
    """
    digits = base64.b64decode(INTEGRITY).hex()
    if given is None:
        return fetched_file(f"{_URL}#sha512={digits}", _HINT)
    open_file(given).close()
    if checksum_of(given, "sha512") != digits:
        raise DataError(
            f"{given}: is not onnxruntime-web-{VERSION}.tgz as npm has it; fetch it by "
            f"`npm pack onnxruntime-web@{VERSION}`"
        )
    return given


def unpack(package: Path, folder: Path) -> None:
    """Write the files that a page loads, and their licenses, into a folder.

    The licenses are those of the project's Python package; the one of npm has none inside.

    Raises:
        DataError: the package cannot be read.
        UsageError: the licenses were not installed.
    """
    try:
        with tarfile.open(package) as archive:
            for name, target in RUNTIME_FILES.items():
                with archive.extractfile(f"package/dist/{name}") as file:
                    (folder / target).write_bytes(file.read())
    except (tarfile.TarError, KeyError, EOFError) as error:
        raise DataError(f"{package}: cannot be read ({reason_of(error)}); {_HINT}") from error
    for name, target in RUNTIME_LICENSES.items():
        source = Path(find_spec("onnxruntime").origin).with_name(name)
        if not source.is_file():
            raise UsageError(
                f"{source}: is missing, and must lie beside a page; pip install onnxruntime"
            )
        shutil.copyfile(source, folder / target)
