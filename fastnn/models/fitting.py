"""Compile, fit, evaluate, predict: Keras' methods on a network."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.callbacks.base import CallbackList
from fastnn.errors import ArgumentError, NotBuiltError
from fastnn.models.network import Network
from fastnn.models.summary import summary_html, summary_text
from fastnn.training import inference
from fastnn.training.compiled import Compiled
from fastnn.training.history import History
from fastnn.training.progress import ProgressBar
from fastnn.training.state import OptimizerState
from fastnn.training.step import StepPlan
from fastnn.training.table import Table, read_table
from fastnn.training.trainer import Training


class Fitting(Network):
    """What a model can do once it is connected."""

    def __init__(self, name: str | None = None, seed: int | None = None, dtype: str = "float32"):
        super().__init__(name=name, seed=seed, dtype=dtype)
        self._compiled: Compiled | None = None
        self._compile_arguments: dict[str, Any] = {}
        self._state: OptimizerState | None = None
        self.history: History | None = None
        self.stop_training = False

    # ------------------------------------------------------------------ compile
    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Choose optimizer, loss and metrics.

        Parameters
        ----------
        optimizer : str or Optimizer, default 'rmsprop'
        loss : str, Loss, or a list or dict of them, one for each output
        loss_weights : list or dict of float, optional
        metrics : list, optional
            Names, Metric objects or callables; nested or a dict for several outputs.
        weighted_metrics : list, optional
            The same, taking sample weights into account.
        run_eagerly, steps_per_execution, jit_compile, auto_scale_loss
            Accepted as Keras scripts pass them: every fastnn program is compiled and runs whole epochs in
            one call, and no loss is scaled. ``run_eagerly=True`` is refused.

        Raises
        ------
        UnknownNameError
            If a name is not known; the nearest one is suggested.
        ArgumentError, ShapeError
            If a loss does not fit its output.
        """
        if run_eagerly:
            raise ArgumentError("run_eagerly=True is not implemented: use fastnn.ops to compute step by step.")
        self._compile_arguments = {
            "optimizer": optimizer,
            "loss": loss,
            "loss_weights": loss_weights,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
        }
        self._compiled = None
        self._state = None
        if self.built:
            self._finish_compile()
        else:  # names are checked now, shapes when they are known
            Compiled(["output"], **self._compile_arguments) if not isinstance(loss, (list, dict)) else None

    def _finish_compile(self) -> None:
        compiled = Compiled(self.output_names, **self._compile_arguments)
        for k, loss in enumerate(compiled.losses):
            if loss is not None:
                shape = (None, *self.outputs[k].spec.shape)
                loss.check(shape, None, self.output_activation(k), where=self.describe_output(k))
        self._compiled = compiled

    @property
    def compiled(self) -> Compiled:
        """What compile() settled."""
        if self._compiled is None:
            if not self._compile_arguments:
                raise NotBuiltError(f"Model {self.name!r} must be compiled first: call compile(optimizer, loss).")
            self._require_built()
            self._finish_compile()
        return self._compiled  # type: ignore[return-value]

    @property
    def optimizer(self) -> Any:
        """The optimizer given to compile()."""
        if self._compiled is None and self._compile_arguments and not self.built:
            raise NotBuiltError(f"Model {self.name!r} is not built yet.")
        return self.compiled.optimizer

    @property
    def metrics_names(self) -> list[str]:
        """Names of the values that evaluate() returns."""
        compiled = self.compiled
        names = ["loss"]
        if len(compiled.losses) > 1:
            names += [f"{name}_loss" for name in compiled.output_names]
        resolved = compiled.resolve_metrics(self.output_shapes, [None] * len(self.outputs))
        return names + [compiled.metric_key(k, metric) for k, metric, _ in resolved]

    def optimizer_state(self, plan: StepPlan) -> OptimizerState:
        """Return the optimizer's state vectors, made on first use and kept until the next compile()."""
        if self._state is None or not self._state.fits(plan, self.storage.array):
            self._state = OptimizerState(plan, self.storage.array, self._state)
        return self._state

    # ------------------------------------------------------------------ fit
    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Sequence[Any] | Any | None = None,
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
    ) -> History:
        """Train.

        Parameters
        ----------
        x, y : array, list, DataFrame, or a list or dict of them
            Inputs and targets, one row per example. float32 and float64 are read as they are.
        batch_size : int, default 32
            Rows a step; larger than the data means all of them.
        epochs : int, default 1
            The number of the last epoch: ``epochs - initial_epoch`` are run.
        verbose : {'auto', 0, 1, 2}
            Nothing, a progress bar, or a line an epoch.
        callbacks : list of Callback, optional
        validation_split : float, default 0
            The last rows, so many of all, are not trained on but evaluated each epoch.
        validation_data : tuple (x, y) or (x, y, sample_weight), optional
        shuffle : bool, default True
            Visit the rows in a new order each epoch, a function of the model's seed and the epoch.
        class_weight : dict of int to float, optional
        sample_weight : array of shape (rows,), optional
        initial_epoch : int, default 0
        steps_per_epoch : int, optional
            Stop an epoch after so many steps.
        validation_steps, validation_batch_size : int, optional
            Evaluate so many batches only.
        validation_freq : int or list of int, default 1
            Evaluate every so many epochs, or in these (counted from 1).
        threads : int, optional
            At most so many threads; by default a cost model decides. Results do not depend on it.
        seed : int, optional
            Shuffle and drop out by this seed instead of the model's.

        Returns
        -------
        History
            ``history.history`` maps ``'loss'``, metrics and their ``'val_'`` twins to a value an epoch.

        Raises
        ------
        ShapeError, DtypeError, DataError, ArgumentError
            Before training, if the data cannot be used.
        NonFiniteLossError
            If the loss or a gradient turns NaN or infinite; the last finite weights are kept.
        """
        settings = _check_fit(batch_size, epochs, initial_epoch, steps_per_epoch, validation_split, verbose, threads)
        batch_size = settings
        self._build_from(x)
        table = read_table(self, x, y, sample_weight, class_weight)
        validation: Table | None = None
        if validation_data is not None:
            validation = self._validation_table(validation_data)
        elif validation_split:
            table, validation = _split(table, validation_split)
        training = Training(self, table, batch_size, shuffle, steps_per_epoch, threads, seed)
        history = History()
        listed = list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks] if callbacks else []
        if verbose not in (0, False):
            listed.append(ProgressBar(verbose))
        parameters = {"epochs": epochs, "steps": training.steps_per_epoch, "verbose": verbose}
        called = CallbackList(listed, self, parameters)
        history.set_model(self)
        history.set_params(parameters)
        self.stop_training = False
        self.history = history
        validate = None
        if validation is not None:
            limit = None if validation_steps is None else validation_steps * (validation_batch_size or batch_size)
            evaluation = inference.Evaluation(self, validation, limit, threads)

            def validate() -> dict[str, float]:
                called.call("on_test_begin", {})
                logs = evaluation.run()
                called.call("on_test_end", logs)
                return logs

        started = time.perf_counter()
        history.on_train_begin()
        called.call("on_train_begin", {})
        try:
            training.run(called, history, initial_epoch, epochs, validate, validation_freq)
        finally:
            history.seconds = time.perf_counter() - started
            training.state.finish(self.storage.array)
            called.call("on_train_end", {})
        return history

    def _build_from(self, x: Any) -> None:
        """Build a model that waits for its first data."""
        if not self.built:
            shape = np.shape(x[0] if isinstance(x, (list, tuple)) and len(x) == 1 and np.ndim(x[0]) == 2 else x)
            if len(shape) == 0:
                raise ArgumentError(f"x must have one row per example. Received: {type(x).__name__}.")
            self.build(shape[1:] or (1,))

    def build(self, input_shape: Any = None) -> None:
        """Build for rows of a shape; a functional model is built from the start."""
        self._require_built()

    def _validation_table(self, data: Any) -> Table:
        if isinstance(data, Table):
            return data
        if not isinstance(data, (list, tuple)) or len(data) not in (2, 3):
            raise ArgumentError("validation_data must be (x, y) or (x, y, sample_weight).")
        return read_table(self, data[0], data[1], data[2] if len(data) == 3 else None, None, "validation ")

    def train_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, class_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Run one step on one batch; returns the loss (and metrics) before the update."""
        self._build_from(x)
        table = read_table(self, x, y, sample_weight, class_weight)
        training = Training(self, table, table.rows, shuffle=False, threads=1)
        history = History()
        training.run(CallbackList([], self, {}), history, 0, 1)
        logs = {key: values[-1] for key, values in history.history.items()}
        return _returned(logs, return_dict)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """Evaluate one batch."""
        return self.evaluate(x, y, verbose=0, sample_weight=sample_weight, return_dict=return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """Predict one batch."""
        return self.predict(x)

    # ------------------------------------------------------------------ evaluate, predict
    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        *,
        threads: int | None = None,
    ) -> Any:
        """Compute loss and metrics.

        Parameters
        ----------
        x, y, sample_weight
            As in :meth:`fit`.
        batch_size, steps : int, optional
            With `steps`, only the first ``steps * batch_size`` rows count.
        verbose : optional
            Above 0 (``'auto'`` is not), prints a line.
        return_dict : bool, default False

        Returns
        -------
        float, list or dict
            The loss alone, or the values in the order of ``metrics_names``.
        """
        table = read_table(self, x, y, sample_weight)
        limit = None if steps is None else steps * (batch_size or 32)
        called = CallbackList(callbacks or [], self, {})
        called.call("on_test_begin", {})
        logs = inference.Evaluation(self, table, limit, threads).run()
        called.call("on_test_end", logs)
        if verbose in (1, 2, True):
            print(" - ".join(f"{key}: {value:.4f}" for key, value in logs.items()))
        return _returned(logs, return_dict)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
        *,
        threads: int | None = None,
    ) -> Any:
        """Compute the outputs for each row of `x`.

        Parameters
        ----------
        x : array, list, DataFrame, or a list or dict of them
        batch_size, steps : int, optional
            With `steps`, only the first ``steps * batch_size`` rows are computed. Speed and memory do not
            depend on `batch_size`: rows go through in blocks that fit the cache.
        verbose, callbacks : optional
            Accepted as in Keras; the callbacks' predict hooks are called.
        threads : int, optional

        Returns
        -------
        ndarray of shape (rows, units), or a list of them
        """
        called = CallbackList(callbacks or [], self, {})
        called.call("on_predict_begin", {})
        outputs = inference.predict(self, x, None if steps is None else steps * (batch_size or 32), threads)
        called.call("on_predict_end", {})
        return outputs[0] if len(outputs) == 1 else outputs

    def __call__(self, inputs: Any) -> Any:
        """Compute the outputs for arrays, as :meth:`predict`."""
        return self.predict(inputs)

    # ------------------------------------------------------------------ looking at a model
    def summary(self, print_fn: Any = print, line_length: int | None = None) -> None:
        """Print a table of layers, output shapes and numbers of parameters."""
        self._require_built()
        print_fn(summary_text(self, line_length))

    def _repr_html_(self) -> str:
        return summary_html(self) if self.built else f"<i>{self!r}</i>"

    def __repr__(self) -> str:
        state = f"{self.count_params()} parameters" if self.built else "not built"
        return f"<{type(self).__name__} {self.name!r}, {state}>"


def _check_fit(
    batch_size: Any, epochs: Any, initial_epoch: Any, steps: Any, split: Any, verbose: Any, threads: Any
) -> int:
    """Check the numbers given to fit; returns the batch size."""
    for name, value, least in (
        ("batch_size", 32 if batch_size is None else batch_size, 1),
        ("epochs", epochs, 0),
        ("initial_epoch", initial_epoch, 0),
        ("steps_per_epoch", 1 if steps is None else steps, 1),
        ("threads", 1 if threads is None else threads, 1),
    ):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise ArgumentError(f"`{name}` must be an integer >= {least}. Received: {value!r}.")
    if not 0 <= split < 1:
        raise ArgumentError(f"`validation_split` must be in [0, 1). Received: {split!r}.")
    if verbose not in ("auto", 0, 1, 2, True, False):
        raise ArgumentError(f"`verbose` must be 'auto', 0, 1 or 2. Received: {verbose!r}.")
    return 32 if batch_size is None else int(batch_size)


def _split(table: Table, share: float) -> tuple[Table, Table]:
    start = int(table.rows * (1.0 - share))
    if start == 0 or start == table.rows:
        raise ArgumentError(
            f"`validation_split`={share} leaves no rows to {'train on' if start == 0 else 'validate on'}: "
            f"there are {table.rows} rows."
        )
    return table.split(start)


def _returned(logs: dict[str, Any], return_dict: bool) -> Any:
    if return_dict:
        return logs
    values = list(logs.values())
    return values[0] if len(values) == 1 else values
