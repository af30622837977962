"""Each check finds a bad sample, and leaves a good one alone."""

import unittest

import cpp_checks
import error_checks
import failpoint_checks
import proto_checks
import seam_checks
import tidy
import tree_checks
from tree import Tree, without_comments_and_strings

ERRORS = """
// Why.
enum ErrorReason {
  // Never sent.
  ERROR_REASON_UNSPECIFIED = 0;
  // A size.
  SIZE_INVALID = 1;
}
"""
REASONS = 'inline constexpr char kSizeInvalid[] = "SIZE_INVALID";\n'
DOC = "| `SIZE_INVALID` | a size |\n"


def reasons_tree(**changes):
    files = {
        "protos/shmd/v1/errors.proto": ERRORS,
        "base/error_reason.h": REASONS,
        "docs/errors.md": DOC,
        "base/error_test.cc": "EXPECT_EQ(r, reason::kSizeInvalid);",
    }
    files.update({k.replace("__", "/").replace("DOT", "."): v
                  for k, v in changes.items()})
    return Tree(files)


class ChecksTest(unittest.TestCase):

    def assert_finds(self, check, files, *parts, executable=()):
        findings = check(Tree(files, executable))
        self.assertEqual(len(findings), 1, findings)
        for part in parts:
            self.assertIn(part, findings[0])

    def assert_clean(self, check, files, executable=()):
        self.assertEqual(check(Tree(files, executable)), [])

    def test_every_check_of_the_run_has_a_sample_here(self):
        with open(__file__) as f:
            text = f.read()
        for check in tidy.CHECKS:
            self.assertIn("%s.%s" % (check.__module__, check.__name__), text)

    def test_kernel_headers(self):
        check = cpp_checks.check_kernel_headers
        include = "#include <sys/mman.h>\n"
        self.assert_finds(check, {"shm/memfd_backend.cc": include}, "mman.h")
        self.assert_finds(check, {"server/a.cc": " # include <sys/shm.h>\n"},
                          "shm.h")
        self.assert_clean(check, {"shm/sys/memory.cc": include,
                                  "shm/memfd_backend_test.cc": include,
                                  "tests/x.cc": include})

    def test_grpc_headers(self):
        check = cpp_checks.check_grpc_headers
        grpc = "#include <grpcpp/grpcpp.h>\n"
        message = '#include "protos/shmd/v1/attach.pb.h"\n'
        stub = '#include "protos/shmd/v1/segment.grpc.pb.h"\n'
        self.assert_finds(check, {"server/registry/a.h": grpc}, "grpcpp")
        self.assert_finds(check, {"server/attach/a.cc": stub}, "grpc.pb.h")
        self.assert_finds(check, {"shm/handle.cc": message}, "attach.pb.h")
        self.assert_finds(
            check, {"base/a.cc": "#include <google/protobuf/any.h>\n"}, "any.h")
        self.assert_clean(check, {"server/attach/a.cc": message,
                                  "server/rpc/a.cc": grpc + stub + message,
                                  "client/cpp/a.cc": grpc,
                                  "bench/a.cc": grpc, "examples/a.cc": grpc})

    def test_no_abort(self):
        check = cpp_checks.check_no_abort
        self.assert_finds(check, {"shm/a.cc": "\nCHECK(x);"}, "shm/a.cc:2")
        self.assert_finds(check, {"server/a.cc": "CHECK_EQ(x, 1);"}, "CHECK_EQ")
        self.assert_finds(check, {"client/cpp/a.h": "std::abort();"}, "abort")
        self.assert_finds(check, {"shm/a.cc": "assert(x > 0);"}, "assert")
        self.assert_clean(check, {
            "shm/a.cc": 'static_assert(sizeof(int) == 4); // abort()\n'
                        'Say("abort()");',
            "shm/a_test.cc": "assert(x);", "bench/a.cc": "abort();"})

    def test_libraries_do_not_log(self):
        check = cpp_checks.check_libraries_do_not_log
        self.assert_finds(check, {"shm/a.cc": 'Log(LogLevel::kError, "x");'},
                          "kError")
        self.assert_finds(check, {"client/cpp/a.cc": 'std::cerr << 1;'}, "cerr")
        self.assert_clean(check, {"shm/a.cc": 'Log(LogLevel::kDebug, "x");',
                                  "base/log.cc": "fprintf(stderr, s);",
                                  "cli/a.cc": 'printf("x");'})

    def test_banned_calls(self):
        check = cpp_checks.check_banned_calls
        self.assert_finds(check, {"cli/a.cc": "\nint a = atoi(b);"},
                          "cli/a.cc:2", "absl::SimpleAtoi")
        self.assert_finds(check, {"shm/a.h": "std::strcpy (a, b);"}, "snprintf")
        self.assert_finds(check, {"examples/a.c": "return ::rand();"}, "rand")
        self.assert_clean(check, {
            "shm/a.cc": 'rl::rand(1); a.system(); b->gets(); my_atoi("");\n'
                        'snprintf(a, 1, "atoi()"); // strcpy(a, b)',
            "shm/a_test.cc": "strcpy(a, b);"})

    def test_errno_tables(self):
        check = error_checks.check_errno_tables
        one = 'return StatusOfErrno(errno, "mmap", kMmapTable);\n'
        other = 'StatusOfErrno(a ? 1 : errno, "mmap",\n  kOtherTable);\n'
        self.assert_finds(check, {"shm/sys/a.cc": one + other},
                          "mmap has 2 tables", "kOtherTable in shm/sys/a.cc")
        self.assert_finds(check, {"shm/sys/a.cc": one, "shm/sys/b.cc": one},
                          "mmap has 2 tables")
        self.assert_finds(check, {"shm/a.cc": "const ErrnoRow kTable[] = {"},
                          "outside shm/sys/")
        self.assert_clean(check, {
            "shm/sys/a.cc": "constexpr ErrnoRow kTable[] = {};\n" + one + one
                            + 'StatusOfErrno(errno, "mmap", {});'})

    def test_status_converters(self):
        check = error_checks.check_status_converters
        to_grpc = "grpc::Status ToGrpc(const absl::Status& status) {\n}\n"
        back = "absl::Status FromGrpc(const grpc::Status& s, int a) {\n}\n"
        self.assert_finds(
            check, {"server/a.cc": to_grpc,
                    "server/b.cc": to_grpc.replace("ToGrpc", "AsGrpc")},
            "absl::Status to grpc::Status", "AsGrpc in server/b.cc")
        self.assert_clean(check, {
            "server/a.cc": to_grpc, "client/a.cc": back,
            "server/a.h": to_grpc.replace(" {\n}", ";"), "bench/a.cc": to_grpc,
            "base/a.cc": "absl::Status A(absl::Status s) {\n}\n" * 2})

    def test_conformance(self):
        check = seam_checks.check_conformance
        backend = ("class ABackend final : public Backend {\n"
                   "  BackendKind kind() const override {"
                   " return BackendKind::kA; }\n};\n")
        suite = "tests/conformance/backend_conformance_test.cc"
        case = "BackendCase{BackendKind::kA, 4096}"
        self.assert_clean(check, {"shm/a_backend.h": backend, suite: case})
        for bad in ("", "// " + case, case.replace("kA", "kAB")):
            self.assert_finds(check, {"shm/a_backend.h": backend, suite: bad},
                              "ABackend is not in")
        self.assert_finds(check, {suite: case, "shm/a_backend.h":
                                  "class B : public Backend {};"}, "B is not")

    def test_registrations(self):
        check = seam_checks.check_registrations
        for seam in ("shm/a_backend", "server/rpc/a_service"):
            include = '#include "%s.h"\n' % seam
            files = {seam + ".cc": include, seam + "_more.cc": include,
                     seam + "_test.cc": include, "server/one.cc": include}
            self.assert_clean(check, files)
            self.assert_finds(check, {**files, "server/two.cc": include},
                              "server/one.cc and server/two.cc")

    def test_function_lengths(self):
        check = cpp_checks.check_function_lengths
        body = "  x();\n" * 69
        long_one = "namespace a {\nint F(int y) const {\n%s  x();\n}\n}\n" % body
        self.assert_finds(check, {"shm/a.cc": long_one}, "shm/a.cc:2", "72")
        initialised = "A::A(int b)\n    : b_(b), c_{1} {\n%s  x();\n}\n" % body
        self.assert_finds(check, {"shm/a.cc": initialised}, "72")
        macro = "TEST(A, B) {\n%s  if (a) {\n  }\n}\n" % body
        self.assert_finds(check, {"shm/a_test.cc": macro}, "73")
        good = "int F() {\n%s}\n" % body[:-7]
        self.assert_clean(check, {
            "shm/a.cc": good + good, "shm/a.h": "class A {\n%s};" % ("\n" * 90),
            "shm/b.cc": "namespace {\n%s}\n" % (good * 3),
            "shm/c.cc": "const int t[] = {\n%s};\n" % ("1,\n" * 90)})

    def test_columns(self):
        check = cpp_checks.check_columns
        self.assert_finds(check, {"shm/a.cc": "\n" + "x" * 81}, "shm/a.cc:2")
        self.assert_clean(check, {
            "shm/a.cc": "x" * 80, "a.md": "x" * 200,
            "b.cc": '#include "%s"' % ("x" * 80)})

    def test_header_guards(self):
        check = cpp_checks.check_header_guards
        good = "#ifndef SHMD_SHM_A_H_\n#define SHMD_SHM_A_H_\n" \
               "#endif  // SHMD_SHM_A_H_\n"
        self.assert_finds(check, {"shm/b.h": good}, "SHMD_SHM_B_H_")
        self.assert_finds(check, {"shm/a.h": "#pragma once\n"}, "SHMD_SHM_A_H_")
        self.assert_clean(check, {"shm/a.h": good})

    def test_interfaces(self):
        check = cpp_checks.check_interfaces
        clock = "class Clock {\n virtual ~Clock() = default;\n" \
                " virtual int Now() const = 0;\n};\n"
        real = "class RealClock final : public Clock {};\n"
        fake = "class FakeClock : public Clock {};\n"
        self.assert_finds(check, {"base/a.h": clock + real}, "Clock has 1")
        self.assert_clean(check, {"base/a.h": clock + real,
                                  "base/a_test.cc": fake})

    def test_layouts(self):
        check = cpp_checks.check_layouts
        struct = "struct Slot {\n  uint64_t size;\n  char name[8];\n};\n"
        asserts = "".join("static_assert(%s == 8);\n" % what for what in (
            "sizeof(Slot)", "alignof(Slot)", "offsetof(Slot, size)"))
        asserts += "static_assert(std::is_trivially_copyable_v<Slot>);\n"
        self.assert_finds(check, {"shm/layout/a.h": struct + asserts},
                          "offsetof(Slot, name)")
        asserts += "static_assert(offsetof(Slot, name) == 8);\n"
        self.assert_clean(check, {"shm/layout/a.h": struct + asserts,
                                  "shm/a.h": struct})

    def test_proto_comments(self):
        check = proto_checks.check_comments
        for bad in ("message M {\n}", "// A.\nmessage M {\n  int32 a = 1;\n}",
                    "// A.\nenum E {\n  A_B = 0;\n}",
                    "// A.\nservice S {\n  rpc A(B) returns (C);\n}",
                    "// A.\nmessage M {\n  oneof o {\n  }\n}",
                    "// A.\nmessage M {\n  map<string, string> m = 1;\n}",
                    "// A.\nmessage M {\n  optional a.b.C m = 1;\n}"):
            self.assert_finds(check, {"protos/a.proto": bad}, "no comment")
        self.assert_clean(check, {"protos/a.proto": (
            "// A.\nmessage M {\n  option (x) = {\n    a: 1\n    type: \"x\"\n"
            "  };\n  // B.\n  // C.\n  int32 a = 1 [(b) = C];\n}\n")})

    def test_rpc_codes(self):
        check = proto_checks.check_rpc_codes
        rpc = "// A.\nservice S {\n  // B.\n%s  rpc A(B) returns (C);\n}\n"

        def files(codes):
            return {"protos/a.proto": rpc % codes,
                    "protos/shmd/v1/errors.proto": ERRORS}
        self.assert_finds(check, files(""), "no codes")
        self.assert_finds(check, files("  // Codes: whatever.\n"),
                          "no code that gRPC has")
        self.assert_finds(
            check, files("  // Codes: OK; INVALID_ARGUMENT (COLOR_INVALID).\n"),
            "COLOR_INVALID is neither")
        self.assert_clean(
            check, files("  // Codes: OK; INVALID_ARGUMENT (SIZE_INVALID).\n"))
        self.assert_clean(check, files("  // Codes: as GetSegment.\n"))

    def test_reasons_agree(self):
        check = proto_checks.check_reasons_agree
        self.assertEqual(check(reasons_tree()), [])
        found = check(reasons_tree(docs__errorsDOTmd=""))
        self.assertIn("docs/errors.md: SIZE_INVALID is missing", found)
        found = check(reasons_tree(docs__errorsDOTmd=DOC + "| `GONE_X` | |\n"))
        self.assertIn("GONE_X is not in", found[0])
        found = check(reasons_tree(base__error_reasonDOTh=""))
        self.assertIn("error_reason.h: SIZE_INVALID is missing", found[0])
        found = check(reasons_tree(
            base__error_reasonDOTh=REASONS.replace("kSize", "kWeight")))
        self.assertIn("kWeightInvalid stands for SIZE_INVALID", found[0])

    def test_reasons_tested(self):
        check = proto_checks.check_reasons_tested
        excuses = "tests__tidy__untested_reasonsDOTtxt"
        self.assertEqual(check(reasons_tree()), [])
        found = check(reasons_tree(base__error_testDOTcc=""))
        self.assertEqual(found, ["SIZE_INVALID: no test asserts it"])
        self.assertEqual(check(reasons_tree(
            base__error_testDOTcc="", **{excuses: "SIZE_INVALID: because\n"})),
            [])
        for line, part in (("SIZE_INVALID: because\n", "take it off"),
                           ("GONE_X: because\n", "there is no reason")):
            self.assertIn(part, check(reasons_tree(**{excuses: line}))[0])
        found = check(reasons_tree(base__error_testDOTcc="",
                                   **{excuses: "SIZE_INVALID\n"}))
        self.assertIn("no explanation", found[0])

    def test_layers(self):
        check = tree_checks.check_layers

        def build(**deps):
            return {package.replace("_", "/") + "/BUILD":
                    'shmd_cc_library(name = "x", deps = %r)' % (dep,)
                    for package, dep in deps.items()}
        self.assert_finds(check, build(shm=["//protos/shmd/v1:services"]),
                          "//shm:x -> //protos")
        self.assert_finds(check, build(base=["@grpc//:grpc++"]), "@grpc")
        self.assert_finds(
            check, build(server=["//bench:x"], bench=["//client/cpp"]),
            "//server:x -> //bench:x -> //client/cpp:cpp")
        self.assert_finds(check, build(client_cpp=["//server/registry"]),
                          "clients do not know")
        self.assert_clean(check, build(
            shm=["//base:x", "@absl//:status"], base=["@absl//:time"],
            server=["//shm:x", "//protos/shmd/v1:services"],
            client=["//shm:x"], tests=["//server:x", "//client:x"]))

    def test_file_lengths(self):
        check = tree_checks.check_file_lengths
        self.assert_finds(check, {"shm/a.cc": "\n" * 501}, "501 lines")
        self.assert_finds(check, {"tests/a.py": "\n" * 801}, "801 lines")
        self.assert_clean(check, {"shm/a.cc": "\n" * 500, "a.json": "\n" * 999,
                                  "shm/a_test.cc": "\n" * 800})
        self.assertEqual(
            tree_checks.largest_files(Tree({"a.cc": "\n", "b.cc": "\n\n"})),
            [(2, "b.cc"), (1, "a.cc")])

    def test_median_length(self):
        check = tree_checks.check_median_length
        self.assert_finds(check, {"a.cc": "\n" * 151, "b.cc": "\n" * 152},
                          "151 lines")
        self.assert_clean(check, {"a.cc": "\n" * 150, "b.cc": "\n" * 400,
                                  "c.md": "\n" * 999})

    def test_suites(self):
        check = tree_checks.check_suites
        test = '[shmd_cc_test(\n    name = x,\n) for x in y]\n'
        suite = 'test_suite(\n    name = "tests",\n)\n'
        listed = '    "//shm:tests",\n'
        self.assert_clean(check, {"shm/BUILD": test + suite,
                                  "tests/BUILD": listed,
                                  "base/BUILD": 'load("x", "shmd_cc_test")'})
        for build, suites, part in (
                (test, "", "0 test_suites"),
                (test + suite, "", "//shm:tests is in 0 suites"),
                (test + suite, listed + listed, "//shm:tests is in 2 suites"),
                (test + suite.replace(",\n)", ",\n    tests = [],\n)"), "",
                 "0 test_suites")):
            self.assert_finds(
                check, {"shm/BUILD": build, "tests/BUILD": suites}, part)

    def test_banned_words(self):
        check = tree_checks.check_banned_words
        self.assert_finds(check, {"shm/file_utils.cc": ""}, "file's name")
        self.assert_finds(check, {"shm/a.cc": "class SegmentManager {};"},
                          "SegmentManager")
        self.assert_finds(check, {"a.py": "def read_helper():\n  pass\n"},
                          "read_helper")
        self.assert_finds(check, {"a.go": "func commonPath() {}"}, "commonPath")
        self.assert_finds(check, {"a.proto": "message NodeInfo {}"}, "NodeInfo")
        self.assert_clean(check, {
            "a.cc": "google::rpc::ErrorInfo d; siginfo_t s; // manager\n"
                    'Say("core");\n#include "x/util.h"\n',
            "a.py": "import importlib.util\nimportlib.util.find(1)\n",
            "a.md": "helper"})

    def test_nothing_undone(self):
        check = tree_checks.check_nothing_undone
        for bad in ("// TO" "DO: later", "# FIX" "ME", "GTEST_SK" "IP();"):
            self.assert_finds(check, {"a.cc": bad}, "undone")
        self.assert_clean(check, {"a.cc": "// All done. TODOS"})

    def test_no_machine_paths(self):
        check = tree_checks.check_no_machine_paths
        for bad in ("/wo" "rk/x", "cd /ro" "ot/x", "/tmp/ba" "sh_x",
                    "/ho" "me/me"):
            self.assert_finds(check, {"a.md": bad}, "one machine")
        self.assert_clean(check, {"a.md": "network/work/x $HOME/x /tmp/x"})

    def test_no_dead_code(self):
        check = tree_checks.check_no_dead_code
        for bad in ("// Close(fd);", "  // return x;", "// if (a) {",
                    "// int a = 1;", "  // x_ = 5;", "#if 0"):
            self.assert_finds(check, {"a.cc": bad}, "code in a comment")
        for bad in ("# foo(bar)", "# x = foo(1)", "# import os",
                    "    # def f():"):
            self.assert_finds(check, {"a.py": bad}, "code in a comment")
        self.assert_clean(check, {
            "a.cc": "// It is charged to who touches it;\n//   Close(fd);\n"
                    "// mlock(2);\n// if it is so, so be it;",
            "a.py": "# Calls f(x) again.\n# so x = y, and"})

    def test_failpoints(self):
        check = failpoint_checks.check_failpoints
        rows = ["a.b%s daemon" % ("x" * i) for i in range(1, 41)] + [
            "c.d%s client" % ("x" * i) for i in range(1, 25)] + [
            "a.c%s channel" % ("x" * i) for i in range(1, 9)]
        places = {"daemon": "", "client": "", "channel": ""}
        for row in rows:
            name, program = row.split()
            places[program] += 'SHMD_FAILPOINT("%s");\n' % name
        files = {"server/a.cc": places["daemon"],
                 "client/cpp/a.cc": places["client"],
                 "shm/channel/a.h": places["channel"],
                 "tests/crash/failpoints.txt": "# Why.\n" + "\n".join(rows)}
        self.assert_clean(check, files)
        for path, text, part in (
                ("server/b.cc", 'SHMD_FAILPOINT("a.bx");', "in 2 places"),
                ("server/b.cc", 'SHMD_FAILPOINT_STATUS("a.new")', "not list"),
                ("server/b.cc", "SHMD_FAILPOINT(name)", "no name"),
                ("server/b.cc", 'SHMD_FAILPOINT("ab")', "no name"),
                ("client/cpp/a.cc",
                 places["client"].replace("c.dx\"", "c.e\"") +
                 'SHMD_FAILPOINT("c.dx")', "not list")):
            self.assert_finds(check, {**files, path: text}, part)
        self.assert_finds(
            check, {**files, "server/a.cc": places["daemon"].replace(
                'SHMD_FAILPOINT("a.bx");', "")}, "a.bx: in 0 places")
        for bad in (rows[::-1], rows + ["a.c"]):
            self.assertTrue(check(Tree({
                **files, "tests/crash/failpoints.txt": "\n".join(bad)})))

    def test_documents(self):
        check = tree_checks.check_documents
        files = {"README.md": "`scripts/demo` [a](docs/a.md#x) [b](shm)\n"
                              "bazel test -c opt //shm:a_test //...\n",
                 "docs/a.md": "[up](../README.md) [web](https://x.y)",
                 "shm/BUILD": 'shmd_cc_test(name = "a_test")',
                 "scripts/demo": ""}
        self.assert_clean(check, files, executable=["scripts/demo"])
        self.assert_finds(check, files, "scripts/demo")
        for bad, part in (("[x](docs/none.md)", "leads nowhere"),
                          ("bazel run //shm:none", "there is no //shm:none"),
                          ("run scripts/none", "scripts/none")):
            self.assert_finds(check, {"README.md": bad}, part)

    def test_comments_and_strings_go_and_lines_stay(self):
        code = 'a("x{y") /* {\n */ b(\'"\'); // {\nc(1\'000); R"t({\n")t" d'
        clean = without_comments_and_strings(code)
        self.assertEqual(clean.count("\n"), code.count("\n"))
        self.assertNotIn("{", clean)
        self.assertIn("c(1000)", clean)
        self.assertTrue(clean.endswith(" d"))


if __name__ == "__main__":
    unittest.main()
