"""Jobs: a generator in a thread, and the window that listens to it."""

from __future__ import annotations

import gc
import logging
import threading
import time
import weakref

import numpy as np
import pytest
from napari.utils import progress
from napari.utils.notifications import notification_manager
from superqt.utils import WorkerBase

from napari_axongen.bridge.jobs import Job
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Metrics, Notice, Partial, Progress, Samples, Validation


@pytest.fixture
def job(qtbot):
    made = Job("Testing")
    heard = {name: [] for name in ("finished", "failed", "notice", "progress", "yielded")}
    for name, calls in heard.items():
        getattr(made, name).connect(lambda *values, calls=calls: calls.append(values))
    made.heard = heard
    yield made
    made.cancel()
    qtbot.waitUntil(lambda: not made.running)


def steps_of(events, result="done", pause=0.0):
    def steps():
        for event in events:
            time.sleep(pause)
            yield event
        return result

    return steps


def test_result_and_events_arrive_on_the_gui_thread(job, qtbot):
    threads = []
    job.finished.connect(lambda _: threads.append(threading.current_thread()))
    worker = []

    def steps():
        worker.append(threading.current_thread())
        yield Notice("hello")
        yield Partial((0,), "plane")
        yield Progress(1, 2)
        return 42

    with qtbot.waitSignal(job.finished):
        job.start(steps)
    assert job.heard["finished"] == [(42,)]
    assert job.heard["notice"] == [("hello", "info")]
    assert [event.value for (event,) in job.heard["yielded"]] == ["plane"]
    assert threads == [threading.main_thread()]
    assert worker[0] is not threading.main_thread()
    assert not job.running


def test_a_flood_of_events_is_thinned_and_the_last_one_comes(job, qtbot):
    events = [Progress(i + 1, 20_000) for i in range(20_000)]
    events[500] = Notice("half way")
    with qtbot.waitSignal(job.finished, timeout=20_000):
        began = time.monotonic()
        job.start(steps_of(events))
    seconds = time.monotonic() - began
    seen = job.heard["progress"]
    assert len(seen) <= 10 * seconds + 3
    assert seen[-1][:2] == (20_000, 20_000)
    assert job.heard["notice"] == [("half way", "info")]


def test_metrics_are_thinned_as_well(job, qtbot):
    with qtbot.waitSignal(job.finished):
        job.start(steps_of([Metrics(i, {"loss": 1.0}) for i in range(1000)]))
    assert job.heard["yielded"][-1][0].step == 999
    assert len(job.heard["yielded"]) < 100


def test_time_left_follows_the_pace(job, qtbot):
    with qtbot.waitSignal(job.finished):
        job.start(steps_of([Progress(i, 6) for i in range(1, 7)], pause=0.12))
    first, *later = job.heard["progress"]
    assert first[2] is None
    assert all(eta is not None and eta >= 0 for _, _, eta, _ in later)
    assert later[-1][2] == 0


def test_cancel_stops_at_the_next_event_and_closes_the_generator(job, qtbot):
    ran, closed = [], threading.Event()

    def steps():
        try:
            for i in range(1000):
                ran.append(i)
                time.sleep(0.02)
                yield Progress(i, 1000)
        finally:
            closed.set()

    job.start(steps)
    qtbot.waitUntil(lambda: len(ran) > 2)
    with qtbot.waitSignal(job.stopped):
        job.cancel()
        at_cancel = len(ran)
    assert len(ran) <= at_cancel + 1
    assert closed.is_set()
    assert not job.heard["finished"]
    assert not job.running


def test_time_left_is_that_of_the_work_at_hand(job, qtbot):
    """A slow search first, then fast tiles: the search says nothing of how long they take."""

    def steps():
        for done in range(3):
            yield Progress(done, 3, "slow")
            time.sleep(0.6)
        for done in range(8):
            yield Progress(done, 8, "fast")
            time.sleep(0.12)

    with qtbot.waitSignal(job.finished, timeout=20_000):
        job.start(steps)
    left = [eta for _, _, eta, message in job.heard["progress"] if message == "fast" and eta]
    assert left
    assert max(left) < 2.5


def test_the_latest_wins(job, qtbot):
    started = []

    def steps(name):
        def inner():
            started.append(name)
            for i in range(20):
                time.sleep(0.01)
                yield Progress(i, 20)
            return name

        return inner

    with qtbot.waitSignal(job.finished):
        job.start(steps("first"))
        qtbot.waitUntil(lambda: started == ["first"])
        job.start(steps("second"))
        job.start(steps("third"))
    assert job.heard["finished"] == [("third",)]
    assert started == ["first", "third"]


def test_bad_input_is_one_sentence_without_traceback(job, qtbot, caplog):
    def steps():
        yield Progress(0, 1)
        raise InputError("The image is blank; open another.")

    with qtbot.waitSignal(job.failed):
        job.start(steps)
    assert job.heard["failed"] == [("The image is blank; open another.",)]
    assert notification_manager.records[-1].message == "The image is blank; open another."
    assert not caplog.records


@pytest.mark.parametrize("error", [RuntimeError("size mismatch"), ZeroDivisionError("oh")])
def test_an_unforeseen_error_is_a_sentence_and_its_traceback_is_logged(job, qtbot, caplog, error):
    def steps():
        yield Progress(0, 1)
        raise error

    with caplog.at_level(logging.ERROR), qtbot.waitSignal(job.failed):
        job.start(steps)
    assert str(error) in job.heard["failed"][0][0]
    assert caplog.records[-1].exc_info[1] is error
    assert not job.running  # superqt alone would drop a RuntimeError and never end


def test_making_the_generator_may_fail_too(job, qtbot):
    def refuse():
        raise InputError("There is no such model.")

    with qtbot.waitSignal(job.failed):
        job.start(refuse)
    assert job.heard["failed"] == [("There is no such model.",)]


def test_activity_dock_shows_the_progress_and_lets_go_of_it(job, qtbot, capsys):
    before, seen = set(progress._all_instances), []
    job.progress.connect(
        lambda *_: seen.extend((bar.n, bar.total) for bar in set(progress._all_instances) - before)
    )
    with qtbot.waitSignal(job.finished):
        job.start(steps_of([Progress(1, 4), Progress(4, 4)], pause=0.15))
    assert seen == [(1, 4), (4, 4)]
    assert set(progress._all_instances) == before
    assert capsys.readouterr().err == ""


def test_a_job_without_a_title_leaves_the_activity_dock_alone(qtbot):
    before, seen, failures = set(progress._all_instances), [], []
    job = Job(None)
    job.progress.connect(lambda *_: seen.append(set(progress._all_instances) - before))
    with qtbot.waitSignal(job.finished):
        job.start(steps_of([Progress(1, 4), Progress(4, 4)], pause=0.15))
    assert seen == [set(), set()]

    def refuse():
        raise InputError("Nothing to show.")

    shown = len(notification_manager.records)
    job.failed.connect(failures.append)
    with qtbot.waitSignal(job.failed):
        job.start(refuse)
    assert failures == ["Nothing to show."]
    assert len(notification_manager.records) == shown


def test_results_are_let_go_of(job, qtbot):
    class Result:
        pass

    def steps():
        yield Progress(0, 1)
        return Result()

    kept = []
    job.finished.disconnect()
    job.finished.connect(lambda result: kept.append(weakref.ref(result)))
    for _ in range(3):
        with qtbot.waitSignal(job.finished):
            job.start(steps)
    gc.collect()
    assert [result() for result in kept] == [None, None, None]


def test_a_job_that_is_dropped_stops_its_thread_and_its_bar(qtbot):
    before, closed = set(progress._all_instances), threading.Event()

    def steps():
        try:
            while True:
                time.sleep(0.01)
                yield Partial((), None)
        finally:
            closed.set()

    job = Job("Testing")
    job.start(steps)
    qtbot.wait(50)
    del job
    gc.collect()
    qtbot.waitUntil(closed.is_set)
    qtbot.waitUntil(lambda: set(progress._all_instances) == before)


def test_a_worker_that_napari_quits_closes_its_generator_in_its_thread(job, qtbot):
    """Even when nobody is there any more to be told of it, as in an application that ends."""
    closed = []

    def steps():
        try:
            while True:
                time.sleep(0.01)
                yield Partial((), None)
        finally:
            closed.append(threading.current_thread())

    job.start(steps)
    qtbot.waitUntil(lambda: bool(job.heard["yielded"]))
    WorkerBase.await_workers()  # as napari does
    assert closed
    assert closed[0] is not threading.main_thread()
    qtbot.waitUntil(lambda: not job.running)


def test_pause_holds_it_up_and_resume_lets_it_go_on(job, qtbot):
    ran = []

    def steps():
        for i in range(1, 2001):
            ran.append(i)
            time.sleep(0.001)
            yield Progress(i, 2000)
        return "done"

    job.start(steps)
    qtbot.waitUntil(lambda: len(ran) > 20)
    job.pause()
    assert job.paused
    qtbot.wait(50)
    held_at = len(ran)
    qtbot.wait(100)
    assert len(ran) == held_at
    assert job.heard["progress"][-1][0] == held_at  # what was thinned out is told
    assert job.running
    with qtbot.waitSignal(job.finished):
        job.resume()
        assert not job.paused
    assert ran == list(range(1, 2001))


def test_what_is_paused_can_be_cancelled(job, qtbot):
    job.start(steps_of([Progress(i, 1000) for i in range(1000)], pause=0.01))
    qtbot.waitUntil(lambda: bool(job.heard["progress"]))
    job.pause()
    with qtbot.waitSignal(job.stopped):
        job.cancel()
    assert not job.paused


def test_a_failure_to_close_is_told(job, qtbot):
    def steps():
        try:
            while True:
                time.sleep(0.01)
                yield Partial((), None)
        finally:
            raise InputError("The disk is full.")

    job.start(steps)
    qtbot.waitUntil(lambda: bool(job.heard["yielded"]))
    with qtbot.waitSignal(job.failed):
        job.cancel()
    assert job.heard["failed"] == [("The disk is full.",)]


def test_what_is_measured_is_never_thinned(job, qtbot):
    tiles = np.zeros((1, 1, 2, 2, 3), np.uint8)
    events = [Validation(i, {"val": 0.1}) for i in range(50)]
    events += [Samples(i, ("image",), tiles) for i in range(50)]
    with qtbot.waitSignal(job.finished):
        job.start(steps_of(events))
    assert [event for (event,) in job.heard["yielded"]] == events
