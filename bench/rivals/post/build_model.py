"""Build the post's Keras model with weights that export_weights.py wrote, and see that it gives the same scores.

    python build_model.py WEIGHTS.npz OUT.keras

Runs in the post's environment. The weights have BatchNormalization folded in. The layers stay, as in the original, and do
nothing but add the bias, so that TensorFlow has the original's graph to run. Exit 1 if a score is off by more than 0.001.
"""

from __future__ import annotations

import sys

import keras
import numpy as np

MAX_DIFFERENCE = 1e-3


def main(weights: str, out: str) -> None:
    arrays = np.load(weights)
    model = build(float(arrays["input_scale"].item()), float(arrays["input_offset"].item()))
    fill(model, arrays)
    model.save(out)
    scores = keras.models.load_model(out, compile=False).predict(arrays["pixels"], verbose=0)
    difference = float(np.abs(scores - arrays["scores"]).max())
    print(f"largest difference to the scores of the same weights in ONNX Runtime: {difference:.2g}")
    sys.exit(int(not difference <= MAX_DIFFERENCE))


def build(scale: float, offset: float) -> keras.Model:
    body = keras.applications.MobileNetV2(
        input_shape=(224, 224, 3), alpha=1.4, include_top=False, weights=None, pooling="avg"
    )
    pixels = keras.Input((224, 224, 3))
    features = body(keras.layers.Rescaling(scale, offset)(pixels))
    return keras.Model(pixels, keras.layers.Dense(5, activation="softmax")(features))


def fill(model: keras.Model, arrays: np.lib.npyio.NpzFile) -> None:
    *_, body, dense = model.layers
    convolutions = [layer for layer in body.layers if "Conv2D" in type(layer).__name__]
    norms = [layer for layer in body.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for number, (convolution, norm) in enumerate(zip(convolutions, norms, strict=True)):
        bias = arrays[f"bias_{number}"]
        convolution.set_weights([arrays[f"kernel_{number}"]])
        # gamma, beta, mean, variance: (x - 0) / sqrt(1 - epsilon + epsilon) + bias
        ones, zeros = np.ones_like(bias), np.zeros_like(bias)
        norm.set_weights([ones, bias, zeros, ones - norm.epsilon])
    dense.set_weights([arrays[f"kernel_{len(convolutions)}"], arrays[f"bias_{len(convolutions)}"]])


if __name__ == "__main__":
    main(*sys.argv[1:])
