#!/usr/bin/env python3
"""Renders and lints the Helm chart without Helm or a cluster, for the tests.

    render.py CHART CASES.json

CASES.json is {case: {"name": …, "namespace": …, "values": {…}}}. Prints {"lint": …, "cases": {case: {path: text}}} as JSON.
Needs the package helm-python-sdk: `make test-tools` puts it into target/helm-venv.
"""

import json
import sys

from helm_python.chart import Chart, lint


def main() -> None:
    folder, cases = sys.argv[1], json.load(open(sys.argv[2]))
    chart = Chart.load(folder)
    rendered = {}
    for case, options in cases.items():
        try:
            rendered[case] = chart.render(
                values=options["values"], name=options["name"], namespace=options["namespace"]
            )
        except Exception as error:  # noqa: BLE001: whatever Helm says is the result
            rendered[case] = {"error": str(error)}
    print(json.dumps({"lint": lint(folder), "cases": rendered}, default=str))


if __name__ == "__main__":
    main()
