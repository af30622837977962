"""The checked-in list of failpoints."""

import os


def listed(program):
    """Names of the points that `program` passes: daemon, client, or channel
    for who takes part in one."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                        "failpoints.txt")
    with open(path) as file:
        rows = [line.split() for line in file
                if line.strip() and not line.startswith("#")]
    return [name for name, who in rows if who == program]
