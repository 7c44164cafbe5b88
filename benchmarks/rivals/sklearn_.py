"""scikit-learn: MLPClassifier. `fit` with `warm_start` runs many epochs in one call, its cheapest way."""

from __future__ import annotations

import warnings

import numpy as np
from joblib import Parallel, delayed
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from benchmarks.rivals import Unsupported
from benchmarks.workloads import Weights, Workload

PACKAGES = ("scikit-learn", "numpy", "scipy")


def deviation(w: Workload, variant: str) -> str:
    notes = []
    if w.sizes[-1] == 2:
        notes.append("one logistic output for two classes")
    if w.loss == "mse":
        notes.append("half the squared error, summed over outputs")
    if w.optimizer == "rmsprop":
        notes.append("adam, for want of RMSprop")
    return ", ".join(notes)


class Model:
    def __init__(
        self, w: Workload, X: np.ndarray, y: np.ndarray, weights: Weights | None, threads: int, variant: str
    ) -> None:
        if w.dropout:
            raise Unsupported("MLPClassifier has no dropout")
        warnings.filterwarnings("ignore", category=ConvergenceWarning)  # it stops where we tell it to
        warnings.filterwarnings("ignore", message="Got `batch_size`")
        o = w.params
        if w.optimizer == "sgd":
            solver = {"solver": "sgd", "momentum": o["momentum"], "nesterovs_momentum": False}
        else:
            solver = {"solver": "adam", "epsilon": o["epsilon"]}
        kind = MLPRegressor if w.loss == "mse" else MLPClassifier
        self.model = kind(
            hidden_layer_sizes=w.sizes[1:-1],
            activation="logistic" if w.activation == "sigmoid" else w.activation,
            batch_size=w.batch_size,
            learning_rate_init=o["learning_rate"],
            shuffle=w.shuffle,
            random_state=w.seed,
            alpha=0.0,
            tol=0.0,
            n_iter_no_change=10**9,  # no early stop: a fixed number of epochs
            warm_start=True,
            **solver,
        )
        self.X, self.y = X, y
        if weights is not None:
            # The only public way to set the first weights: let a few rows allocate them, then overwrite.
            # The next `fit` makes a new optimizer, so nothing of those rows remains.
            few = slice(0, 2) if w.loss == "mse" else np.unique(y, return_index=True)[1]
            classes = {} if w.loss == "mse" else {"classes": np.unique(y)}
            self.model.set_params(batch_size="auto").partial_fit(X[few], y[few], **classes)
            self.model.set_params(batch_size=w.batch_size)
            for i, (kernel, bias) in enumerate(weights):
                if i == len(weights) - 1 and kernel.shape[1] == 2 and w.loss != "mse":
                    # A softmax of two is the logistic function of their difference.
                    kernel, bias = kernel[:, 1:] - kernel[:, :1], bias[1:] - bias[:1]
                self.model.coefs_[i][...] = kernel
                self.model.intercepts_[i][...] = bias

    def train(self, epochs: int) -> None:
        self.model.set_params(max_iter=epochs).fit(self.X, self.y)

    def predict(self, X: np.ndarray) -> np.ndarray:
        return self.model.predict_proba(X)[:, 1]

    def weights(self) -> Weights:
        return list(zip(self.model.coefs_, self.model.intercepts_, strict=True))


class Population:
    """Many at once, as `GridSearchCV(n_jobs=...)` does it: joblib's processes, for the interpreter's lock."""

    def __init__(
        self, w: Workload, X: np.ndarray, y: np.ndarray, starts: list[Weights], threads: int, variant: str
    ) -> None:
        self.models = [Model(w, X, y, start, 1, variant) for start in starts]
        self.parallel = Parallel(n_jobs=threads)

    def train(self, epochs: int) -> None:
        self.models = self.parallel(delayed(trained)(model, epochs) for model in self.models)

    def weights(self) -> list[Weights]:
        return [model.weights() for model in self.models]


def trained(model: Model, epochs: int) -> Model:
    warnings.filterwarnings("ignore", category=ConvergenceWarning)
    model.train(epochs)
    return model
