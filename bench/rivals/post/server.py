"""The original post's service, rebuilt from its description: the picture goes to a file on disk, Keras reads and judges it.

Run by gunicorn with two workers. MODEL names the .keras file. With FUNCTION=yes the network is called as a `tf.function`, and
`model.predict`, which sets up a data set for each call, is not: the one change that anyone would make first.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import keras
import numpy as np
import requests
import tensorflow as tf
from flask import Flask, request

LABELS = ("drawings", "hentai", "neutral", "porn", "sexy")

app = Flask(__name__)
model = keras.models.load_model(os.environ["MODEL"], compile=False)
shape = tf.TensorSpec((1, 224, 224, 3), tf.float32)
network = tf.function(lambda pixels: model(pixels, training=False), input_signature=[shape])


@app.post("/predict")
def predict() -> dict[str, float]:
    path = download(request.args["url"])
    try:
        image = keras.utils.load_img(path, target_size=(224, 224))
    finally:
        path.unlink()
    pixels = keras.utils.img_to_array(image) / 255
    scores = judge(np.asarray([pixels]))[0]
    return dict(zip(LABELS, map(float, scores), strict=True))


def judge(pixels: np.ndarray) -> np.ndarray:
    if os.environ.get("FUNCTION") == "yes":
        return network(tf.constant(pixels)).numpy()
    return model.predict(pixels, verbose=0)


def download(url: str) -> Path:
    with tempfile.NamedTemporaryFile(suffix=".jpg", delete=False) as file:
        file.write(requests.get(url, timeout=10).content)
    return Path(file.name)
