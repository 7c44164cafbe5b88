"""A training that was interrupted and resumed is, bit for bit, one that was not."""

from __future__ import annotations

import contextlib
import warnings

import numpy as np
import pytest
from resume_cases import (
    BATCH,
    CASES,
    EPOCHS,
    ROWS,
    STEPS,
    Case,
    Counter,
    Cut,
    CutAt,
    X,
    Y,
    assert_same,
    network,
    resumed,
    trace,
)  # fmt: skip

import fastnn
from fastnn import callbacks, layers, optimizers, random
from fastnn.callbacks import BackupAndRestore, Callback
from fastnn.errors import ArgumentError, FileFormatError
from fastnn.io import container
from fastnn.models import Sequential, load_model

ADAM = CASES["adam"]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Return the trace of a case that runs through, made once."""
    found = {}

    def get(name):
        if name not in found:
            folder = tmp_path_factory.mktemp("whole")
            found[name] = trace(CASES[name].run(folder), folder)
        return found[name]

    return get


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("save_freq", ["epoch", 4])
def test_same_bits_wherever_it_is_cut(name, save_freq, uninterrupted, tmp_path):
    steps = CASES[name].fit.get("steps_per_epoch", STEPS)
    last = uninterrupted(name)["epochs"][-1] + 1
    for at in range(1, last * steps + 1, 3):
        folder = tmp_path / str(at)
        folder.mkdir()
        run = resumed(CASES[name], folder, at, save_freq=save_freq)
        assert_same(trace(run, folder), uninterrupted(name))
        assert not (folder / "backup").exists()


def test_early_stopping_and_rate_reductions_are_among_the_cases(uninterrupted):
    found = uninterrupted("watched")
    assert found["epochs"][-1] + 1 < CASES["watched"].fit["epochs"]
    assert float(found["rate"]) < 0.2


@pytest.mark.parametrize("threads", [(1, 2), (2, 1), (2, 2)])
def test_same_bits_whatever_the_threads(threads, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2_000, 10)).astype(np.float32)
    y = np.tanh(x[:, :1])

    def train(threads, *callbacks):
        stack = [layers.Dense(64, "relu", input_shape=(10,)), layers.Dropout(0.2), layers.Dense(64, "relu")]
        model = Sequential([*stack, layers.Dense(1)], seed=1)
        model.compile("adam", "mse")
        return model.fit(x, y, 512, 3, verbose=0, threads=threads, callbacks=[*callbacks])

    with pytest.raises(Cut):
        train(threads[0], BackupAndRestore(tmp_path, 3), CutAt(8))
    found = train(threads[1], BackupAndRestore(tmp_path, 3))
    expected = train(1)
    assert found.history == expected.history
    assert found.certificate() == expected.certificate()


def test_cut_many_times(uninterrupted, tmp_path):
    backup = tmp_path / "backup"
    cuts = 0
    while True:
        with contextlib.suppress(Cut):
            run = ADAM.run(tmp_path, BackupAndRestore(backup, 2), CutAt(3))
            break
        cuts += 1
    assert cuts == 11  # two steps a run are kept, of 24
    assert_same(trace(run, tmp_path), uninterrupted("adam"))


@pytest.mark.parametrize("save_freq", ["epoch", 4])
def test_resume_by_path_goes_on_and_leaves_the_backup(save_freq, uninterrupted, tmp_path):
    backup = tmp_path / "backup"
    with pytest.raises(Cut):
        ADAM.run(tmp_path, BackupAndRestore(backup, save_freq), CutAt(15))
    for path in (backup, backup / "latest.fastnn", str(backup)):
        assert_same(trace(ADAM.run(tmp_path, resume=path), tmp_path), uninterrupted("adam"))
    assert (backup / "latest.fastnn").exists()


def test_a_backup_found_goes_before_resume(uninterrupted, tmp_path):
    for name, at in (("early", 7), ("late", 20)):
        with pytest.raises(Cut):
            ADAM.run(tmp_path, BackupAndRestore(tmp_path / name), CutAt(at))
    seen = []
    run = ADAM.run(
        tmp_path, BackupAndRestore(tmp_path / "late"), _epochs(seen), resume=tmp_path / "early"
    )  # fmt: skip
    assert seen == [3]
    assert_same(trace(run, tmp_path), uninterrupted("adam"))


def _epochs(seen):
    callback = callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: seen.append(epoch))
    callback.part_of_training = False
    return callback


class TestInThisProcess:
    """The same model goes on after an exception, or a stop."""

    def run(self, model, folder, *extra, epochs=EPOCHS):
        listed = [Counter(), callbacks.CSVLogger(folder / "log.csv")]
        backup = BackupAndRestore(folder / "backup", 4)
        return model, model.fit(
            X, Y, BATCH, epochs, verbose=0, callbacks=[*listed, backup, *extra]
        ), listed  # fmt: skip

    def compiled(self, seed=7):
        model = network(seed)
        model.compile(optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
        return model

    @pytest.mark.parametrize("error", [KeyboardInterrupt, Cut])
    def test_after_an_exception(self, error, uninterrupted, tmp_path):
        model = self.compiled()
        with pytest.raises(error):
            self.run(model, tmp_path, CutAt(9, error))
        assert_same(trace(self.run(model, tmp_path), tmp_path), uninterrupted("adam"))

    @pytest.mark.parametrize("at", [8, 9])  # a backup is due after 8 steps
    def test_after_a_stop_within_an_epoch(self, at, uninterrupted, tmp_path):
        class Stop(CutAt):
            def on_train_batch_end(self, batch, logs=None):
                self.left -= 1
                self.model.stop_training = self.left <= 0

        model = self.compiled()
        _, history, _ = self.run(model, tmp_path, Stop(at))
        assert len(history.epoch) == 1
        assert (tmp_path / "backup" / "latest.fastnn").exists()
        assert_same(trace(self.run(model, tmp_path), tmp_path), uninterrupted("adam"))

    def test_after_a_time_budget(self, uninterrupted, tmp_path):
        class Spent(callbacks.TimeBudget):
            part_of_training = False

            def on_train_batch_end(self, batch, logs=None):
                if batch == 4:
                    self.deadline = 0.0

        model = self.compiled()
        _, history, _ = self.run(model, tmp_path, Spent(100))
        assert history.epoch == []
        assert_same(trace(self.run(model, tmp_path), tmp_path), uninterrupted("adam"))

    def test_a_stop_at_an_epochs_end_ends_the_training(self, tmp_path):
        class Stop(Callback):
            part_of_training = False

            def on_epoch_end(self, epoch, logs=None):
                self.model.stop_training = epoch == 1

        model = self.compiled()
        assert self.run(model, tmp_path, Stop())[1].epoch == [0, 1]
        assert not (tmp_path / "backup").exists()

    def test_a_stop_that_was_backed_up_is_kept(self, tmp_path):
        class Stop(Callback):
            part_of_training = False

            def on_epoch_end(self, epoch, logs=None):
                self.model.stop_training = epoch == 1

        class Raise(Callback):
            part_of_training = False

            def on_train_end(self, logs=None):
                raise Cut

        backup = BackupAndRestore(tmp_path / "backup")
        with pytest.raises(Cut):
            self.compiled().fit(X, Y, BATCH, EPOCHS, verbose=0, callbacks=[backup, Stop(), Raise()])
        history = self.compiled().fit(X, Y, BATCH, EPOCHS, verbose=0, callbacks=[backup])
        assert history.epoch == [0, 1]

    def test_rate_reduced_before_the_interruption(self, tmp_path):
        def run(folder, *extra):
            model = self.compiled()
            plateau = callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=0, min_delta=1.0)
            for extra_callback in (*extra, None):
                listed = [plateau, BackupAndRestore(folder)] + [extra_callback] * (extra_callback is not None)
                with contextlib.suppress(Cut):
                    history = model.fit(X, Y, BATCH, EPOCHS, verbose=0, callbacks=listed)
            return history

        expected = run(tmp_path / "whole")
        found = run(tmp_path / "cut", CutAt(14))
        assert found.history == expected.history
        assert found.certificate() == expected.certificate()


class TestWithoutBackups:
    """`initial_epoch` continues at an epoch's end, in this process or from a saved model."""

    @pytest.mark.parametrize("saved", [False, True])
    def test_same_bits(self, saved, tmp_path):
        def compiled():
            model = network(normalized=True)
            model.compile(optimizers.Nadam(0.01), "binary_crossentropy", metrics=["accuracy", "AUC"])
            return model

        whole, model = compiled(), compiled()
        expected = whole.fit(X, Y, BATCH, 5, verbose=0)
        model.fit(X, Y, BATCH, 2, verbose=0)
        if saved:
            model.save(tmp_path / "model.fastnn")
            model = load_model(tmp_path / "model.fastnn")
        history = model.fit(X, Y, BATCH, 5, verbose=0, initial_epoch=2)
        assert history.epoch == [2, 3, 4]
        assert {key: values[2:] for key, values in expected.history.items()} == history.history
        assert history.evidence["weights"] == expected.evidence["weights"]
        assert [slot.tobytes() for slot in model._state.slots] == [s.tobytes() for s in whole._state.slots]

    def test_backups_of_a_training_that_goes_on_from_a_saved_model(self, tmp_path):
        first = network()
        first.compile("adam", "binary_crossentropy")
        first.fit(X, Y, BATCH, 2, verbose=0)
        first.save(tmp_path / "model.fastnn")

        def run(*callbacks):
            model = load_model(tmp_path / "model.fastnn")
            return model.fit(X, Y, BATCH, 5, verbose=0, initial_epoch=2, callbacks=[*callbacks])

        expected = run()
        with pytest.raises(Cut):
            run(BackupAndRestore(tmp_path / "backup", 2), CutAt(9))
        found = run(BackupAndRestore(tmp_path / "backup", 2))
        assert found.epoch == expected.epoch == [2, 3, 4]
        assert found.history == expected.history
        assert found.certificate() == expected.certificate()


# --------------------------------------------------------------------------- which training is it?
@pytest.fixture
def backup(tmp_path):
    """Return the folder of the backup of the case 'adam', cut in its third epoch."""
    with pytest.raises(Cut):
        ADAM.run(tmp_path, BackupAndRestore(tmp_path / "backup"), CutAt(15))
    return tmp_path / "backup"


def _case(**changes):
    return Case(**{**vars(ADAM), **changes})


OTHERS = {
    "model.layers": (_case(net={"dropout": False}), {}),
    "config.learning_rate: 0.01 there, 0.02 here": (_case(optimizer=lambda: optimizers.Adam(0.02)), {}),
    "optimizer.class_name": (_case(optimizer=lambda: optimizers.Nadam(0.01)), {}),
    "metrics": (_case(metrics=["mae"]), {}),
    "batch_size: 8 there, 9 here": (ADAM, {"batch_size": 9}),
    "rows: 43 there, 16 here": (ADAM, {"steps_per_epoch": 2}),
    "shuffle": (ADAM, {"shuffle": False}),
    "seed: 7 there, 8 here": (ADAM, {"seed": 8}),
    "seed: 7 there, 9 here": (_case(net={"seed": 9}), {}),
    "initial_epoch: 0 there, 1 here": (ADAM, {"initial_epoch": 1}),
    "data": (ADAM, {"sample_weight": np.linspace(1, 2, ROWS)}),
    "validation_data": (ADAM, {"validation_data": (X, Y)}),
    "callbacks": (_case(callbacks=lambda folder: [callbacks.EarlyStopping("loss")]), {}),
}  # fmt: skip


@pytest.mark.parametrize("what", OTHERS)
def test_a_backup_of_another_training_is_refused(what, backup, tmp_path):
    case, fit = OTHERS[what]
    before = (backup / "latest.fastnn").read_bytes()
    for extra, arguments in (([BackupAndRestore(backup)], {}), ([], {"resume": backup})):
        with pytest.raises(ArgumentError, match="belongs to another training") as caught:
            case.run(tmp_path, *extra, **fit, **arguments)
        assert what in str(caught.value)
    assert (backup / "latest.fastnn").read_bytes() == before


def test_refused_before_anything_changed(backup):
    model = network()
    model.compile("sgd", "mse")
    weights = model.get_weights()
    with pytest.raises(ArgumentError, match="belongs to another training"):
        model.fit(X, Y, verbose=0, resume=backup)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), weights, strict=True))


def test_one_changed_number_is_other_data(backup, tmp_path, monkeypatch):
    changed = X.copy()
    changed[17, 2] += 1e-6
    monkeypatch.setattr("resume_cases.X", changed)
    with pytest.raises(ArgumentError, match="data: "):
        ADAM.run(tmp_path, resume=backup)


def test_dtype(tmp_path):
    def run(dtype, *callbacks):
        model = Sequential([layers.Dense(1, input_shape=(5,))], seed=1, dtype=dtype)
        model.compile("sgd", "mse")
        model.fit(X, Y, BATCH, 2, verbose=0, callbacks=[BackupAndRestore(tmp_path), *callbacks])

    with pytest.raises(Cut):
        run("float32", CutAt(8))
    with pytest.raises(ArgumentError, match='dtype: "float32" there, "float64" here'):
        run("float64")


def test_more_epochs_other_threads_and_a_progress_bar_are_the_same_training(backup, tmp_path, capsys):
    history = ADAM.run(tmp_path, resume=backup, epochs=6, threads=1, verbose=2)[1]
    assert history.epoch == list(range(6))
    assert capsys.readouterr().out.count("Epoch ") == 4
    expected = ADAM.run(tmp_path, epochs=6)[1]
    assert history.history == expected.history
    assert history.certificate() == expected.certificate()


def test_names_of_layers_do_not_matter(backup, tmp_path):
    for _ in range(3):
        network()  # the next layers are called dense_7 and so on
    ADAM.run(tmp_path, resume=backup)


def test_a_later_fit_of_a_script_is_not_taken_for_an_earlier_one(tmp_path):
    def script(*cut):
        model = network()
        model.compile("adam", "binary_crossentropy")
        model.fit(X, Y, BATCH, 2, verbose=0, callbacks=[BackupAndRestore(tmp_path)])
        model.fit(X, Y, BATCH, 2, verbose=0, callbacks=[BackupAndRestore(tmp_path), *cut])

    with pytest.raises(Cut):
        script(CutAt(8))
    with pytest.raises(ArgumentError, match=r"started\.step: 12 there, 0 here"):
        script()


class TestSeeds:
    """A model without a seed takes on the backup's."""

    @pytest.fixture(autouse=True)
    def no_global_seed(self, monkeypatch):
        monkeypatch.setattr(random._source, "root", None)

    def run(self, folder, *callbacks):
        model = Sequential([layers.Dense(8, "relu", input_shape=(5,)), layers.Dropout(0.5), layers.Dense(1)])
        model.compile("adam", "mse")
        history = model.fit(X, Y, BATCH, 4, verbose=0, callbacks=[BackupAndRestore(folder), *callbacks])
        return model, history

    def test_drawn_anew(self, tmp_path):
        seeds = []
        note = CutAt(15)
        note.set_model = lambda model: seeds.append(model.seed)
        with pytest.raises(Cut):
            self.run(tmp_path, note)
        model, history = self.run(tmp_path)
        assert model.seed == seeds[0] == history.evidence["seed"]
        again = Sequential(
            [layers.Dense(8, "relu", input_shape=(5,)), layers.Dropout(0.5), layers.Dense(1)], seed=seeds[0]
        )
        again.compile("adam", "mse")
        assert again.fit(X, Y, BATCH, 4, verbose=0).certificate() == history.certificate()

    def test_another_sequence_of_seeds_is_refused(self, tmp_path, monkeypatch):
        monkeypatch.setattr(fastnn.random, "_source", fastnn.random._SeedSource())
        fastnn.set_random_seed(1)
        with pytest.raises(Cut):
            self.run(tmp_path, CutAt(15))
        fastnn.set_random_seed(2)
        with pytest.raises(ArgumentError, match="seed: "):
            self.run(tmp_path)
        fastnn.set_random_seed(1)
        assert len(self.run(tmp_path)[1].epoch) == 4


# --------------------------------------------------------------------------- files that are not right
def test_arguments_of_resume(tmp_path):
    for wrong in (True, 3, "", ["a"]):
        with pytest.raises(ArgumentError, match="`resume` of fit must be a backup's path"):
            ADAM.run(tmp_path, resume=wrong)
    with pytest.raises(FileNotFoundError):
        ADAM.run(tmp_path, resume=tmp_path / "missing.fastnn")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no backup of a training"):
        ADAM.run(tmp_path, resume=tmp_path / "empty")


def test_a_saved_model_is_no_backup(tmp_path):
    model, *_ = ADAM.run(tmp_path)
    model.save(tmp_path / "model.fastnn")
    with pytest.raises(FileFormatError, match="pass `initial_epoch` to fit"):
        ADAM.run(tmp_path, resume=tmp_path / "model.fastnn")


def _rewritten(path, change):
    tensors, metadata = container.read(path)
    change(tensors, metadata)
    container.write(path, tensors, metadata)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, m: m.update(version=2), "contents of version 2"),
        (lambda t, m: m["content"].update(position=5), "stands at row 5"),
        (lambda t, m: m["content"].update(position=800), "stands at row 800"),
        (lambda t, m: t.pop("slot/velocity"), "expected 'slot/velocity'"),
        (lambda t, m: t.update(parameters=t["parameters"][:-1]), "expected 'parameters'"),
        (lambda t, m: m["content"].pop("swapped"), "lacks"),
        (lambda t, m: m.pop("identity"), "lacks"),
    ],
)
def test_contents_that_do_not_fit_are_refused(change, message, backup, tmp_path):
    _rewritten(backup / "latest.fastnn", change)
    with pytest.raises(FileFormatError, match=message):
        ADAM.run(tmp_path, resume=backup)


def test_another_version_of_fastnn_goes_on_with_a_warning(backup, tmp_path):
    _rewritten(backup / "latest.fastnn", lambda t, m: m["identity"].update(fastnn="0.0.1"))
    with pytest.warns(UserWarning, match=r"written by fastnn 0\.0\.1"):
        ADAM.run(tmp_path, resume=backup)


def test_hooks_that_change_weights_when_training_begins(tmp_path):
    class Noise(Callback):
        def on_train_begin(self, logs=None):
            self.model.set_weights([w + 1 for w in self.model.get_weights()])

        def on_epoch_begin(self, epoch, logs=None):
            self.model.set_weights([0.9 * w for w in self.model.get_weights()])

    case = _case(callbacks=lambda folder: [Noise()])
    expected = case.run(tmp_path)[1]
    found = resumed(case, tmp_path, 15)[1]
    assert found.history == expected.history
    assert found.certificate() == expected.certificate()


def test_callbacks_without_state_see_the_epoch_begin(tmp_path):
    class Plain(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.epoch, self.batches = epoch, []

        def on_train_batch_end(self, batch, logs=None):
            self.batches.append((self.epoch, batch))

    plain = Plain()
    with pytest.raises(Cut):
        _case(callbacks=lambda folder: [plain]).run(
            tmp_path, BackupAndRestore(tmp_path / "backup", 4), CutAt(11)
        )
    plain = Plain()
    _case(callbacks=lambda folder: [plain]).run(tmp_path, BackupAndRestore(tmp_path / "backup", 4), epochs=2)
    assert plain.batches == [(1, 2), (1, 3), (1, 4), (1, 5)]


def test_a_backup_costs_no_call_of_python_per_step(tmp_path):
    """A backup every 4 batches splits an epoch of 6 steps into 2 calls, not 6."""
    calls = []
    model = network()
    model.compile("adam", "binary_crossentropy")
    from fastnn.backends.cpu.executor import Session

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        run = Session.run
        patch.setattr(Session, "run", lambda self, *a: (calls.append(a), run(self, *a))[1])
        patch.setattr("fastnn.training.trainer.Training._guess", lambda self: 1e-6)
        model.fit(X, Y, BATCH, 2, verbose=0, callbacks=[BackupAndRestore(tmp_path, 4)])
    assert [steps for steps, _ in calls] == [4, 2, 2, 4]
