"""Several sources of a target compiled as one."""

# Most of the time of compiling one of our files goes into the headers of the
# standard library, Abseil, Protobuf and gRPC that it shares with its neighbours.
# More files to a unit gain little more, and a change of one costs its unit.
_FILES_PER_UNIT = 12

def _unit_impl(ctx):
    # Concatenated rather than included: so the unit is all that the compiler
    # reads, and who depends on the library need not have its sources. GCC takes
    # what a #line names for a header, and its classes for shared.
    sources = [src.path for src in ctx.files.srcs if src.extension == "cc"]
    numbered = "".join([" gsub(/%s/, \"%s\" n);" % (name, name) for name in ctx.attr.numbered])
    ctx.actions.run_shell(
        inputs = ctx.files.srcs,
        outputs = [ctx.outputs.out],
        arguments = [ctx.outputs.out.path] + sources,
        command = "out=$1; shift; awk '" +
                  "BEGIN { print \"#ifndef __clang__\\n#pragma GCC diagnostic ignored \\\"-Wsubobject-linkage\\\"\\n#endif\" } FNR == 1 { n++; print \"#line 1 \\\"\" FILENAME \"\\\"\" } {" +
                  numbered + " print }' \"$@\" > \"$out\"",
        mnemonic = "CppUnit",
    )

_unit = rule(
    implementation = _unit_impl,
    attrs = {
        "numbered": attr.string_list(),
        "out": attr.output(mandatory = True),
        "srcs": attr.label_list(allow_files = True, mandatory = True),
    },
)

def unit(name, srcs, numbered = [], **kwargs):
    """One source, NAME.cc, of all `.cc` files among srcs.

    Args:
      name: of the target.
      srcs: files, or rules that make files.
      numbered: names that each file has for itself, and so get a number.
      **kwargs: passed on to the rule.
    """
    _unit(name = name, srcs = srcs, numbered = numbered, out = name + ".cc", **kwargs)

def in_units(name, srcs, testonly = False):
    """What a C++ target compiles instead of its srcs.

    Its `.cc` files in units, or, with --define=units=off, each by itself. So
    what is in an anonymous namespace has a name of its own within its target.

    Args:
      name: of the target.
      srcs: its list.
      testonly: whether it is.
    Returns:
      a value for its srcs.
    """
    sources = [src for src in srcs if src.endswith(".cc")]
    if len(sources) < 2:
        return srcs
    others = [src for src in srcs if not src.endswith(".cc")]
    count = (len(sources) + _FILES_PER_UNIT - 1) // _FILES_PER_UNIT
    units = []
    for i in range(count):
        part = sources[i * len(sources) // count:(i + 1) * len(sources) // count]
        unit(
            name = "%s_unit%d" % (name, i + 1),
            srcs = part,
            testonly = testonly,
            visibility = ["//visibility:private"],
        )
        units.append("%s_unit%d.cc" % (name, i + 1))
    return select({
        str(Label("//bazel:one_by_one")): srcs,
        "//conditions:default": others + units,
    })
