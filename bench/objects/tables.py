"""The tables that ./compare prints of what its rounds have found."""

import statistics

KIB, MIB = 1 << 10, 1 << 20
SIZES = (64, 4 * KIB, 64 * KIB, MIB, 64 * MIB)


def human_size(size):
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return "%d %s" % (size / unit, name)
    return "%d B" % size


def human_time(ns):
    for unit, name in ((1e6, "ms"), (1e3, "µs")):
        if ns >= unit:
            return "%.3g %s" % (ns / unit, name)
    return "%.3g ns" % ns


class Figures:
    """What each round has found, by operation and round."""

    def __init__(self):
        self.found = {}

    def add(self, name, number, ns):
        self.found.setdefault(name, {})[number] = ns

    def __contains__(self, name):
        return name in self.found

    def __getitem__(self, name):
        return statistics.median(self.found[name].values())

    def ratios(self, top, bottom):
        """One for each round that has both."""
        tops, bottoms = self.found[top], self.found[bottom]
        return [tops[i] / bottoms[i] for i in tops if i in bottoms]

    def cell(self, name):
        if not name:
            return ""
        if name not in self:
            return "–"
        return spread(list(self.found[name].values()), human_time)

    def least(self, *names):
        """The name of the fastest that there is."""
        return min((n for n in names if n in self), key=self.__getitem__,
                   default=names[0])


def spread(values, text):
    """The median and the quartiles."""
    if len(values) < 2:
        return text(values[0])
    low, middle, high = map(text, statistics.quantiles(
        values, n=4, method="inclusive"))
    return "%s (%s–%s)" % (middle, low, high)


def time_rows():
    """Labels, with a name for each size or one for the only size."""
    rows = []
    for label, name in (
            ("memset, warm memory of malloc", "memset"),
            ("memset, the object's own memory", "memset_same"),
            ("**create, memset in place, seal**", "create_fill_seal"),
            ("Plasma: the same", "plasma_create_fill_seal"),
            ("memcpy, warm memory of malloc", "memcpy"),
            ("memcpy, the object's own memory", "memcpy_same"),
            ("**put**: create, copy in, seal", "put"),
            ("Plasma: the same", "plasma_put"),
            ("Plasma: CreateAndSeal, one message", "plasma_create_and_seal"),
            ("Redis: SET", "redis_put"),
            ("gRPC: a call with the bytes", "grpc_put"),
            ("**get and release**", "get"),
            ("Plasma: get and release, held", "plasma_get_held"),
            ("Plasma: get and release, not held", "plasma_get_not_held"),
            ("Redis: GET", "redis_get"),
            ("gRPC: a call that returns the bytes", "grpc_get")):
        rows.append((label, ["%s/%d" % (name, size) for size in SIZES]))
    for label, name in (
            ("memset, one of 128 places in turn, malloc", "memset_in_turn"),
            ("the same, the objects' own memory", "memset_in_turn_same"),
            ("**create, memset in place, seal**, in turn",
             "create_fill_seal_in_turn"),
            ("memcpy, one of 128 places in turn, malloc", "memcpy_in_turn"),
            ("the same, the objects' own memory", "memcpy_in_turn_same"),
            ("**put**, in turn", "put_in_turn")):
        rows.append((label, ["", "", "", "%s/%d" % (name, MIB)]))
    for label, name in (
            ("**put of 64 in a batch**", "put_batch_of_64/64"),
            ("Plasma: CreateAndSealBatch of 64", "plasma_put_batch_of_64/64"),
            ("Redis: pipeline of 64 SET", "redis_put_batch_of_64/64"),
            ("**first get from an arena**: attach, map", "first_get"),
            ("a descriptor opened, passed, and mapped", "first_get_floor"),
            ("the same one passed each time, and mapped",
             "first_get_floor_same"),
            ("**get and release**, one reader", "get_by_one"),
            ("two readers at once, time for each get", "get_by_two"),
            ("**look-up of an absent name**", "get_absent"),
            ("Plasma: Contains", "plasma_get_absent"),
            ("Redis: EXISTS", "redis_get_absent")):
        rows.append((label, [name]))
    return rows


def verdict(values, limit, at_most):
    value = statistics.median(values)
    good = value <= limit if at_most else value >= limit
    return "%s, %s %s %.3g" % (spread(values, lambda v: "%.3g" % v),
                               "holds:" if good else "MISSED:",
                               "≤" if at_most else "≥", limit)


def fill_rows():
    """Goals of what is written: label, size, top, bottom, limit, at most."""
    for turn, sizes in (("", (MIB, 64 * MIB)), ("_in_turn", (MIB,))):
        for size in sizes:
            for kind, text in (("_same", "its memory"), ("", "malloc")):
                for call, ours, label in (
                        ("memset", "create_fill_seal",
                         "create, memset in place, seal"),
                        ("memcpy", "put", "put")):
                    yield ("rate of %s / %s, %s%s" % (
                        label, call, text, turn and "; in turn"), size,
                           "%s%s%s/%d" % (call, turn, kind, size),
                           "%s%s/%d" % (ours, turn, size), 0.95, False)
            yield ("rate of put, which reads too / memset, its memory%s" % (
                turn and "; in turn"), size,
                   "memset%s_same/%d" % (turn, size),
                   "put%s/%d" % (turn, size), 0.95, False)


def goal_rows(f):
    """Label, size, top, bottom, limit, whether at most."""
    for size in SIZES:
        yield ("get and release / Plasma's of a held object", size,
               "get/%d" % size, "plasma_get_held/%d" % size, 0.15, True)
    yield from fill_rows()
    for size in SIZES[:3]:
        yield ("put / Plasma's faster way", size, "put/%d" % size, f.least(
            "plasma_put/%d" % size, "plasma_create_and_seal/%d" % size), 0.05,
               True)
    yield ("first get / opening a descriptor, passing it, mmap", None,
           "first_get", "first_get_floor", 1.3, True)
    yield ("first get / passing the same one each time, mmap", None,
           "first_get", "first_get_floor_same", 1.3, True)
    yield ("two readers' gets a second / one's", 64, "get_by_one",
           "get_by_two", 1.5, False)
    yield ("batch of 64 / Plasma's", 64, "put_batch_of_64/64",
           "plasma_put_batch_of_64/64", 0.5, True)


def slowest_to_fastest(f):
    """By the medians of what each size has beside the same round's mean."""
    rounds = [f.found[name] for name in ("get/%d" % size for size in SIZES)
              if name in f]
    numbers = set.intersection(*map(set, rounds)) if len(rounds) > 1 else ()
    if not numbers:
        return None
    means = {i: statistics.mean(one[i] for one in rounds) for i in numbers}
    beside = [statistics.median(one[i] / means[i] for i in numbers)
              for one in rounds]
    return max(beside) / min(beside)


def verdicts(f):
    for label, size, top, bottom, limit, at_most in goal_rows(f):
        if top in f and bottom in f:
            yield label, size, verdict(f.ratios(top, bottom), limit, at_most)
    sizes = slowest_to_fastest(f)
    if sizes is not None:
        yield ("get and release: slowest size / fastest", None,
               verdict([sizes], 1.1, True))
    for size in SIZES[:3]:
        if "put/%d" % size in f:
            yield "put, in µs", size, verdict(
                [ns / 1000 for ns in f.found["put/%d" % size].values()], 5,
                True)


def print_tables(f):
    print("| | %s |" % " | ".join(map(human_size, SIZES)))
    print("|---" + "|---" * len(SIZES) + "|")
    for label, names in time_rows():
        cells = [f.cell(name) for name in names]
        if any(cell not in ("", "–") for cell in cells):
            cells += [""] * (len(SIZES) - len(cells))
            print("| %s | %s |" % (label, " | ".join(cells)))
    print("\n| goal | size | |\n|---|---|---|")
    for label, size, text in verdicts(f):
        print("| %s | %s | %s |" % (
            label, "all" if size is None else human_size(size), text))
