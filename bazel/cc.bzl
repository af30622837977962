"""C++ rules with this project's warnings. Every BUILD file loads these."""

load(":units.bzl", "in_units")

_COPTS = [
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wshadow",
    "-Wnon-virtual-dtor",
    "-Woverloaded-virtual",
    "-Wcast-qual",
    "-Wno-missing-field-initializers",
]

# A library is an archive of objects compiled once. Left to itself, Bazel builds
# a shared library and an archive of position-independent code beside each one
# that `bazel build //...` names, and so compiles every source twice for files
# that nothing links. (GCC of Debian makes position-independent executables of
# either kind of object.)
ARCHIVE_ONLY = {
    "features": ["-supports_pic"],
    "linkstatic": True,
}

# A test's own code runs once, so what optimizing it takes is not earned back.
_TEST_COPTS = ["-O0"] + select({
    "//bazel:optimized": ["-U_FORTIFY_SOURCE"],  # it wants optimization
    "//conditions:default": [],
})

def _copts(own, is_test, busy):
    return _COPTS + own + (_TEST_COPTS if is_test and not busy else [])

# Both take `busy`, of what is testonly: see shmd_cc_test.
def shmd_cc_library(name, srcs = [], copts = [], busy = False, **kwargs):
    testonly = kwargs.get("testonly", False)
    native.cc_library(
        name = name,
        srcs = in_units(name, srcs, testonly),
        copts = _copts(copts, testonly, busy),
        **dict(kwargs, **ARCHIVE_ONLY)
    )

def shmd_cc_binary(name, srcs = [], copts = [], busy = False, **kwargs):
    testonly = kwargs.get("testonly", False)
    native.cc_binary(
        name = name,
        srcs = in_units(name, srcs, testonly),
        copts = _copts(copts, testonly, busy),
        **kwargs
    )

def shmd_cc_static_binary(name, deps, **kwargs):
    """A program that needs no file beside itself: for images FROM scratch.

    glibc's archives too, so there is no loader; still at random addresses. What
    glibc loads at run time after all (NSS modules beyond `files` and `dns`,
    gconv) is not there then, and nothing of ours asks for it."""
    native.cc_binary(
        name = name,
        copts = _COPTS,
        # Gold knows no static-pie, and only gold knows --start-lib. ld warns of
        # each function that could load modules.
        features = ["-supports_start_end_lib"],
        linkopts = ["-static-pie", "-fuse-ld=bfd", "-Wl,--no-warnings"],
        deps = deps + ["@static_libraries//:closure"],
        **kwargs
    )

_TEST_DEPS = ["@googletest//:gtest_main"] + select({
    "//bazel:tsan": ["//tests/testing:tsan_abseil"],
    "//conditions:default": [],
})

def shmd_cc_test(name, srcs, copts = [], deps = [], busy = False, units = True, **kwargs):
    """A test by GoogleTest.

    Args:
      name: of the test.
      srcs: its files.
      copts: further options.
      deps: what it tests.
      busy: whether its own loops take its time, or race for something, and so
        are to be optimized.
      units: whether its files can be compiled as one.
      **kwargs: passed on to cc_test.
    """
    native.cc_test(
        name = name,
        srcs = in_units(name, srcs, testonly = True) if units else srcs,
        copts = _copts(copts, True, busy),
        deps = deps + _TEST_DEPS,
        size = kwargs.pop("size", "small"),
        **kwargs
    )

def shmd_cc_fuzz_target(name, deps = [], corpus = False):
    """NAME_fuzz, for --config=fuzz alone, and a test of its corpus in any build.

    Args:
      name: of the target; NAME_fuzz.cc has its LLVMFuzzerTestOneInput.
      deps: what it calls.
      corpus: whether there is one, in corpus/NAME.
    """
    srcs = [name + "_fuzz.cc"]
    deps = deps + [":fuzz_input"]
    shmd_cc_binary(
        name = name + "_fuzz",
        testonly = True,
        srcs = srcs,
        # Only clang links a fuzzer.
        tags = ["manual"],
        deps = deps,
    )
    if corpus:
        native.cc_test(
            name = name + "_corpus_test",
            size = "small",
            srcs = srcs,
            args = ["tests/fuzz/corpus/" + name],
            copts = _copts([], True, False),
            data = native.glob(["corpus/%s/*" % name]),
            deps = deps + [":replay"],
        )
