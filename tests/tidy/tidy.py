"""Checks the rules of this project that a compiler does not: run by
`bazel test //tests/tidy`, or directly from anywhere in a checkout.

Prints what it found, and the ten largest files; exits with 1 if it found
anything."""

import os
import subprocess
import sys

import cpp_checks
import error_checks
import failpoint_checks
import proto_checks
import seam_checks
import tree_checks
from tree import Tree

CHECKS = [
    cpp_checks.check_kernel_headers,
    cpp_checks.check_grpc_headers,
    cpp_checks.check_no_abort,
    cpp_checks.check_libraries_do_not_log,
    cpp_checks.check_banned_calls,
    cpp_checks.check_function_lengths,
    cpp_checks.check_columns,
    cpp_checks.check_header_guards,
    cpp_checks.check_interfaces,
    cpp_checks.check_layouts,
    error_checks.check_errno_tables,
    error_checks.check_status_converters,
    failpoint_checks.check_failpoints,
    proto_checks.check_comments,
    proto_checks.check_rpc_codes,
    proto_checks.check_reasons_agree,
    proto_checks.check_reasons_tested,
    seam_checks.check_conformance,
    seam_checks.check_registrations,
    tree_checks.check_layers,
    tree_checks.check_file_lengths,
    tree_checks.check_median_length,
    tree_checks.check_suites,
    tree_checks.check_banned_words,
    tree_checks.check_nothing_undone,
    tree_checks.check_no_machine_paths,
    tree_checks.check_no_dead_code,
    tree_checks.check_documents,
]


def check_format(root, tree):
    """clang-format agrees with every C++ file."""
    files = [path for path, _ in tree.cpp()]
    run = subprocess.run(["clang-format-14", "--dry-run", "--Werror"] + files,
                         cwd=root, stderr=subprocess.PIPE, text=True)
    return sorted({line.split(": error:")[0] + ": clang-format disagrees"
                   for line in run.stderr.splitlines() if ": error:" in line}
                  ) if run.returncode else []


def main():
    # Bazel runs this through a link; the checkout is where the link leads.
    here = os.path.dirname(os.path.realpath(__file__))
    root = os.path.dirname(os.path.dirname(here))
    tree = Tree.of_checkout(root)

    failed = 0
    for check in CHECKS + [check_format]:
        findings = check(root, tree) if check is check_format else check(tree)
        if findings:
            failed += 1
            print("%s" % check.__doc__)
            print("\n".join("  " + finding for finding in findings))

    print("The largest files:")
    for lines, path in tree_checks.largest_files(tree):
        print("%6d %s" % (lines, path))
    print("%d files, %d checks, %d failed" % (
        len(tree.files), len(CHECKS) + 1, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
