"""Generated Python messages of protos/shmd/v1, made when first imported.

    from stubs import attach_pb2, handle_pb2
"""

import atexit
import glob
import os
import shutil
import subprocess
import sys
import tempfile

_GOOGLE = ("api/field_behavior", "api/resource", "rpc/error_details",
           "rpc/status")


def generate(folder, *flags):
    """Runs protoc for this project's protos and those that they import, with
    `flags` besides --python_out."""
    protos = os.path.join(os.environ["SHMD_SOURCES"], "protos")
    googleapis = os.environ["SHMD_GOOGLEAPIS"]
    done = subprocess.run(
        ["protoc", "-I", protos, "-I", googleapis, "--python_out", folder] +
        list(flags) + ["google/%s.proto" % name for name in _GOOGLE] +
        sorted(os.path.relpath(path, protos)
               for path in glob.glob(protos + "/shmd/v1/*.proto")),
        capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)


_folder = tempfile.mkdtemp(prefix="shmd-stubs-")
atexit.register(shutil.rmtree, _folder, ignore_errors=True)
generate(_folder)
sys.path.insert(0, _folder)

from google.rpc import error_details_pb2, status_pb2  # noqa: E402, F401
from shmd.v1 import (  # noqa: E402, F401
    attach_pb2, channel_pb2, errors_pb2, grant_pb2, handle_pb2, namespace_pb2,
    node_pb2, object_pb2, orphan_pb2, segment_pb2, session_pb2, sync_pb2)
