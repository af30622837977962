#!/bin/sh
# Runs one of the Python files beside it with the system's Python.
exec /usr/bin/python3 -B "$(dirname "$0")/$1"
