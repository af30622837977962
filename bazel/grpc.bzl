"""C++ messages and gRPC stubs by the host's protoc."""

load(":cc.bzl", "ARCHIVE_ONLY")
load(":units.bzl", "unit")

def _cc_grpc_sources_impl(ctx):
    suffixes = ([".pb.h", ".pb.cc"] if ctx.attr.messages else []) + ([".grpc.pb.h", ".grpc.pb.cc"] if ctx.attr.grpc else [])
    outs = []
    for src in ctx.files.srcs:
        # The path of the output below this package, as the input's.
        path = src.short_path
        if path.startswith("../"):
            path = path[3:].partition("/")[2]
        if ctx.label.package:
            path = path[len(ctx.label.package) + 1:]
        outs += [ctx.actions.declare_file(path[:-len(".proto")] + suffix) for suffix in suffixes]

    root = ctx.label.workspace_root or "."
    out_dir = ctx.bin_dir.path + ("/" + ctx.label.workspace_root if ctx.label.workspace_root else "")
    if ctx.attr.import_root:
        root += "/" + ctx.attr.import_root
        out_dir += "/" + ctx.attr.import_root
    flags = ["-I" + root, "-Iexternal/googleapis"]
    if ctx.attr.messages:
        flags.append("--cpp_out=" + out_dir)
    if ctx.attr.grpc:
        flags += ["--grpc_out=" + out_dir, "--plugin=protoc-gen-grpc=$(command -v grpc_cpp_plugin)"]
    ctx.actions.run_shell(
        inputs = ctx.files.srcs + ctx.files.imports,
        outputs = outs,
        command = "protoc %s %s" % (" ".join(flags), " ".join([src.path for src in ctx.files.srcs])),
        mnemonic = "Protoc",
        use_default_shell_env = True,
    )
    return [DefaultInfo(files = depset(outs))]

_cc_grpc_sources = rule(
    implementation = _cc_grpc_sources_impl,
    attrs = {
        "grpc": attr.bool(default = True),
        "import_root": attr.string(),
        "imports": attr.label_list(allow_files = [".proto"]),
        "messages": attr.bool(default = True),
        "srcs": attr.label_list(allow_files = [".proto"]),
    },
)

def cc_grpc_library(name, srcs, import_root = "", imports = [], deps = [], grpc = True, messages = True, **kwargs):
    """A cc_library of the generated messages, and of the stubs where grpc is set.

    Args:
      name: of the library.
      srcs: .proto files.
      import_root: the folder of the repository that imports start from; this
        package's own.
      imports: .proto files of other packages that srcs import.
      deps: the libraries of those.
      grpc: whether to make service stubs.
      messages: whether to make the messages; else they are one of deps.
      **kwargs: passed on to cc_library.
    """
    _cc_grpc_sources(
        name = name + "_sources",
        srcs = srcs,
        imports = imports,
        import_root = import_root,
        grpc = grpc,
        messages = messages,
    )
    unit(
        name = name + "_unit",
        srcs = [name + "_sources"],
        # protoc's, for the arrays of a file.
        numbered = ["file_default_instances", "schemas"],
    )
    native.cc_library(
        name = name,
        srcs = [name + "_unit.cc"],
        hdrs = [name + "_sources"],
        includes = ["."],
        deps = deps + ["@protobuf//:protobuf"] + (["@grpc//:grpc++"] if grpc else []),
        **dict(kwargs, **ARCHIVE_ONLY)
    )
