#!/usr/bin/python3
"""Makes the plot and the tables of bench/ipc out of its JSON.

    bench/plot.py ipc.json [--plot docs/images/ipc.svg] [--tables FILE...]

In each of the files a table stands between `<!-- ipc:short -->`, or
`<!-- ipc:full -->`, or `<!-- ipc:machine -->`, and `<!-- ipc:end -->`; it is
replaced."""

import argparse
import json
import re
import statistics

BASELINE = "segment, filled"
# How the segments' lines are told apart.
OURS = {BASELINE: "-", "segment, filled, futex bell": "--",
        "segment, handed over, futex bell": ":"}


def size_name(size_bytes):
    if size_bytes == 40000:
        return "10,000 ints"
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size_bytes % unit == 0:
            return "%d %s" % (size_bytes // unit, name)
    return "%d B" % size_bytes


def time_name(microseconds):
    if microseconds < 1000:
        return "%.3g µs" % microseconds
    return "%.3g ms" % (microseconds / 1000)


class Results:
    """Medians, least and most over the repetitions, in microseconds."""

    def __init__(self, document):
        self.context = document["context"]
        times = {}
        for entry in document["benchmarks"]:
            key = (entry["transport"], entry["size_bytes"])
            times.setdefault(key, []).append(entry["real_time"])
        self.transports = list(dict.fromkeys(key[0] for key in times))
        self.sizes = sorted({key[1] for key in times})
        self.repetitions = max(len(t) for t in times.values())
        self.spread = {key: (statistics.median(t), min(t), max(t))
                       for key, t in times.items()}

    def median(self, transport, size):
        return self.spread[transport, size][0]

    def ratio(self, transport, size):
        return self.median(transport, size) / self.median(BASELINE, size)


def table(results, cell):
    lines = ["| | " + " | ".join(map(size_name, results.sizes)) + " |",
             "|---" + "|---:" * len(results.sizes) + "|"]
    for transport in results.transports:
        cells = [cell(transport, size) for size in results.sizes]
        lines.append("| %s | %s |" % (transport, " | ".join(cells)))
    return "\n".join(lines)


def short_table(results):
    """Times, and how many times as long as by a segment."""
    def cell(transport, size):
        text = time_name(results.median(transport, size))
        if transport != BASELINE:
            text += " (%.2g×)" % results.ratio(transport, size)
        return text
    return table(results, cell)


def full_table(results):
    """The same with the least and the most of the repetitions, and GB/s."""
    def cell(transport, size):
        median, least, most = results.spread[transport, size]
        return "%s<br>%s to %s<br>%.3g GB/s<br>%.2f×" % (
            time_name(median), time_name(least), time_name(most),
            size / median / 1000, results.ratio(transport, size))
    return table(results, cell)


def machine(results):
    context = results.context
    return ("%s, %d CPUs, %s of memory, Linux %s, GCC %s; load average at the "
            "end %.1f; %d repetitions; %s." % (
                context["cpu_model"], context["num_cpus"], context["memory"],
                context["kernel"], context["compiler"], context["load_avg"][0],
                results.repetitions, context["date"]))


def replace_tables(path, results):
    made = {"short": short_table, "full": full_table, "machine": machine}
    with open(path) as f:
        text = f.read()
    text = re.sub(
        r"(<!-- ipc:(\w+) -->\n).*?(<!-- ipc:end -->)",
        lambda m: m.group(1) + made[m.group(2)](results) + "\n" + m.group(3),
        text, flags=re.S)
    with open(path, "w") as f:
        f.write(text)


def plot(path, results):
    import matplotlib
    matplotlib.use("Agg")
    # The same input gives the same file.
    matplotlib.rcParams.update({"svg.hashsalt": "shmd", "font.size": 10})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5))
    colors = pyplot.get_cmap("tab10").colors
    for number, transport in enumerate(results.transports):
        points = [results.spread[transport, size] for size in results.sizes]
        ours = transport in OURS
        color = "black" if ours else colors[number % 10]
        style = {"color": color, "linewidth": 2.5 if ours else 1.2,
                 "linestyle": OURS.get(transport, "-")}
        axes.plot(results.sizes, [p[0] for p in points], marker="o",
                  markersize=3, label=transport, zorder=3 if ours else 2,
                  **style)
        axes.fill_between(results.sizes, [p[1] for p in points],
                          [p[2] for p in points], color=color, alpha=0.12)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    ticks = [s for s in results.sizes if s != 65536]
    axes.set_xticks(ticks, [size_name(s).replace("10,000 ", "10k ")
                            for s in ticks])
    axes.set_xlabel("payload")
    axes.set_ylabel("send, read every byte, answer (µs)")
    axes.set_title("From one process to another and back: less is better")
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("json")
    parser.add_argument("--plot")
    parser.add_argument("--tables", nargs="*", default=[])
    options = parser.parse_args()
    with open(options.json) as f:
        results = Results(json.load(f))
    if options.plot:
        plot(options.plot, results)
    for path in options.tables:
        replace_tables(path, results)
    print(short_table(results))


if __name__ == "__main__":
    main()
