"""Pack a folder so that the same content always gives the same bytes: .tar.xz, or .zip for Windows.

python3 packaging/archive.py FOLDER ARCHIVE

Files are in order, belong to root, and are dated SOURCE_DATE_EPOCH.
"""

from __future__ import annotations

import os
import sys
import tarfile
import time
import zipfile
from pathlib import Path


def pack(folder: Path, archive: Path) -> None:
    """Pack a folder under its own name."""
    epoch = int(os.environ["SOURCE_DATE_EPOCH"])
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [path.relative_to(folder.parent).as_posix() for path in files]
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as zipped:
            for path, name in zip(files, names, strict=True):
                entry = zipfile.ZipInfo(name, time.gmtime(epoch)[:6])
                entry.external_attr = _mode(path) << 16
                zipped.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED, 9)
        return
    with tarfile.open(archive, "w:xz", preset=9) as tar:
        for path, name in zip(files, names, strict=True):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = path.stat().st_size, epoch, _mode(path)
            with path.open("rb") as content:
                tar.addfile(entry, content)


def _mode(path: Path) -> int:
    return 0o755 if os.access(path, os.X_OK) else 0o644


if __name__ == "__main__":
    pack(Path(sys.argv[1]), Path(sys.argv[2]))
