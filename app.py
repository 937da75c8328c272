from demure.web.app import create_app

app = create_app()  # for `gunicorn app:app`; gunicorn.conf.py beside it says how
