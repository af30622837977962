"""Tests in Python 3 that drive the daemon from outside."""

def shmd_python_test(name, src, args = [], data = [], daemon = "//server:shmd", tags = [], **kwargs):
    """A test that runs `src` with Debian's Python and the daemon at hand.

    Such a test makes namespaces, mounts and other uids, so it runs as root and
    outside Bazel's sandbox. tests/testing has what it may import.

    Args:
      name: of the test.
      src: the .py file to run.
      args: further arguments for it.
      data: further files that it reads or runs.
      daemon: the build of it. The static one, which images have, starts in a
        quarter of the time: for tests that start it over and over.
      tags: as for sh_test.
      **kwargs: passed on to sh_test.
    """
    native.sh_test(
        name = name,
        srcs = ["//tests/testing:run_python.sh"],
        args = [
            "$(rootpath %s)" % daemon,
            "$(rootpath %s)" % src,
        ] + args,
        data = [
            src,
            "//protos/shmd/v1:protos",
            daemon,
            "//tests/testing:python",
            "@googleapis//:protos",
        ] + data,
        tags = tags + ["local"],
        **kwargs
    )
