"""The post's service made as fast as its own parts allow: a frozen graph for `predict`, a kept connection and no file on disk.

MODEL names the .keras file, THREADS the cores that one worker may use.
"""

from __future__ import annotations

import io
import os

import keras
import numpy as np
import requests
import tensorflow as tf
from flask import Flask, request
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

LABELS = ("drawings", "hentai", "neutral", "porn", "sexy")

tf.config.threading.set_intra_op_parallelism_threads(int(os.environ["THREADS"]))
tf.config.threading.set_inter_op_parallelism_threads(1)


def load(path: str) -> tf.types.experimental.ConcreteFunction:
    """The network as one function of a fixed shape, its variables made constants so that TensorFlow can fold them."""
    model = keras.models.load_model(path, compile=False)
    signature = tf.TensorSpec((1, 224, 224, 3), tf.float32)
    function = tf.function(lambda pixels: model(pixels, training=False), input_signature=[signature])
    return convert_variables_to_constants_v2(function.get_concrete_function())


app = Flask(__name__)
network = load(os.environ["MODEL"])
upstream = requests.Session()


@app.post("/predict")
def predict() -> dict[str, float]:
    data = upstream.get(request.args["url"], timeout=10).content
    image = keras.utils.load_img(io.BytesIO(data), target_size=(224, 224))
    pixels = keras.utils.img_to_array(image)[np.newaxis] / 255
    (scores,) = network(tf.constant(pixels))
    return dict(zip(LABELS, scores.numpy()[0].tolist(), strict=True))
