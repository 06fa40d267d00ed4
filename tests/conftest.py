"""Options of the test run: long tests are marked ``slow`` and run with ``--slow``, or with ``--slow-for`` while there is time."""

import random
import time

import pytest

START = time.monotonic()


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")
    parser.addoption("--slow-for", type=float, metavar="MINUTES",
                     help="run the tests marked slow after all others, in an order that changes from day to day, until the run "
                          "has taken so many minutes; what is not reached is skipped and counted")


def pytest_collection_modifyitems(config, items):
    slow = [item for item in items if item.get_closest_marker("slow")]
    if config.getoption("--slow-for") is not None:
        random.Random(int(time.time()) // 86400).shuffle(slow)  # the same in every worker
        items[:] = [item for item in items if not item.get_closest_marker("slow")] + slow
    elif not config.getoption("--slow"):
        for item in slow:
            item.add_marker(pytest.mark.skip(reason="slow: run with --slow"))


def pytest_runtest_setup(item):
    minutes = item.config.getoption("--slow-for")
    if minutes is not None and item.get_closest_marker("slow") and time.monotonic() - START > 60 * minutes:
        pytest.skip("slow, and the time is over: run with --slow")
