"""C++ rules with this project's warnings. Every BUILD file loads these."""

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

def shmd_cc_library(name, copts = [], **kwargs):
    native.cc_library(name = name, copts = _COPTS + copts, **kwargs)

def shmd_cc_binary(name, copts = [], **kwargs):
    native.cc_binary(name = name, copts = _COPTS + copts, **kwargs)

def shmd_cc_test(name, copts = [], deps = [], **kwargs):
    native.cc_test(
        name = name,
        copts = _COPTS + copts,
        deps = deps + ["@googletest//:gtest_main"],
        size = kwargs.pop("size", "small"),
        **kwargs
    )
