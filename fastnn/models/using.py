"""Evaluate and predict: Keras' methods for a model that has been trained."""

from __future__ import annotations

from typing import Any

from fastnn.callbacks.base import CallbackList
from fastnn.callbacks.progress import number
from fastnn.layers.base import Symbol
from fastnn.models import streaming, wiring
from fastnn.models.fitting import Fitting, in_order_of_names
from fastnn.models.settings import check_verbose
from fastnn.serialization import check_bool, check_integer
from fastnn.training import inference
from fastnn.training.explain import SpeedReport, explain
from fastnn.training.feed import Feed
from fastnn.training.prepared import Prepared
from fastnn.training.stream import StreamEvaluation, StreamPrediction
from fastnn.training.table import read_table


class Using(Fitting):
    """A network that can be evaluated, predict, and be called."""

    _prepared = Prepared()

    @property
    def prepared(self) -> Prepared:
        """What predictions share, as long as no layer is changed."""
        if not self._prepared.holds(self):
            self._prepared = Prepared(self)
        return self._prepared

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
            With `steps`, only the first ``steps * batch_size`` rows count. Speed and memory do not depend on
            `batch_size` (32 by default): rows go through in blocks that fit the cache.
        verbose : optional
            1 and 2 print a line, 0 and ``'auto'`` do not: the values are returned.
        callbacks : list of Callback, optional
        return_dict : bool, default False
        threads : int, optional

        Returns
        -------
        float, list or dict
            The loss alone, or the values in the order of ``metrics_names``.

        Raises
        ------
        ShapeError, DtypeError, DataError, ArgumentError
            If the data cannot be used.

        Examples
        --------
        >>> from fastnn.layers import Dense
        >>> from fastnn.models import Sequential
        >>> model = Sequential([Dense(1, kernel_initializer="ones", input_shape=(2,))])
        >>> model.compile("sgd", "mse", metrics=["mae"])
        >>> model.evaluate([[0.0, 1.0], [1.0, 1.0]], [1.0, 3.0])
        [0.5, 0.5]
        """
        verbose, rows, batch = check_verbose(verbose), *_rows("evaluate", batch_size, steps)
        self._require_compiled()
        called = CallbackList(callbacks, self, {"verbose": verbose})
        source = streaming.source_of(x, "evaluate", batch_size, y=y, sample_weight=sample_weight)
        evaluation: inference.Evaluation | StreamEvaluation
        if source is None:
            with self._building_from(x):
                table = read_table(self, x, y, sample_weight)
                evaluation = inference.Evaluation(self, table, rows, threads)
        else:
            sample = source.sample()
            with self._building_from(sample.x):
                evaluation = StreamEvaluation(self, Feed(self, source, sample, batch, steps=steps), threads)
        called.call("on_test_begin", {})
        logs = evaluation.run(called, batch)
        called.call("on_test_end", logs)
        if verbose in (1, 2):
            print(" - ".join(f"{key}: {number(value)}" for key, value in logs.items()))
        return in_order_of_names(logs, return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Evaluate one batch: :meth:`evaluate` on all rows."""
        return self.evaluate(x, y, verbose=0, sample_weight=sample_weight, return_dict=return_dict)

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
            Or what is read piece by piece, as in :meth:`fit`; targets and weights in it are not looked at.
        batch_size, steps : int, optional
            With `steps`, only the first ``steps * batch_size`` rows are computed. Speed and memory do not
            depend on `batch_size` (32 by default): rows go through in blocks that fit the cache.
        verbose : optional
            Accepted as Keras scripts pass it: nothing is printed.
        callbacks : list of Callback, optional
        threads : int, optional

        Returns
        -------
        ndarray of shape (rows, units), or a list or dict of them
            As the model's outputs were given, NumPy's whatever the device. No rows give no rows.

        Raises
        ------
        ShapeError, DtypeError, DataError, ArgumentError
            If the data cannot be used.

        Examples
        --------
        >>> from fastnn.layers import Dense
        >>> from fastnn.models import Sequential
        >>> Sequential([Dense(1, kernel_initializer="ones", input_shape=(2,))]).predict([[1.0, 2.0]])
        array([[3.]], dtype=float32)
        """
        plain = batch_size is None and steps is None and callbacks is None and verbose in ("auto", 0)
        if plain and (threads is None or isinstance(threads, int)):
            found = self._prepared.few_rows(self, x)
            if found is not None:
                return found if self._output_keys is None else self._as_given([found])
        check_verbose(verbose)
        rows, batch = _rows("predict", batch_size, steps)
        called = CallbackList(callbacks, self, {"verbose": verbose})
        source = streaming.source_of(x, "predict", batch_size)
        prediction: inference.Prediction | StreamPrediction
        if source is None:
            with self._building_from(x):
                checked = bool(called.callbacks) or rows is not None or not self.built
                prediction = inference.Prediction(self, x, rows, threads, checked)
        else:
            sample = source.sample()
            with self._building_from(sample.x):
                feed = Feed(self, source, sample, batch, steps=steps, targets=False)
                prediction = StreamPrediction(self, feed, threads)
        called.call("on_predict_begin", {})
        outputs = prediction.run(called, batch)
        called.call("on_predict_end", {})
        return self._as_given(outputs)

    def predict_on_batch(self, x: Any) -> Any:
        """Predict one batch: :meth:`predict` on all rows."""
        return self.predict(x)

    def explain_speed(
        self,
        x: Any = None,
        batch_size: int | None = None,
        y: Any = None,
        *,
        shuffle: bool = True,
        threads: int | None = None,
    ) -> SpeedReport:
        """Measure where a training step's time goes; nothing is trained.

        Parameters
        ----------
        x : array, list, DataFrame, or a list or dict of them
            Inputs, as :meth:`fit` takes them: batches are cut and gathered from them.
        batch_size : int, default 32
            Rows a step; larger than the data means all of them.
        y : array, list, DataFrame, or a list or dict of them, optional
            Targets. Times hardly depend on them; without, some that fit are made up.
        shuffle : bool, default True
            Whether a batch's rows are gathered from all over the data.
        threads : int, optional
            As in :meth:`fit`.

        Returns
        -------
        SpeedReport
            Prints as a table: each instruction's time, how often a step runs it, its share, and the floor
            that this machine's measured arithmetic and memory set; how the batch is cut, how many threads
            run it, and the rules that chose so. ``report.rows`` has the numbers.

        Raises
        ------
        NotBuiltError
            If the model is not compiled.
        ShapeError, DtypeError, DataError, ArgumentError
            If the data cannot be used.
        DeviceError
            If the model is not on the CPU.

        Examples
        --------
        >>> import numpy as np
        >>> from fastnn.layers import Dense
        >>> from fastnn.models import Sequential
        >>> model = Sequential([Dense(16, "relu", input_shape=(4,)), Dense(1)], name="small")
        >>> model.compile("adam", "mse")
        >>> print(model.explain_speed(np.ones((100, 4)), batch_size=32))
        A training step of 'small' on 32 rows, float32
        ...
        """
        self._require_compiled()
        batch = 32 if batch_size is None else check_integer("batch_size", batch_size, "explain_speed", 1)
        if threads is not None:
            check_integer("threads", threads, "explain_speed", 1)
        check_bool("shuffle", shuffle, "explain_speed")
        check_bool("shuffle", shuffle, "explain_speed")
        waiting = not self.built
        with self._building_from(x):
            report = explain(self, x, y, batch, shuffle, threads)
        if waiting:
            self._unbuild()
        return report

    def __call__(self, inputs: Any) -> Any:
        """Apply the model: to arrays as :meth:`predict`, to symbols as a layer that shares its weights.

        Examples
        --------
        >>> from fastnn import Input, Model, Sequential
        >>> from fastnn.layers import Dense
        >>> encoder = Sequential([Dense(2, input_shape=(4,), name="code")])
        >>> x = Input(shape=(4,))
        >>> Model(x, Dense(4)(encoder(x))).count_params()
        22
        """
        given = list(inputs.values()) if isinstance(inputs, dict) else inputs
        given = list(given) if isinstance(given, (list, tuple)) else [given]
        if not any(isinstance(item, Symbol) for item in given):
            return self.predict(inputs)
        symbols = wiring.symbols_of(inputs, "inputs")
        if not self.built:
            self.build(symbols[0].spec.shape)
        return self._as_given(wiring.replay(self.inputs, self._calls, self.outputs, symbols))

    def _as_given(self, outputs: list[Any]) -> Any:
        """Return outputs in the form the model's were given in: one, a list or a dict."""
        if self._output_keys is not None:
            return dict(zip(self._output_keys, outputs, strict=True))
        return outputs[0] if len(outputs) == 1 else outputs


def _rows(method: str, batch_size: Any, steps: Any) -> tuple[int | None, int]:
    """Return how many rows count at most (None for all), and the batch size."""
    batch = 32 if batch_size is None else check_integer("batch_size", batch_size, method, 1)
    return None if steps is None else check_integer("steps", steps, method, 1) * batch, batch
