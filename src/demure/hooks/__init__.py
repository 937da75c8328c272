"""Validators for upload forms: demure.hooks.django (Django REST framework too), .flask and .starlette (FastAPI too).

What they share is core.py: what an upload's answer means for the form. judges.py: who gives the answer, models in this process
or a service. Each module imports the framework in its name and no other.
"""

from demure.hooks.core import Labels, Refusal, Rules

__all__ = ["Labels", "Refusal", "Rules"]
