"""Generates `honeyguide.api` from protos/, or with --check says whether the committed code is up to date.

The protos import each other as `honeyguide/<x>/v1/...`, the layout that every language's generator expects. Python's
generator names modules after file paths, so the protos are staged one folder deeper (honeyguide/api/<x>/v1) before it
runs: the generated imports then are `honeyguide.api.<x>.v1`, without a path or an import edited afterwards.
"""

from __future__ import annotations

import filecmp
import shutil
import sys
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
TARGET = ROOT / "services/common/src/honeyguide/api"


def generate(target: Path) -> None:
    """Writes the package `api` into `target`."""
    with tempfile.TemporaryDirectory() as folder:
        staged, built = Path(folder) / "protos", Path(folder) / "built"
        built.mkdir()
        files = []
        for proto in sorted(PROTOS.rglob("*.proto")):
            copy = staged / "honeyguide/api" / proto.relative_to(PROTOS / "honeyguide")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(proto.read_text().replace('import "honeyguide/', 'import "honeyguide/api/'))
            files.append(str(copy.relative_to(staged)))
        well_known = Path(grpc_tools.__file__).parent / "_proto"
        plugins = Path(sys.executable).parent
        code = protoc.main(
            [
                "protoc",
                f"-I{staged}",
                f"-I{well_known}",
                f"--plugin=protoc-gen-mypy={plugins / 'protoc-gen-mypy'}",
                f"--plugin=protoc-gen-mypy_grpc={plugins / 'protoc-gen-mypy_grpc'}",
                f"--python_out={built}",
                f"--mypy_out={built}",
                f"--grpc_python_out={built}",
                f"--mypy_grpc_out={built}",
                *files,
            ]
        )
        if code:
            raise SystemExit(code)
        api = built / "honeyguide/api"
        for package in [api, *(path for path in api.rglob("*") if path.is_dir())]:
            (package / "__init__.py").write_text('"""Generated from protos/ by `make api`; do not edit."""\n')
        shutil.copytree(api, target)


def differences(left: filecmp.dircmp[str]) -> list[str]:
    """Names of files that are not the same on both sides."""
    found = [*left.left_only, *left.right_only, *left.diff_files]
    for below in left.subdirs.values():
        found.extend(differences(below))
    return found


def main() -> None:
    """Generates, or checks."""
    if "--check" not in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as folder:
            generate(Path(folder) / "api")
            shutil.rmtree(TARGET, ignore_errors=True)
            shutil.copytree(Path(folder) / "api", TARGET)
        return
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / "api"
        generate(fresh)
        stale = differences(filecmp.dircmp(TARGET, fresh, ignore=["__pycache__"]))
    if stale:
        raise SystemExit(f"honeyguide.api is stale ({', '.join(sorted(stale))}): run `make api` and commit")


if __name__ == "__main__":
    main()
