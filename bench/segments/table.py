#!/usr/bin/python3
"""Makes the table of bench/segments out of its JSON.

    bench/segments/table.py segments.json... [--tables FILE...]

One column for each JSON file, which differ in where the daemon ran. In each of
the files the table stands between `<!-- segments:full -->` and
`<!-- segments:end -->`, the machine between `<!-- segments:machine -->` and the
same; what stands there is replaced. All figures are medians over the
repetitions of the median of a repetition (counter `p50_us`, in microseconds).
"""

import argparse
import json
import re
import statistics

MIB = 1 << 20
NOTHING = "unary/write_nothing"
LARGE_BYTES = 64 * MIB
# Of rows whose replies have only what that view has.
IDENTITY = ", IDENTITY"
BY_CLIENT = ", by the C++ client"
BACKENDS = ("memfd", "posix", "sysv", "mapped_file")
SIZES = ((4096, "4 KiB"), (MIB, "1 MiB"))


class Results:
    """Medians and spread over the repetitions of one run."""

    def __init__(self, path, quantile):
        with open(path) as f:
            document = json.load(f)
        self.context = document["context"]
        times, kernel = {}, {}
        for entry in document["benchmarks"]:
            if entry["run_type"] != "iteration":
                continue
            name = entry["run_name"].replace("/manual_time", "")
            times.setdefault(name, []).append(entry[quantile])
            beside = entry.get("kernel_" + quantile)
            if beside is not None:
                kernel.setdefault(name, []).append(beside)
        self._kernel_beside = {n: statistics.median(t)
                               for n, t in kernel.items()}
        self.repetitions = max(map(len, times.values()))
        self.medians = {n: statistics.median(t) for n, t in times.items()}
        self.spreads = {n: (min(t), max(t)) for n, t in times.items()}

    def __contains__(self, name):
        return name in self.medians

    def __getitem__(self, name):
        return self.medians[name]

    def kernel_of(self, name, kernel):
        """The kernel's part of a benchmark: what was timed by turns with it,
        else the benchmark `kernel`."""
        return self._kernel_beside.get(name, self.medians[kernel])

    def time(self, name, part=1):
        least, most = self.spreads[name]
        return "%.4g µs (%.4g–%.4g)" % (self[name] / part, least / part,
                                        most / part)


class Row:
    """A line: what was measured, what beside it, and whether that is well."""

    def __init__(self, label, needs, cell):
        self.label = label
        self.needs = needs
        self.cell = cell

    def text(self, results):
        if any(name not in results for name in self.needs):
            return "–"
        return self.cell(results)


def verdict(ratio, limit):
    return "%.2f, %s %.2f" % (ratio, "within" if ratio <= limit else "MISSES",
                              limit)


def simple(label, name):
    return Row(label, [name], lambda r: r.time(name))


def create_row(operation, backend, size, size_name, view="", by=""):
    kind = "%s/%d" % (backend, size)
    ours = "%s%s%s/%s" % (by, operation, view.replace(", ", "_").lower(), kind)
    kernel = "kernel_%s/%s" % (operation, kind)

    def cell(results):
        bare = results.kernel_of(ours, kernel)
        allowed = 1.15 * results[NOTHING] + bare
        text = "%s; kernel %.3g µs; %.2f × no-op; of 1.15 × no-op + kernel: %s" % (
            results.time(ours), bare, results[ours] / results[NOTHING],
            verdict(results[ours] / allowed, 1))
        recorded = "kernel_recorded/" + kind
        if operation == "create" and recorded in results:
            allowed += results[recorded] - results[kernel]
            text += "; with a flushed record %.3g µs: %.2f" % (
                results[recorded], results[ours] / allowed)
        return text
    return Row("%s %s, %s%s%s" % (operation, backend, size_name, view,
                                  BY_CLIENT if by else ""),
               [ours, kernel, NOTHING], cell)


def batch_row(operation, count, view="", ours=None, by=""):
    ours = ours or "batch_%s/memfd%s/%d" % (
        operation, view.replace(", ", "_").lower(), count)
    kernel = "kernel_batch_%s/memfd/%d" % (operation, count)

    def cell(results):
        net = results[ours] - results[NOTHING]
        return ("%s each; kernel %.3g µs each; × kernel: %s; "
                "less one no-op call: %.2f" % (
                    results.time(ours, count), results[kernel] / count,
                    verdict(results[ours] / results[kernel], 1.2),
                    net / results[kernel]))
    return Row("%s %d memfd segments in a batch%s%s" % (
        operation, count, view, by), [ours, kernel, NOTHING], cell)


def attach_row(label, ours, bare, limit=1.3):
    def cell(results):
        return "%s; bare %.3g µs: %s" % (
            results.time(ours), results[bare],
            verdict(results[ours] / results[bare], limit))
    return Row(label, [ours, bare], cell)


def first_attach_row():
    ours, bare = "first_attach/memfd", "kernel_attach/reopened"
    kernel = "kernel_create/memfd/4096"

    def cell(results):
        both = results[bare] + results[kernel]
        return "%s; bare + kernel's create %.3g µs: %s" % (
            results.time(ours), both, verdict(results[ours] / both, 1.3))
    return Row("attach memfd, the first after its create", [ours, bare, kernel],
               cell)


def rate_row(label, name, reference=None):
    def cell(results):
        text = "%.3g GB/s" % (LARGE_BYTES / results[name] / 1000)
        if reference is not None:
            text += "; %.2f of the first line" % (results[reference] /
                                                   results[name])
        return text
    return Row(label, [name] + ([reference] if reference else []), cell)


def all_rows():
    rows = [simple("no-op call (WriteSegment of no bytes)", NOTHING),
            simple("… right after a create", "unary/write_nothing_amid"),
            simple("DeleteSegment of an absent name", "unary/delete_absent"),
            simple("CreateHandle", "unary/create_handle"),
            simple("GetSegment, BASIC", "unary/get_basic")]
    for operation, view, by in (("create", "", "client_"), ("create", "", ""),
                                ("create", IDENTITY, ""),
                                ("delete", "", "client_"), ("delete", "", "")):
        rows += [create_row(operation, backend, size, size_name, view, by)
                 for backend in BACKENDS for size, size_name in SIZES]
    rows += [batch_row("create", count, "",
                       "client_create_many/memfd/%d" % count,
                       ", alike" + BY_CLIENT) for count in (64, 900)]
    rows += [batch_row(operation, count, view)
             for operation, view in (("create", ""), ("create", IDENTITY),
                                     ("delete", "")) for count in (64, 900)]
    for backend in BACKENDS:
        rows.append(attach_row("attach %s" % backend, "attach/%s" % backend,
                               "kernel_attach/reopened"))
    rows.append(first_attach_row())
    for backend in BACKENDS:
        rows.append(attach_row("attach + detach %s" % backend,
                               "attach_detach/%s" % backend,
                               "kernel_attach_detach/reopened"))
    rows.append(attach_row("attach + detach memfd by the C++ client",
                           "client_attach_detach/memfd",
                           "kernel_attach_detach/reopened"))
    rows.append(simple("bare process, the same descriptor again + mmap",
                       "kernel_attach/same"))
    warm = "memset_warm_memory"
    rows += [rate_row("memset of warm private memory, 64 MiB", warm),
             rate_row("memcpy into warm private memory", "memcpy_warm_memory",
                      warm)]
    for pages in ("4KiB", "2MiB"):
        for label, name in (("memset of a warm segment", "fill_warm_segment"),
                            ("memcpy into a warm segment", "put_warm_segment"),
                            ("first touch of a fresh segment", "first_touch"),
                            ("create, attach and memcpy", "put_fresh")):
            rows.append(rate_row("%s, pages of %s" % (label, pages),
                                 "%s/%s" % (name, pages), warm))
    return rows


def full_table(runs):
    heads = [r.context.get("placement", "free") for r in runs]
    lines = ["| | " + " | ".join("daemon: %s CPU" % h for h in heads) + " |",
             "|---" * (len(runs) + 1) + "|"]
    for row in all_rows():
        cells = [row.text(r) for r in runs]
        if any(c != "–" for c in cells):
            lines.append("| %s | %s |" % (row.label, " | ".join(cells)))
    return "\n".join(lines)


def machine(runs):
    context = runs[0].context
    return "%d CPUs of %d MHz; load average at the start %s; %d repetitions; %s." % (
        context["num_cpus"], context["mhz_per_cpu"],
        ", ".join("%.1f" % r.context["load_avg"][0] for r in runs),
        min(r.repetitions for r in runs), context["date"][:10])


def replace_tables(path, runs):
    made = {"full": full_table, "machine": machine}
    with open(path) as f:
        text = f.read()
    text = re.sub(
        r"(<!-- segments:(\w+) -->\n).*?(<!-- segments:end -->)",
        lambda m: m.group(1) + made[m.group(2)](runs) + "\n" + m.group(3),
        text, flags=re.S)
    with open(path, "w") as f:
        f.write(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("json", nargs="+")
    parser.add_argument("--quantile", default="p50_us",
                        choices=("p50_us", "p10_us"))
    parser.add_argument("--tables", nargs="*", default=[])
    options = parser.parse_args()
    runs = [Results(path, options.quantile) for path in options.json]
    for path in options.tables:
        replace_tables(path, runs)
    print(full_table(runs))


if __name__ == "__main__":
    main()
