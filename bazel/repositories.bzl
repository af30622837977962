"""Every dependency is on the host: Bazel downloads nothing."""

_CC_RULES = [
    "cc_binary",
    "cc_import",
    "cc_library",
    "cc_proto_library",
    "cc_test",
    "cc_toolchain",
    "cc_toolchain_suite",
    "fdo_prefetch_hints",
    "fdo_profile",
    "objc_import",
    "objc_library",
]

# Abseil is split, so that code below gRPC links what it names and no more.
_ABSL = {
    "cleanup": ["absl_cleanup"],
    "containers": ["absl_flat_hash_map", "absl_flat_hash_set", "absl_btree"],
    "random": ["absl_random_random"],
    "span": ["absl_span"],
    "status": ["absl_status", "absl_statusor"],
    "strings": ["absl_strings", "absl_str_format"],
    "synchronization": ["absl_synchronization"],
    "time": ["absl_time"],
}

def _rules_cc_impl(ctx):
    # Bazel 4.2.3 loads @rules_cc; Debian's copy is too new for it.
    ctx.file("WORKSPACE", "")
    ctx.file("BUILD", "")
    ctx.file("cc/BUILD", "")
    ctx.file("cc/action_names.bzl", "")
    ctx.file("cc/defs.bzl", "".join(["%s = native.%s\n" % (rule, rule) for rule in _CC_RULES]))

_rules_cc = repository_rule(implementation = _rules_cc_impl)

def _coverage_tools_impl(ctx):
    # `bazel test` resolves this label even when nobody asks for coverage.
    ctx.file("WORKSPACE", "")
    ctx.file("BUILD", "sh_binary(name = 'coverage_report_generator', srcs = ['none.sh'], visibility = ['//visibility:public'])\n")
    ctx.file("none.sh", "#!/bin/sh\n", executable = True)

_coverage_tools = repository_rule(implementation = _coverage_tools_impl)

def _pkg_config_libraries_impl(ctx):
    build = ""
    for target, packages in ctx.attr.targets.items():
        found = ctx.execute(["pkg-config", "--libs"] + packages)
        if found.return_code:
            fail("a system library is missing; run scripts/setup\n" + found.stderr)
        linkopts = [opt for opt in found.stdout.strip().split(" ") if opt]
        build += "cc_library(name = %r, linkopts = %r, visibility = ['//visibility:public'])\n" % (target, linkopts)
    ctx.file("WORKSPACE", "")
    ctx.file("BUILD", build)

_pkg_config_libraries = repository_rule(
    implementation = _pkg_config_libraries_impl,
    local = True,
    attrs = {
        "targets": attr.string_list_dict(mandatory = True),
    },
)

def _static_closure_impl(ctx):
    # What archives need of each other is only known to `--static`. In a group,
    # because Abseil's and gRPC's need each other in circles.
    found = ctx.execute(["pkg-config", "--static", "--libs"] + ctx.attr.packages)
    if found.return_code:
        fail("a system library is missing; run scripts/setup\n" + found.stderr)
    libraries = {opt: True for opt in found.stdout.replace("\n", " ").split(" ") if opt.startswith("-l")}
    linkopts = ["-Wl,--start-group"] + libraries.keys() + ["-Wl,--end-group"]
    ctx.file("WORKSPACE", "")
    ctx.file("BUILD", "cc_library(name = 'closure', linkopts = %r, visibility = ['//visibility:public'])\n" % linkopts)

_static_closure = repository_rule(
    implementation = _static_closure_impl,
    local = True,
    attrs = {
        "packages": attr.string_list(mandatory = True),
    },
)

def _header_library_impl(ctx):
    if not ctx.path(ctx.attr.header).exists:
        fail("%s is missing; run scripts/setup" % ctx.attr.header)
    ctx.file("WORKSPACE", "")
    ctx.file("BUILD", "cc_library(name = %r, linkopts = %r, visibility = ['//visibility:public'])\n" % (ctx.attr.target, ctx.attr.linkopts))

_header_library = repository_rule(
    implementation = _header_library_impl,
    local = True,
    attrs = {
        "header": attr.string(mandatory = True),
        "target": attr.string(mandatory = True),
        "linkopts": attr.string_list(),
    },
)

def _googleapis_impl(ctx):
    # scripts/setup unpacks PyPI's googleapis-common-protos there.
    cache = ctx.os.environ.get("XDG_CACHE_HOME", "") or ctx.os.environ.get("HOME", "") + "/.cache"
    found = ctx.path(cache + "/shmd/googleapis/google")
    if not found.exists:
        fail("the googleapis protos are missing; run scripts/setup")
    ctx.file("WORKSPACE", "")
    ctx.symlink(found, "google")
    ctx.symlink(Label("//bazel:googleapis.BUILD"), "BUILD")

_googleapis = repository_rule(
    implementation = _googleapis_impl,
    local = True,
    environ = ["HOME", "XDG_CACHE_HOME"],
)

def host_repositories():
    """Declares every repository that the build loads."""
    _rules_cc(name = "rules_cc")
    _coverage_tools(name = "remote_coverage_tools")
    native.local_repository(name = "rules_java", path = "/usr/share/bazel/rules/java")
    native.local_repository(name = "rules_proto", path = "/usr/share/bazel/rules/proto")
    native.local_repository(name = "platforms", path = "/usr/share/bazel/tools/platforms")
    native.local_repository(name = "bazel_skylib", path = "/usr/share/bazel/tools/skylib")
    _googleapis(name = "googleapis")
    _pkg_config_libraries(name = "absl", targets = _ABSL)
    _pkg_config_libraries(name = "protobuf", targets = {"protobuf": ["protobuf"]})
    _pkg_config_libraries(name = "grpc", targets = {"grpc++": ["grpc++", "protobuf"]})
    _pkg_config_libraries(
        name = "googletest",
        targets = {
            "gtest": ["gtest", "gmock"],
            "gtest_main": ["gtest_main", "gmock"],
        },
    )
    _pkg_config_libraries(name = "benchmark", targets = {"benchmark": ["benchmark"]})
    _pkg_config_libraries(name = "sodium", targets = {"sodium": ["libsodium"]})
    _pkg_config_libraries(name = "sqlite", targets = {"sqlite": ["sqlite3"]})
    _pkg_config_libraries(name = "openssl", targets = {"crypto": ["libcrypto"]})
    _pkg_config_libraries(name = "png", targets = {"png": ["libpng"]})
    _pkg_config_libraries(name = "numa", targets = {"numa": ["numa"]})
    _pkg_config_libraries(name = "jemalloc", targets = {"jemalloc": ["jemalloc"]})
    _static_closure(
        name = "static_libraries",
        packages = [package for part in _ABSL.values() for package in part] +
                   ["grpc++", "protobuf", "libsodium", "sqlite3", "libcrypto", "numa", "jemalloc"],
    )
    _header_library(name = "cli11", target = "cli11", header = "/usr/include/CLI/CLI.hpp")
    _header_library(name = "json", target = "json", header = "/usr/include/nlohmann/json.hpp")
    _header_library(name = "relacy", target = "relacy", header = "/usr/include/relacy/relacy.hpp")
