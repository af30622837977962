#!/bin/sh
# Runs a test in Python: run_python.sh DAEMON SCRIPT [ARGUMENT...]. Debian's
# Python, because python3-grpcio and python3-protobuf are packages of Debian's.
set -eu
export SHMD_BINARY="$PWD/$1" SHMD_SOURCES="$PWD" SHMD_GOOGLEAPIS="$PWD/../googleapis"
script=$2
shift 2
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$PWD/tests/testing:$(dirname "$PWD/$script")"
exec /usr/bin/python3 "$script" "$@"
