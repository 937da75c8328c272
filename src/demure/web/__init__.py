"""The service: demure behind HTTP. app.py puts it together; read that first."""
