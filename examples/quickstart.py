from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from fastnn.layers import Dense, Dropout, Normalization
from fastnn.models import Sequential

X, y = load_breast_cancer(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
scale = Normalization(input_shape=(30,))
scale.adapt(X_train)
model = Sequential([scale, Dense(32, activation="relu"), Dropout(0.2), Dense(1, activation="sigmoid")])
model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
model.fit(X_train, y_train, epochs=30, validation_split=0.2)
print(model.evaluate(X_test, y_test, return_dict=True))
