"""Training survives forks, interrupts, stops, exceptions, divergence and thousands of repetitions."""

from __future__ import annotations

import gc
import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import threadpoolctl
from training_nets import NETS, digest, environment, run_script, small, table, trained

from fastnn import layers, optimizers
from fastnn.backends.cpu import blas, executor, registers
from fastnn.callbacks import Callback
from fastnn.errors import NonFiniteLossError
from fastnn.models import Sequential


@pytest.fixture(autouse=True)
def threads_before(monkeypatch):
    """Note the threads there are already: a parallel run's worker has two, and tqdm's monitor stays."""
    monkeypatch.setitem(THREADS, "before", threading.active_count())


THREADS: dict[str, int] = {}

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc, which Linux has")
posix = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX signals and fork")


def assert_usable(model, x, y):
    """Check that the weights are finite, that the model predicts, and that it can be trained on."""
    assert all(np.isfinite(w).all() for w in model.get_weights())
    assert np.isfinite(model.predict(x)).all()
    before = model._state.step if model._state else 0
    history = model.fit(x, y, epochs=2, verbose=0)
    assert len(history.history["loss"]) == 2 and np.isfinite(history.history["loss"]).all()
    assert model._state.step == before + 2 * history.params["steps"]
    assert executor._active == 0, "a training was not signed off"
    assert blas._users == 0 and blas._limiter is None, "BLAS was left limited to one thread"


def assert_alone():
    """Check that no helper is left; one that an interrupt met while it started may take a moment to go."""
    deadline = time.monotonic() + 20.0
    while threading.active_count() > THREADS["before"] and time.monotonic() < deadline:
        time.sleep(0.001)
    assert threading.active_count() <= THREADS["before"], "a helper was left behind"


def assert_partial(model, epochs):
    """Check that history holds the epochs that ended, and that the step counter fits them."""
    history = model.history
    assert history.epoch == list(range(epochs))
    assert all(len(values) == epochs for values in history.history.values())
    steps = model._state.step - epochs * history.params["steps"]
    assert model._state.epoch == epochs
    assert 0 <= steps < history.params["steps"]


# ----------------------------------------------------------------------------------------------- forks
FORK = """
import os, sys, threading
import training_nets as n

def child(work):
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(into, work().encode())
        finally:
            os._exit(0)
    os.close(into)
    found = os.read(out, 10_000).decode()
    assert os.waitpid(pid, 0)[1] == 0
    return found

work = lambda: " ".join(n.trained(name, threads=2) for name in ("narrow", "dropout", "large", "small"))
first = child(work)  # before anything was compiled or trained in this process
here = work()
second = child(work)  # after
stop = threading.Event()
def keep_training():
    while not stop.is_set():
        n.trained("large", threads=2)
        n.trained("small")
other = threading.Thread(target=keep_training)
other.start()
beside = [child(work) for _ in range(5)]  # while another thread trains, compiles and holds locks
grandchild = child(lambda: child(work))
stop.set()
other.join()
assert [first, second, grandchild, work(), *beside] == [here] * 9, "a fork changed the bits"
print(here)
"""


@posix
def test_fork(tmp_path):
    expected = [trained(name, threads=1) for name in ("narrow", "dropout", "large", "small")]
    assert run_script(FORK, folder=tmp_path).split() == expected


POOL = """
import multiprocessing, sys
import training_nets as n

if __name__ == "__main__":
    here = [n.trained_small(seed) for seed in range(6)]
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        there = pool.map(n.trained_small, range(6))
    assert there == here and here == [n.trained_small(seed) for seed in range(6)]
    print(*here)
"""


@posix
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_pool_of_processes(method, tmp_path):
    assert run_script(POOL, method, folder=tmp_path).split() == [trained("small", seed=s) for s in range(6)]


def blas_threads():
    """Return how many threads BLAS would use now."""
    libraries = threadpoolctl.ThreadpoolController().select(user_api="blas").info()
    return {library["num_threads"] for library in libraries}


@pytest.mark.parametrize("thread_is_first", [False, True])
def test_blas_has_one_thread_wherever_the_fit_runs(thread_is_first):
    """Also in a thread, after the main one has set the limit: threadpoolctl lets only one of them do so."""
    seen = []

    class Look(Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(blas_threads())

    def fit():
        model, x, y, options = NETS["dropout"]()
        model.fit(x, y, verbose=0, callbacks=[Look()], **{**options, "epochs": 1})

    before = blas_threads()
    worker = threading.Thread(target=fit)
    for run in (worker.start, worker.join, fit) if thread_is_first else (fit, worker.start, worker.join):
        run()
        if run != worker.start:
            assert blas_threads() == before
    assert seen == [{1}, {1}]


# ------------------------------------------------------------------------------------------ interrupts
INTERRUPTED = """
import signal, sys
import numpy as np
import training_nets as n

# A test run in the background of a script is told to ignore Ctrl-C, and its children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
name, threads, callbacks = sys.argv[1], int(sys.argv[2]), []
if sys.argv[3] == "bar":
    sys.stderr = open("/dev/null", "w")
model, x, y, options = n.NETS[name]()
options["epochs"] = 10**7
model.fit(x, y, verbose=0, **{**options, "epochs": 1})
print("training", flush=True)
try:
    model.fit(x, y, verbose=int(sys.argv[3] == "bar"), threads=threads, **options)
except KeyboardInterrupt:
    history, state = model.history, model._state
    epochs = len(history.epoch)
    assert epochs == len(history.history["loss"]) and np.isfinite(history.history["loss"]).all()
    assert history.epoch == list(range(epochs))
    assert state.epoch == 1 + epochs, (state.epoch, epochs)
    steps = state.step - state.epoch * history.params["steps"]
    assert 0 <= steps < history.params["steps"], steps
    assert all(np.isfinite(w).all() for w in model.get_weights())
    assert np.isfinite(model.predict(x)).all()
    step = state.step
    again = model.fit(x, y, verbose=0, threads=threads, **{**options, "epochs": 2})
    assert len(again.history["loss"]) == 2 and state.step == step + 2 * history.params["steps"]
    print("usable", epochs)
"""


@posix
@pytest.mark.parametrize("name, threads, progress", [("small", 1, ""), ("large", 2, ""), ("small", 1, "bar")])
def test_ctrl_c(name, threads, progress, tmp_path):
    path = tmp_path / "script.py"
    path.write_text(INTERRUPTED)
    process = subprocess.Popen(
        [sys.executable, str(path), name, str(threads), progress],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "training\n"
        time.sleep(0.7)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    usable, epochs = out.split()
    assert usable == "usable" and int(epochs) > 0


@posix
@pytest.mark.parametrize("name, threads", [("small", 1), ("dropout", 2), ("large", 2)])
def test_interrupts_at_any_moment(name, threads):
    """An alarm that raises KeyboardInterrupt wherever Python is: also between starting and joining a team."""
    model, x, y, options = NETS[name]()
    options["epochs"] = 10**7
    model.fit(x, y, verbose=0, **{**options, "epochs": 1})
    delays = np.random.default_rng(0).uniform(0.002, 0.06, 25)

    def interrupt(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    gc.disable()  # Python drops what is raised in a callback of the collector: hypothesis has one
    try:
        for delay in delays:
            epochs, steps, model.history = model._state.epoch, model._state.step, None
            with pytest.raises(KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_REAL, delay)
                model.fit(x, y, verbose=0, threads=threads, **options)
            assert_alone()
            done = model._state.epoch - epochs
            if model.history is not None:
                assert len(model.history.epoch) == done
                per_epoch = -(-len(x) // options["batch_size"])
                assert done * per_epoch <= model._state.step - steps < (done + 1) * per_epoch
    finally:
        gc.enable()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert_usable(model, x, y)


@pytest.mark.usefixtures("always_a_team")
def test_interrupt_before_the_team_meets(monkeypatch):
    """Helpers that wait for a thread 0 that never comes go home."""
    model, x, y, options = NETS["large"]()
    model.fit(x, y, verbose=0, **options)
    before = digest(*model.get_weights())
    original = executor.Session._member

    def member(self, r):
        if r[registers.THREAD] == 0:
            time.sleep(0.05)
            raise KeyboardInterrupt
        original(self, r)

    monkeypatch.setattr(executor.Session, "_member", member)
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, verbose=0, threads=2, **options)
    assert_alone()
    monkeypatch.undo()
    assert digest(*model.get_weights()) == before
    assert_usable(model, x, y)


HOOKS = [
    "on_train_begin", "on_epoch_begin", "on_train_batch_begin", "on_batch_begin", "on_train_batch_end",
    "on_batch_end", "on_test_begin", "on_test_end", "on_epoch_end", "on_train_end",
]  # fmt: skip


def raising(hook, error, call):
    """Return a callback that raises in its hook's call number `call`."""

    class Raising(Callback):
        calls = 0

    def raise_it(self, *arguments):
        self.calls += 1
        if self.calls == call:
            raise error

    setattr(Raising, hook, raise_it)
    return Raising()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("no")])
@pytest.mark.parametrize("hook", HOOKS)
def test_exception_in_a_hook(hook, error):
    model, x, y, _ = small()
    call = 1 if hook.startswith("on_train_") and "batch" not in hook else 3
    with pytest.raises(type(error)):
        model.fit(
            x, y, epochs=5, batch_size=32, verbose=0, validation_split=0.25,
            callbacks=[raising(hook, error, call)],
        )  # fmt: skip
    ended = {
        "on_train_begin": 0,
        "on_epoch_begin": 2,
        "on_test_begin": 2,
        "on_test_end": 2,
        "on_epoch_end": 3,
    }
    expected = {**ended, "on_train_end": 5}.get(hook, 1)  # two batches an epoch
    assert model.history.epoch == list(range(expected))
    assert all(len(values) == expected for values in model.history.history.values())
    model.compile("adam", "mse")
    model.train_on_batch(x, y)
    assert_usable(model, x, y)


# ----------------------------------------------------------------------------------------------- stops
@pytest.mark.parametrize("hook", ["on_epoch_end", "on_epoch_begin", "on_train_batch_end", "on_train_begin"])
def test_stop_from_a_callback(hook):
    class Stopping(Callback):
        calls = 0

    def stop(self, *arguments):
        self.calls += 1
        self.model.stop_training = self.calls == 3 or hook == "on_train_begin"

    setattr(Stopping, hook, stop)
    model, x, y, _ = small()
    history = model.fit(x, y, epochs=50, batch_size=32, verbose=0, callbacks=[Stopping()])
    assert history is model.history
    assert len(history.epoch) == {"on_epoch_end": 3, "on_epoch_begin": 3, "on_train_begin": 0}.get(hook, 1)
    model.train_on_batch(x, y)
    assert_usable(model, x, y)


@pytest.mark.parametrize("name", ["small", "narrow", "dropout"])
def test_stop_from_another_thread(name):
    model, x, y, options = NETS[name]()
    options["epochs"] = 10**7

    def stop():
        model.stop_training = True

    timer = threading.Timer(0.2, stop)
    timer.start()
    model.fit(x, y, verbose=0, **options)
    timer.join()
    epochs = len(model.history.epoch)
    assert 0 < epochs < 10**7
    assert_partial(model, epochs)
    assert_usable(model, x, y)


# ------------------------------------------------------------------------------------------ divergence
def diverging(optimizer, normalize=False):
    stack = [layers.Dense(16, "relu", input_shape=(6,)), layers.Dense(1)]
    if normalize:
        stack.insert(1, layers.BatchNormalization())
    model = Sequential(stack, seed=1)
    model.compile(optimizer, "mse")
    return model, *table(320, 6)


OPTIMIZERS = {
    "loss overflows": optimizers.SGD(1e3),
    "weights overflow": optimizers.SGD(1e38),
    "rate overflows": optimizers.SGD(1e300),
    "momentum": optimizers.SGD(1e38, momentum=0.9),
    "rmsprop": optimizers.RMSprop(1e300),
    "adam": optimizers.Adam(1e38),
    "adamw": optimizers.AdamW(1e30, use_ema=True),
}


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("case", OPTIMIZERS)
def test_non_finite_loss(case, watched):
    class Watch(Callback):
        def on_train_batch_end(self, batch, logs=None):
            pass

    model, x, y = diverging(OPTIMIZERS[case])
    start = model.get_weights()
    with pytest.raises(NonFiniteLossError) as caught:
        model.fit(x, y, epochs=30, verbose=0, callbacks=[Watch()] if watched else None)
    message = str(caught.value)
    assert re.search(r"in epoch \d+, step \d+ of 10", message), message
    assert "learning rate" in message
    assert all(np.isfinite(w).all() for w in model.get_weights())
    assert all(np.isfinite(values).all() for values in model.history.history.values())
    model.set_weights(start)
    model.compile("adam", "mse")
    assert_usable(model, x, y)


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_statistics_of_a_batch_that_overflows(case):
    """The moving mean and variance are written before the loss is known to be infinite."""
    model, x, y = diverging(OPTIMIZERS[case], normalize=True)
    try:
        model.fit(x, y, epochs=30, verbose=0)
    except NonFiniteLossError as error:
        assert re.search(r"in epoch \d+, step \d+ of 10", str(error))
    assert all(np.isfinite(w).all() for w in model.get_weights())
    assert all(np.isfinite(values).all() for values in model.history.history.values())


def test_epochs_before_a_non_finite_loss_are_in_the_history():
    model, x, y = diverging(optimizers.SGD(1.5))
    with pytest.raises(NonFiniteLossError) as caught:
        model.fit(x, y, epochs=500, batch_size=320, shuffle=False, verbose=0)
    epoch = int(re.search(r"epoch (\d+)", str(caught.value))[1])
    assert epoch > 2
    assert_partial(model, epoch - 1)


def test_last_step_that_spoils_the_weights():
    """No loss follows the last update, so the weights themselves are looked at."""
    model, x, y = diverging(optimizers.SGD(1e300))
    before = digest(*model.get_weights())
    with pytest.raises(NonFiniteLossError, match="epoch 1, step 1 of 1"):
        model.fit(x, y, batch_size=320, verbose=0)
    assert digest(*model.get_weights()) == before
    with pytest.raises(NonFiniteLossError):
        model.train_on_batch(x, y)
    assert digest(*model.get_weights()) == before
    assert model._state.step == 0


def test_weights_after_a_non_finite_loss_are_those_before_that_step():
    """A loss that overflows while the weights have not: nothing of that step is applied."""
    model, x, y = diverging(optimizers.SGD(1e3))
    seen = []

    class Watch(Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append(digest(*self.model.get_weights()))

    with pytest.raises(NonFiniteLossError, match="from before that step"):
        model.fit(x, y, epochs=30, verbose=0, callbacks=[Watch()])
    assert digest(*model.get_weights()) == seen[-1]


# ---------------------------------------------------------------------------------------------- memory
def resident():
    """Return this process's memory in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


@linux
def test_two_thousand_fresh_models():
    def fit(number):
        model, x, y, options = small(seed=number)
        model.fit(x, y, verbose=0, **options)
        return model.predict(x[:2])

    for number in range(200):
        fit(number)
    before = resident()
    for number in range(2_000):
        fit(number)
    assert resident() - before < 10 << 20


PEAK = """
import resource, sys
import numpy as np
from fastnn import layers
from fastnn.models import Sequential

rows, batch, dropout = 1_000_000, int(sys.argv[1]), sys.argv[2] == "wide"
x = np.random.default_rng(0).random((rows, 10), dtype=np.float32)
y = x[:, :1] * 2
def fit(rows):
    units = 64 if dropout else 8
    stack = [layers.Dense(units, "relu", input_shape=(10,)), layers.Dense(1)]
    if dropout:
        stack.insert(1, layers.Dropout(0.2))
    model = Sequential(stack, seed=1)
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(x[:rows], y[:rows], batch_size=min(batch, rows), epochs=1, verbose=0)
fit(1_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
fit(rows)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@linux
@pytest.mark.parametrize(
    "batch, kind", [(256, "wide"), (256, "narrow"), (1_000_000, "wide"), (1_000_000, "narrow")]
)
def test_training_holds_the_data_and_little_more(batch, kind, tmp_path):
    """Growth of the peak while a million rows of 44 MB are trained on, in MiB."""
    assert int(run_script(PEAK, batch, kind, folder=tmp_path)) <= 64
