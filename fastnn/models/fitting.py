"""Fit: Keras' training methods on a network."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastnn.callbacks.base import CallbackList
from fastnn.callbacks.history import History
from fastnn.callbacks.progress import ProgbarLogger
from fastnn.errors import ArgumentError, DataError, NonFiniteLossError, NotBuiltError
from fastnn.models import streaming
from fastnn.models.compiling import Compiling
from fastnn.models.settings import FitSettings
from fastnn.rows import Gathered
from fastnn.training import inference
from fastnn.training.checkpoint import Checkpointing
from fastnn.training.door import shape_of
from fastnn.training.feed import Feed
from fastnn.training.stream import StreamEvaluation, StreamTraining
from fastnn.training.table import Table, as_list, read_table
from fastnn.training.trainer import Training


class Fitting(Compiling):
    """A network that can be trained.

    Attributes
    ----------
    history : History or None
        Of the latest call of :meth:`fit`.
    stop_training : bool
        Set to True by a callback, ends the training after the current step.
    """

    history: History | None = None
    stop_training = False
    _training: Training | None = None

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
        *,
        threads: int | None = None,
        seed: int | None = None,
        resume: Any = None,
    ) -> History:
        """Train.

        Parameters
        ----------
        x, y : array, list, DataFrame, or a list or dict of them
            Inputs and targets, one row per example. float32 and float64 are read as they are, a
            ``numpy.memmap`` where it lies. An input may be a :class:`fastnn.data.Gathered`, whose rows are
            put together batch by batch. Arrays that are on the GPU (CuPy's, torch's, any with DLPack) are
            checked and used there by a model that trains there; what is not C-contiguous is copied, on the
            GPU. Data larger than memory: `x` may be a :class:`fastnn.data.FileSource`, a
            :class:`fastnn.data.PyDataset`, a generator, or anything else that can be iterated, of batches
            ``(x, y)`` or ``(x, y, sample_weight)``; then without `y` and `sample_weight`.
        batch_size : int, default 32
            Rows a step; larger than the data means all of them. Not for batches made elsewhere.
        epochs : int, default 1
            The number of the last epoch: ``epochs - initial_epoch`` are run.
        verbose : {'auto', 0, 1, 2}
            Nothing (0), a progress bar (1), or a line an epoch (2); ``'auto'`` is a bar on a terminal or in
            a notebook, else lines.
        callbacks : list of Callback, optional
        validation_split : float, default 0
            The last rows, so many of all, are not trained on but evaluated each epoch.
        validation_data : tuple (x, y) or (x, y, sample_weight), or what is read piece by piece, optional
            Takes the place of `validation_split`.
        shuffle : bool, default True
            Visit the rows in a new order each epoch, a function of the model's seed and the epoch. Of files
            parts are visited in a new order, and rows mixed with those nearby; of a PyDataset the batches;
            what is iterated keeps its own order.
        class_weight : dict of int to float, optional
            Weights by class, for models with one output; a class that is not named weighs 1.
        sample_weight : array of shape (rows,), optional
            A list or dict of them for several outputs; one alone holds for all.
        initial_epoch : int, default 0
        steps_per_epoch : int, optional
            Stop an epoch after so many steps. For a generator, which is gone through once, the next epoch
            goes on with its next batch.
        validation_steps, validation_batch_size : int, optional
            Evaluate so many batches only.
        validation_freq : int or list of int, default 1
            Evaluate every so many epochs, or in these (counted from 1).
        threads : int, optional
            At most so many threads; by default a cost model decides. Results do not depend on it.
        seed : int, optional
            Shuffle and drop out by this seed instead of the model's.
        resume : str or PathLike, optional
            Go on from a backup, the file or folder that BackupAndRestore wrote, to the same bits as a
            training that was never interrupted: weights, optimizer state, order of rows, dropout, History and
            the callbacks' states, also from the middle of an epoch (but of rows that are read piece by piece
            from an epoch's beginning). The other arguments are those of the interrupted call, but for
            `epochs`, `verbose` and `threads`. A backup that a BackupAndRestore among the `callbacks` finds
            goes first.

        Returns
        -------
        History
            ``history.history`` maps ``'loss'``, metrics and their ``'val_'`` twins to a value an epoch.

        Raises
        ------
        ShapeError, DtypeError, DataError, ArgumentError
            Before training, if the data cannot be used, or a backup belongs to another training; the model is
            as it was.
        FileFormatError, OSError
            If a backup cannot be read or written.
        NonFiniteLossError
            If the loss or a gradient turns NaN or infinite; the last finite weights are kept. With the
            callback TerminateOnNaN training ends without the error.

        Examples
        --------
        >>> import numpy as np
        >>> from fastnn.layers import Dense
        >>> from fastnn.models import Sequential
        >>> x = np.linspace(-1, 1, 64)
        >>> model = Sequential([Dense(1, input_shape=(1,))], seed=1)
        >>> model.compile("sgd", "mse")
        >>> history = model.fit(x, 2 * x + 1, epochs=50, batch_size=8, verbose=0)
        >>> history.history["loss"][-1] < 0.01
        True
        """
        settings = FitSettings.check(locals())
        self._require_compiled()
        self.stop_training = False  # now, so that a stop asked for while kernels compile is kept
        called = CallbackList(callbacks, self, {})
        source = streaming.source_of(
            x, "fit", batch_size,
            y=y, sample_weight=sample_weight, validation_split=settings.validation_split,
        )  # fmt: skip
        streaming.check_epochs(source, settings)
        sample = None if source is None else source.sample()
        order = (settings.batch_size, settings.shuffle, settings.steps_per_epoch)
        validation: Table | Feed | None = None
        with self._building_from(x if sample is None else sample.x):
            if source is None or sample is None:
                table = read_table(self, x, y, sample_weight, class_weight)
                if validation_data is None:
                    table, validation = settings.split(table)
            else:
                feed = Feed(self, source, sample, *order, class_weight)
            if validation_data is not None:
                validation = self._held_out(validation_data, settings, validation_batch_size)
            if source is None:
                epochs = settings.epochs - settings.initial_epoch
                training = Training(self, table, *order, threads, seed, epochs)
            else:
                training = StreamTraining(self, feed, threads, seed)
        return self._train(training, called, validation, settings)

    def _train(
        self,
        training: Training,
        called: CallbackList,
        validation: Table | Feed | None,
        settings: FitSettings,
    ) -> History:
        """Run a training with its callbacks."""
        validate = (
            None if validation is None else self._validation(validation, settings, called, training.device)
        )
        if settings.verbose and not any(isinstance(given, ProgbarLogger) for given in called.callbacks):
            called.add(ProgbarLogger(settings.verbose, settings.initial_epoch))
        history = self.history = History()
        parameters = {"epochs": settings.epochs, "steps": training.steps, "verbose": settings.verbose}
        parameters["batch_size"] = training.batch_size
        for callback in (*called.callbacks, history):
            callback.set_model(self)
            callback.set_params(dict(parameters))
        if settings.verbose and self.device == "auto":
            print(self.device_choice)
        table = validation.table if isinstance(validation, Feed) else validation
        checkpointing = Checkpointing(training, called, history, settings.identity(), table)
        first_epoch = checkpointing.restore(settings.resume, settings.initial_epoch)
        started = time.perf_counter()
        called.call("on_train_begin", {})
        self._training = training
        try:
            checkpointing.begin()
            training.run(
                called, history, first_epoch, settings.epochs, validate, settings.validation_freq,
                checkpointing.settled,
            )  # fmt: skip
        except NonFiniteLossError as error:
            if not called.ends_quietly(error):
                raise
        finally:
            training.state.finish(self.storage.array, self.trainable_variables)
            self._training = None
            called.call("on_train_end", history.last())
            checkpointing.ended(time.perf_counter() - started)
        checkpointing.finished()
        return history

    def gradients(self) -> dict[str, np.ndarray]:
        """Return the gradients of the latest training step; for callbacks, while :meth:`fit` runs.

        Returns
        -------
        dict of str to ndarray
            A copy for every trainable variable, by its path, as the optimizer used it: with weight penalties,
            after clipping and accumulation. Zeros before the first step.

        Raises
        ------
        NotBuiltError
            If the model is not in training.

        Examples
        --------
        >>> from fastnn.callbacks import Callback
        >>> from fastnn.layers import Dense
        >>> from fastnn.models import Sequential
        >>> class Watch(Callback):
        ...     def on_epoch_end(self, epoch, logs=None):
        ...         print(self.model.gradients()["line/bias"])
        >>> model = Sequential([Dense(1, kernel_initializer="zeros", input_shape=(1,), name="line")])
        >>> model.compile("sgd", "mse")
        >>> history = model.fit([[1.0], [2.0]], [1.0, 3.0], verbose=0, callbacks=[Watch()])
        [-4.]
        """
        if self._training is None:
            raise NotBuiltError(
                f"Model {self.name!r} has gradients only while fit() runs: ask for them in a callback."
            )
        flat = self._training.session.gradient
        return {
            variable.path: flat[variable.offset : variable.offset + variable.size]
            .reshape(variable.shape)
            .copy()
            for variable in self.trainable_variables
        }

    def _validation(
        self, data: Table | Feed, settings: FitSettings, called: CallbackList, device: str
    ) -> Any:
        """Return a function that evaluates the model as it is now."""
        evaluation: inference.Evaluation | StreamEvaluation
        if isinstance(data, Feed):
            evaluation = StreamEvaluation(self, data, settings.threads, device)
        else:
            rows = settings.validation_rows
            evaluation = inference.Evaluation(self, data, rows, settings.threads, device)

        def validate() -> dict[str, float]:
            called.call("on_test_begin", {})
            logs = evaluation.run(called, settings.validation_batch_size)
            called.call("on_test_end", logs)
            return logs

        return validate

    def _held_out(self, data: Any, settings: FitSettings, batch_size: Any) -> Table | Feed:
        source = streaming.source_of(data, "fit's validation_data", batch_size)
        if source is not None:
            return streaming.validation_feed(self, source, settings)
        if not isinstance(data, (list, tuple)) or len(data) not in (2, 3):
            size = f" of {len(data)} items" if isinstance(data, (list, tuple)) else ""
            raise ArgumentError(
                "`validation_data` of fit must be (x, y) or (x, y, sample_weight), or read piece by piece. "
                f"Received: a {type(data).__name__}{size}."
            )
        return read_table(self, data[0], data[1], data[2] if len(data) == 3 else None, None, "validation ")

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Run one step on one batch.

        Parameters
        ----------
        x, y, sample_weight, class_weight
            As in :meth:`fit`; all rows are one batch.
        return_dict : bool, default False

        Returns
        -------
        float, list or dict
            The loss before the update, or the values in the order of ``metrics_names``.

        Examples
        --------
        >>> from fastnn.layers import Dense
        >>> from fastnn.models import Sequential
        >>> model = Sequential([Dense(1, kernel_initializer="zeros", input_shape=(2,))])
        >>> model.compile("sgd", "mse")
        >>> model.train_on_batch([[0.0, 1.0], [1.0, 1.0]], [1.0, 3.0])
        5.0
        """
        self._require_compiled()
        with self._building_from(x):
            table = read_table(self, x, y, sample_weight, class_weight)
            training = Training(self, table, table.rows, shuffle=False, threads=1)
        history = History()
        self.stop_training = False
        training.run(CallbackList([], self, {}), history, 0, 1)
        return in_order_of_names(history.last(), return_dict)

    def build(self, input_shape: Any = None) -> None:
        """Build for rows of a shape; a functional model is built from the start."""
        self._require_built()

    def _unbuild(self) -> None:
        """Undo :meth:`build`."""

    @contextmanager
    def _building_from(self, x: Any) -> Iterator[None]:
        """Build a model that waits for its first data; if the data turn out unusable, unbuild it."""
        if self.built:
            yield
            return
        name = self.name
        if x is None:
            raise ArgumentError("x: expected one row per example. Received: None.")
        first = as_list(x, list(x) if isinstance(x, dict) else [name], "x")[0]
        shape = first.shape if isinstance(first, Gathered) else shape_of(first, "x")
        if not shape:
            raise ArgumentError(f"x: expected one row per example. Received: {type(x).__name__}.")
        if not shape[0]:
            raise DataError(f"x: expected at least one row. Received: shape {shape}.")
        try:
            self.build(shape[1:] or (1,))
            yield
        except Exception:
            self._unbuild()
            raise


def in_order_of_names(logs: dict[str, Any], return_dict: bool) -> Any:
    """Return logs as Keras' evaluate does: a dict, a list, or the loss alone."""
    if return_dict:
        return logs
    values = list(logs.values())
    return values[0] if len(values) == 1 else values
